//! What the node is short of, and who goes first: pure.

use kube_api::quantity::Quantity;
use serde_json::Value;

use crate::config::Eviction;
use crate::model::Wanted;
use crate::read::{items, number, text};
use crate::resources;

/// Something of which there can be too little.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Pressure {
    Memory,
    Disk,
    Pids,
}

/// What is left.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Left {
    pub(crate) memory: u64,
    pub(crate) disk: u64,
    pub(crate) disk_total: u64,
    pub(crate) inodes: u64,
    pub(crate) inodes_total: u64,
    pub(crate) pids: u64,
}

/// A threshold that is crossed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Crossed {
    pub(crate) pressure: Pressure,
    pub(crate) resource: &'static str,
    pub(crate) threshold: String,
    pub(crate) available: String,
}

/// Which thresholds are crossed; memory first, as upstream.
pub(crate) fn crossed(left: &Left, config: &Eviction) -> Vec<Crossed> {
    let bytes = |bytes: u64| binary(i64::try_from(bytes).unwrap_or(i64::MAX));
    let mut all = Vec::new();
    let mut add = |pressure, resource, least: u64, left: u64, text: &dyn Fn(u64) -> String| {
        if least > 0 && left < least {
            all.push(Crossed { pressure, resource, threshold: text(least), available: text(left) });
        }
    };
    let part = |total: u64, percent: u8| total / 100 * u64::from(percent);
    add(Pressure::Memory, "memory", config.memory_bytes, left.memory, &bytes);
    add(
        Pressure::Disk,
        "ephemeral-storage",
        part(left.disk_total, config.disk_percent).min(config.disk_bytes_most),
        left.disk,
        &bytes,
    );
    add(Pressure::Disk, "inodes", part(left.inodes_total, config.inodes_percent), left.inodes, &|it| {
        it.to_string()
    });
    add(Pressure::Pids, "pids", config.pids, left.pids, &|it| it.to_string());
    all
}

/// A pod that could go, with what it uses of what is short.
#[derive(Clone, Debug)]
pub(crate) struct Candidate<'a> {
    pub(crate) pod: &'a Value,
    pub(crate) used: i64,
}

/// Who goes first: who uses more than it asked for, then who matters less, then who is furthest above.
pub(crate) fn rank<'a>(mut pods: Vec<Candidate<'a>>, pressure: Pressure) -> Vec<Candidate<'a>> {
    pods.retain(|candidate| !is_critical(candidate.pod));
    let resource = if pressure == Pressure::Memory { "memory" } else { "ephemeral-storage" };
    pods.sort_by_key(|candidate| {
        let above =
            if pressure == Pressure::Pids { 0 } else { candidate.used - asked(candidate.pod, resource) };
        (above <= 0, priority(candidate.pod), std::cmp::Reverse(above))
    });
    pods
}

/// Whether the node or the cluster needs it: those from its own files are the node's.
pub(super) fn is_critical(pod: &Value) -> bool {
    priority(pod) >= resources::SYSTEM_CRITICAL || crate::static_pods::is_static(pod)
}

fn priority(pod: &Value) -> i64 {
    number(pod, &["spec", "priority"]).unwrap_or_default()
}

fn asked(pod: &Value, resource: &str) -> i64 {
    resources::together(pod, "requests", resource).map_or(0, Quantity::value)
}

/// What a pod that is evicted says. `used` is by container.
pub(crate) fn message(crossed: &Crossed, pod: &Value, used: &[(String, i64)]) -> String {
    let Crossed { resource, threshold, available, .. } = crossed;
    let mut text = format!(
        "The node was low on resource: {resource}. Threshold quantity: {threshold}, available: {available}. "
    );
    for (name, used) in used {
        let wanted = Wanted::all(pod).find(|wanted| wanted.name() == name);
        let asked = wanted.and_then(|wanted| resources::amount(wanted.spec, "requests", resource));
        if *used > asked.map_or(0, Quantity::value) {
            let asked = asked.unwrap_or(Quantity::ZERO);
            text.push_str(&format!(
                "Container {name} was using {}, request is {asked}, has larger consumption of {resource}. ",
                binary(*used)
            ));
        }
    }
    text
}

/// Bytes as people write them: `512Ki`.
pub(super) fn binary(bytes: i64) -> String {
    Quantity::from_units(bytes, base::QuantityFormat::BinarySi).to_string()
}

impl Pressure {
    /// As the node's conditions call it.
    pub(crate) fn condition(self) -> &'static str {
        match self {
            Self::Memory => "MemoryPressure",
            Self::Disk => "DiskPressure",
            Self::Pids => "PIDPressure",
        }
    }
}

