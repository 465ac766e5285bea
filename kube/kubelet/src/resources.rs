//! Requests and limits as the kernel counts them, and the pod's class of service.

use kube_api::quantity::{self, Quantity};
use serde_json::Value;

use crate::model::{Limits, Role, Wanted};
use crate::read::{at, items, number, text};

/// `Guaranteed`, `Burstable` or `BestEffort`.
pub fn qos(pod: &Value) -> String {
    match text(pod, &["status", "qosClass"]) {
        "" => kube_api::qos_class(pod).to_owned(),
        class => class.to_owned(),
    }
}

/// An amount of `requests` or `limits`; nothing where it is not set.
pub fn amount(container: &Value, which: &str, resource: &str) -> Option<Quantity> {
    quantity::read(at(container, &["resources", which, resource])?)
}

/// The limits of a container, as the runtime is told.
pub fn limits(pod: &Value, container: &Value, node_memory: i64) -> Limits {
    let milli = |which| amount(container, which, "cpu").map(Quantity::milli_value);
    let limit = milli("limits");
    let shares = cpu_shares(milli("requests").or(limit).unwrap_or(0));
    let memory = amount(container, "limits", "memory").map_or(0, Quantity::value);
    Limits {
        cpu_shares: shares,
        cpu_quota: limit.map_or(0, cpu_quota),
        cpu_period: CPU_PERIOD,
        memory,
        oom_score_adj: oom_score(pod, container, node_memory),
    }
}

/// The limits of the pod's cgroup: all its containers together.
pub fn pod_limits(pod: &Value) -> Limits {
    let requests = together(pod, "requests", "cpu").map_or(0, Quantity::milli_value);
    let quota = limited(pod, "cpu").map(Quantity::milli_value);
    Limits {
        cpu_shares: cpu_shares(requests),
        cpu_quota: quota.map_or(0, cpu_quota),
        cpu_period: CPU_PERIOD,
        memory: limited(pod, "memory").map_or(0, Quantity::value),
        oom_score_adj: 0,
    }
}

/// The sum of limits, if every container has one.
fn limited(pod: &Value, resource: &str) -> Option<Quantity> {
    if let Some(own) = at(pod, &["spec", "resources", "limits", resource]) {
        return quantity::read(own);
    }
    let has = |wanted: Wanted<'_>| amount(wanted.spec, "limits", resource).is_some_and(|it| !it.is_zero());
    let all = Wanted::main(pod).all(has) && Wanted::init(pod).all(has);
    if all { together(pod, "limits", resource) } else { None }
}

/// What the pod asks for at its most: init containers run one after the other, sidecars stay.
pub fn together(pod: &Value, which: &str, resource: &str) -> Option<Quantity> {
    if let Some(own) = at(pod, &["spec", "resources", which, resource]) {
        return quantity::read(own);
    }
    let of = |wanted: &Wanted<'_>| amount(wanted.spec, which, resource);
    let (mut sidecars, mut peak, mut any) = (Quantity::ZERO, Quantity::ZERO, false);
    for wanted in Wanted::init(pod) {
        let Some(own) = of(&wanted) else { continue };
        any = true;
        let with = sidecars.plus(own);
        if wanted.role == Role::Sidecar {
            sidecars = with;
        }
        peak = peak.max(with);
    }
    let mut sum = sidecars;
    for wanted in Wanted::main(pod) {
        if let Some(own) = of(&wanted) {
            any = true;
            sum = sum.plus(own);
        }
    }
    let mut most = sum.max(peak);
    if let Some(overhead) = at(pod, &["spec", "overhead", resource]).and_then(quantity::read) {
        most = most.plus(overhead);
        any = true;
    }
    any.then_some(most)
}

/// The kernel's weight for thousandths of a processor.
pub fn cpu_shares(milli: i64) -> i64 {
    (milli.saturating_mul(1024) / 1000).clamp(SHARES_LEAST, SHARES_MOST)
}

/// Microseconds of a period for thousandths of a processor; 0 is no limit.
pub fn cpu_quota(milli: i64) -> i64 {
    if milli == 0 { 0 } else { (milli.saturating_mul(CPU_PERIOD) / 1000).max(QUOTA_LEAST) }
}

/// How soon the kernel ends the container when memory is short: who asks for more is spared longer.
pub fn oom_score(pod: &Value, container: &Value, node_memory: i64) -> i64 {
    if number(pod, &["spec", "priority"]).is_some_and(|priority| priority >= SYSTEM_CRITICAL) {
        return OOM_GUARANTEED;
    }
    match qos(pod).as_str() {
        "Guaranteed" => return OOM_GUARANTEED,
        "BestEffort" => return OOM_BEST_EFFORT,
        _ => {}
    }
    let score = |container: &Value| {
        let asked = amount(container, "requests", "memory").map_or(0, Quantity::value);
        let part = if node_memory > 0 { asked.saturating_mul(1000) / node_memory } else { 0 };
        (1000 - part).clamp(1000 + OOM_GUARANTEED, OOM_BEST_EFFORT - 1)
    };
    let own = score(container);
    let is_sidecar = text(container, &["restartPolicy"]) == "Always"
        && items(pod, &["spec", "initContainers"])
            .iter()
            .any(|it| text(it, &["name"]) == text(container, &["name"]));
    if is_sidecar {
        // Whoever serves the others must not end before them.
        return Wanted::main(pod).map(|wanted| score(wanted.spec)).min().map_or(own, |least| own.min(least));
    }
    own
}

