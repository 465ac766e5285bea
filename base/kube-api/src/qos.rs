//! How well a pod is served when its node has too little.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantity::{self, Quantity};
use crate::value::{is_empty, items, members};

/// `Guaranteed`, `Burstable` or `BestEffort`, by what the pod's containers ask for.
pub fn class(pod: &Value) -> &'static str {
    let spec = &pod["spec"];
    let own = &spec["resources"];
    let (mut requests, mut limits) = (Amounts::new(), Amounts::new());
    let mut guaranteed = true;
    if is_empty(&own["requests"]) && is_empty(&own["limits"]) {
        for container in items(&spec["containers"]).iter().chain(items(&spec["initContainers"])) {
            let resources = &container["resources"];
            add(&mut requests, &resources["requests"]);
            let limited = add(&mut limits, &resources["limits"]);
            guaranteed &= limited == COMPUTE.len();
        }
    } else {
        add(&mut requests, &own["requests"]);
        guaranteed = add(&mut limits, &own["limits"]) == COMPUTE.len();
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    if guaranteed && requests == limits { "Guaranteed" } else { "Burstable" }
}

type Amounts = BTreeMap<&'static str, Quantity>;

const COMPUTE: [&str; 2] = ["cpu", "memory"];

/// Adds what is not nothing of processor and memory; returns how many of the two that was.
fn add(sum: &mut Amounts, list: &Value) -> usize {
    let mut found = 0;
    for (name, amount) in members(list) {
        let Some(name) = COMPUTE.into_iter().find(|known| known == name) else { continue };
        let Some(amount) = quantity::read(amount).filter(|amount| !amount.is_zero() && !amount.is_negative())
        else {
            continue;
        };
        found += 1;
        let total = sum.entry(name).or_insert(Quantity::ZERO);
        *total = total.plus(amount);
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::class;

    #[test]
    fn classes() {
        let pod = |resources: serde_json::Value| json!({"spec": {"containers": [{"resources": resources}]}});
        let both = json!({"cpu": "1", "memory": "1Gi"});
        for (pod, want) in [
            (pod(json!({})), "BestEffort"),
            (pod(json!({"requests": both, "limits": both})), "Guaranteed"),
            (pod(json!({"requests": {"cpu": "1000m", "memory": "1024Mi"}, "limits": both})), "Guaranteed"),
            (pod(json!({"requests": {"cpu": "1"}})), "Burstable"),
            (pod(json!({"requests": {"cpu": "1"}, "limits": {"cpu": "1"}})), "Burstable"),
            (pod(json!({"requests": {"ephemeral-storage": "1"}})), "BestEffort"),
            (
                json!({"spec": {"resources": {"requests": both, "limits": both}, "containers": [{}]}}),
                "Guaranteed",
            ),
            (
                json!({"spec": {"containers": [{"resources": {"requests": both, "limits": both}}, {}]}}),
                "Burstable",
            ),
            (json!(7), "BestEffort"),
        ] {
            assert_eq!(class(&pod), want, "{pod}");
        }
    }
}