/// Why a pod is not taken by a node that is short of something; nothing where it is taken.
///
/// What matters to the system always is. When only memory is short, so is who asked for some, and
/// who tolerates it.
pub(crate) fn refusal(pod: &Value, short_of: &[Pressure]) -> Option<(String, String)> {
    if short_of.is_empty() || is_critical(pod) {
        return None;
    }
    if short_of == [Pressure::Memory] && (resources::qos(pod) != "BestEffort" || tolerates(pod)) {
        return None;
    }
    let names: Vec<&str> = short_of.iter().map(|it| it.condition()).collect();
    let why = format!("Pod was rejected: The node had condition: [{}]. ", names.join(" "));
    Some(("Evicted".to_owned(), why))
}

fn tolerates(pod: &Value) -> bool {
    items(pod, &["spec", "tolerations"]).iter().any(|it| {
        let (key, operator, effect) = (text(it, &["key"]), text(it, &["operator"]), text(it, &["effect"]));
        let is_keyed = key == MEMORY_TAINT && (operator == "Exists" || text(it, &["value"]).is_empty());
        (is_keyed || (key.is_empty() && operator == "Exists")) && matches!(effect, "" | "NoSchedule")
    })
}

const MEMORY_TAINT: &str = "node.kubernetes.io/memory-pressure";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn thresholds() {
        let config = Eviction {
            memory_bytes: 100 << 20,
            disk_percent: 10,
            inodes_percent: 5,
            pids: 10,
            ..Eviction::default()
        };
        let good =
            Left { memory: 1 << 30, disk: 20, disk_total: 100, inodes: 6, inodes_total: 100, pids: 10 };
        assert!(crossed(&good, &config).is_empty());
        let bad = Left { memory: 1 << 20, disk: 900, disk_total: 10_000, inodes: 4, pids: 9, ..good };
        let found: Vec<_> = crossed(&bad, &config).into_iter().map(|it| it.resource).collect();
        assert_eq!(found, ["memory", "ephemeral-storage", "inodes", "pids"]);
        assert_eq!(crossed(&bad, &config)[0].threshold, "100Mi");
    }

    #[test]
    fn who_may_still_come() {
        use Pressure::{Disk, Memory, Pids};
        let asks = json!({"containers": [{"resources": {"requests": {"memory": "1Mi"}}}]});
        let tolerates =
            json!({"containers": [{}], "tolerations": [{"key": MEMORY_TAINT, "operator": "Exists"}]});
        let system = json!({"containers": [{}], "priority": resources::SYSTEM_CRITICAL});
        let none = json!({"containers": [{}]});
        for (short_of, spec, expected) in [
            (&[][..], &none, None),
            (&[Memory], &none, Some("[MemoryPressure]")),
            (&[Memory], &asks, None),
            (&[Memory], &tolerates, None),
            (&[Disk], &asks, Some("[DiskPressure]")),
            (&[Memory, Pids], &asks, Some("[MemoryPressure PIDPressure]")),
            (&[Disk], &system, None),
        ] {
            let found = refusal(&json!({"spec": spec}), short_of).map(|it| it.1);
            let expected = expected.map(|it| format!("Pod was rejected: The node had condition: {it}. "));
            assert_eq!(found, expected, "{short_of:?} {spec}");
        }
    }

    #[test]
    fn who_goes_first() {
        let pod = |name: &str, asked: &str, priority: i64| {
            json!({"metadata": {"name": name}, "spec": {"priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"memory": asked}}}]}})
        };
        let (a, b, c, d, e) = (
            pod("within", "10Mi", 0),
            pod("above", "1Mi", 0),
            pod("far", "0", 0),
            pod("dear", "0", 5),
            pod("system", "0", 2_000_000_000),
        );
        let used = 5 << 20;
        let all = [&a, &b, &c, &d, &e].map(|pod| Candidate { pod, used }).to_vec();
        let names: Vec<&str> =
            rank(all, Pressure::Memory).into_iter().map(|it| crate::read::name(it.pod)).collect();
        assert_eq!(names, ["far", "above", "dear", "within"]);
        let found = Crossed {
            pressure: Pressure::Memory,
            resource: "memory",
            threshold: "1Mi".to_owned(),
            available: "1Ki".to_owned(),
        };
        assert_eq!(
            message(&found, &b, &[("c".to_owned(), used)]),
            "The node was low on resource: memory. Threshold quantity: 1Mi, available: 1Ki. Container c was using 5Mi, request is 1Mi, has larger consumption of memory. "
        );
    }
}
