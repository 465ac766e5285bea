//! What the node is short of, and who goes first: pure.

use kube_api::quantity::Quantity;
use serde_json::Value;

use crate::config::Eviction;
use crate::model::Wanted;
use crate::read::number;
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
    let bytes =
        |bytes: u64| Quantity::from_int(i64::try_from(bytes / 1024).unwrap_or_default()).to_string() + "Ki";
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
    pods.retain(|candidate| priority(candidate.pod) < resources::SYSTEM_CRITICAL);
    let resource = if pressure == Pressure::Memory { "memory" } else { "ephemeral-storage" };
    pods.sort_by_key(|candidate| {
        let above =
            if pressure == Pressure::Pids { 0 } else { candidate.used - asked(candidate.pod, resource) };
        (above <= 0, priority(candidate.pod), std::cmp::Reverse(above))
    });
    pods
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
                "Container {name} was using {}Ki, request is {asked}, has larger consumption of {resource}. ",
                used / 1024
            ));
        }
    }
    text
}

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
        assert_eq!(crossed(&bad, &config)[0].threshold, "102400Ki");
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
            "The node was low on resource: memory. Threshold quantity: 1Mi, available: 1Ki. Container c was using 5120Ki, request is 1Mi, has larger consumption of memory. "
        );
    }
}