/// How a running container gets to its limits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resize {
    /// It has them.
    None,
    /// The runtime changes them.
    InPlace,
    /// Its `resizePolicy` wants a restart.
    Restart,
}

/// What is to be done that a running container has its limits.
pub fn resize(container: &Value, has: Option<Limits>) -> Resize {
    let Some(has) = has else { return Resize::None };
    let milli = |which| amount(container, which, "cpu").map(Quantity::milli_value);
    let limit = milli("limits");
    let shares = cpu_shares(milli("requests").or(limit).unwrap_or(0));
    let quota = limit.map_or(0, cpu_quota);
    let memory = amount(container, "limits", "memory").map_or(0, Quantity::value);
    // Runtimes say -1 or 0 where there is no limit, and nothing where they do not know.
    let cpu = (has.cpu_shares > 0 && has.cpu_shares != shares) || has.cpu_quota.max(0) != quota;
    let mem = has.memory.max(0) != memory;
    if !cpu && !mem {
        return Resize::None;
    }
    let policies = items(container, &["resizePolicy"]);
    let restarts = |resource: &str| {
        let mut found = policies.iter().filter(|policy| text(policy, &["resourceName"]) == resource);
        found.any(|policy| text(policy, &["restartPolicy"]) == "RestartContainer")
    };
    if (cpu && restarts("cpu")) || (mem && restarts("memory")) { Resize::Restart } else { Resize::InPlace }
}

/// The pod's cgroup below the top of all pods.
pub fn pod_cgroup(pod: &Value) -> String {
    let uid = crate::read::uid(pod);
    match qos(pod).as_str() {
        "Guaranteed" => format!("pod{uid}"),
        "BestEffort" => format!("besteffort/pod{uid}"),
        _ => format!("burstable/pod{uid}"),
    }
}

/// Microseconds of a period.
pub const CPU_PERIOD: i64 = 100_000;
const QUOTA_LEAST: i64 = 1000;
const SHARES_LEAST: i64 = 2;
const SHARES_MOST: i64 = 262_144;
const OOM_GUARANTEED: i64 = -997;
const OOM_BEST_EFFORT: i64 = 1000;
/// Pods of the system have at least this priority.
pub const SYSTEM_CRITICAL: i64 = 2_000_000_000;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Container;

    #[allow(clippy::needless_pass_by_value)]
    fn pod(containers: Value) -> Value {
        json!({"metadata": {"uid": "u"}, "spec": {"containers": containers}})
    }

    #[test]
    fn counts_as_the_kernel_does() {
        for (milli, shares, quota) in [
            (0, 2, 0),
            (1, 2, 1000),
            (100, 102, 10_000),
            (1000, 1024, 100_000),
            (500_000, 262_144, 50_000_000),
        ] {
            assert_eq!((cpu_shares(milli), cpu_quota(milli)), (shares, quota), "{milli}m");
        }
    }

    #[test]
    fn oom_scores_by_class() {
        let node = 4 << 30;
        let score = |resources: Value| {
            let pod = pod(json!([{"name": "c", "resources": resources}]));
            oom_score(&pod, &pod["spec"]["containers"][0], node)
        };
        assert_eq!(score(json!({})), 1000);
        let both = json!({"cpu": "1", "memory": "1Gi"});
        assert_eq!(score(json!({"requests": both, "limits": both})), -997);
        assert_eq!(score(json!({"requests": {"memory": "1Gi"}})), 750);
        assert_eq!(score(json!({"requests": {"memory": "4Gi"}})), 3);
        assert_eq!(score(json!({"requests": {"cpu": "1"}})), 999);
    }

    #[test]
    fn pods_are_limited_where_every_container_is() {
        let limit = |cpu: &str| json!({"limits": {"cpu": cpu}, "requests": {"cpu": cpu}});
        let both = pod(
            json!([{"name": "a", "resources": limit("100m")}, {"name": "b", "resources": limit("200m")}]),
        );
        assert_eq!((pod_limits(&both).cpu_quota, pod_limits(&both).cpu_shares), (30_000, 307));
        let one = pod(json!([{"name": "a", "resources": limit("100m")}, {"name": "b"}]));
        assert_eq!((pod_limits(&one).cpu_quota, pod_limits(&one).cpu_shares), (0, 102));
        assert_eq!(pod_cgroup(&one), "burstable/podu");
        let mut sidecar = both;
        sidecar["spec"]["initContainers"] = json!([
            {"name": "s", "restartPolicy": "Always", "resources": limit("50m")},
            {"name": "i", "resources": limit("1")}]);
        assert_eq!(together(&sidecar, "requests", "cpu").unwrap().milli_value(), 1050);
    }

    #[test]
    fn resizes_in_place_unless_a_restart_is_wanted() {
        let has = Limits { cpu_shares: 102, cpu_quota: 10_000, memory: 1 << 20, ..Limits::default() };
        let found = Container { resources: Some(has), ..Container::default() };
        let want = |cpu: &str, memory: &str| {
            json!({"name": "c", "resources": {"requests": {"cpu": cpu}, "limits": {"cpu": cpu, "memory": memory}},
                "resizePolicy": [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]})
        };
        for (spec, expected) in [
            (want("100m", "1Mi"), Resize::None),
            (want("200m", "1Mi"), Resize::InPlace),
            (want("100m", "2Mi"), Resize::Restart),
        ] {
            assert_eq!(resize(&spec, found.resources), expected, "{spec}");
        }
        assert_eq!(resize(&want("1", "1Gi"), None), Resize::None);
    }
}
