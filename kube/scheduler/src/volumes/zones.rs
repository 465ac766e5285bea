//! Zones and regions in a volume's labels, as drivers of old say where a volume can be reached.

use crate::node::Node;
use crate::read::Labels;

/// A label that nodes must have, and the values that will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Zones {
    key: &'static str,
    /// The label of today for a label of old.
    today: &'static str,
    values: Vec<String>,
}

impl Zones {
    /// What a volume's labels say; several values are joined by `__`.
    pub(super) fn read(labels: &Labels) -> Vec<Self> {
        let of = |(key, today): (&'static str, &'static str)| {
            let values = labels.get(key)?.split("__").map(str::to_owned).collect();
            Some(Self { key, today, values })
        };
        KEYS.into_iter().filter_map(of).collect()
    }

    /// Whether the node is where all of them demand. A node without any such label is everywhere.
    pub(super) fn allow(all: &[Self], node: &Node) -> bool {
        let is_placed = || KEYS.iter().any(|(key, _)| node.labels.contains_key(*key));
        let allows = |zones: &Self| {
            let value = node.labels.get(zones.key).or_else(|| node.labels.get(zones.today));
            value.is_some_and(|value| zones.values.contains(value))
        };
        all.is_empty() || !is_placed() || all.iter().all(allows)
    }
}

/// Labels, each with what it is called today.
const KEYS: [(&str, &str); 4] = [
    ("failure-domain.beta.kubernetes.io/zone", ZONE),
    ("failure-domain.beta.kubernetes.io/region", REGION),
    (ZONE, ZONE),
    (REGION, REGION),
];
const ZONE: &str = "topology.kubernetes.io/zone";
const REGION: &str = "topology.kubernetes.io/region";

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::read::labels;

    #[test]
    fn a_volume_is_reached_in_its_zones() {
        let node = |of: serde_json::Value| Node::read(&json!({"metadata": {"name": "n", "labels": of}}));
        let zones = |of: serde_json::Value| Zones::read(&labels(&json!({"labels": of}), "labels"));
        let old = "failure-domain.beta.kubernetes.io/zone";
        for (volume, of_node, allowed) in [
            (json!({}), json!({ZONE: "a"}), true),
            (json!({ZONE: "a"}), json!({}), true),
            (json!({ZONE: "a"}), json!({ZONE: "a"}), true),
            (json!({ZONE: "a"}), json!({ZONE: "b"}), false),
            (json!({ZONE: "a__b"}), json!({ZONE: "b"}), true),
            (json!({ZONE: "a", REGION: "r"}), json!({ZONE: "a"}), false),
            (json!({old: "a"}), json!({ZONE: "a"}), true),
            (json!({old: "a"}), json!({ZONE: "b"}), false),
            (json!({ZONE: "a"}), json!({old: "a"}), false),
        ] {
            assert_eq!(
                Zones::allow(&zones(volume.clone()), &node(of_node.clone())),
                allowed,
                "{volume} {of_node}"
            );
        }
    }
}
