//! Whether a node would have a pod: taints and tolerations, node selectors and affinity.

use std::collections::BTreeMap;

use kube_object::label_selector::{Operator, Requirement};
use serde_json::Value;

use crate::object::{at, items, labels, name, text, text_map, texts};

/// The first taint of one of these effects that nothing tolerates.
pub(crate) fn untolerated<'a>(
    taints: &'a [Value],
    tolerations: &[Value],
    effects: &[&str],
) -> Option<&'a Value> {
    let counts = |taint: &&Value| effects.contains(&text(taint, &["effect"]));
    let tolerated = |taint: &Value| tolerations.iter().any(|toleration| tolerates(toleration, taint));
    taints.iter().filter(counts).find(|taint| !tolerated(taint))
}

/// Whether a toleration covers a taint.
pub(crate) fn tolerates(toleration: &Value, taint: &Value) -> bool {
    let own = |member: &str| text(toleration, &[member]);
    let fits = |member: &str| own(member).is_empty() || own(member) == text(taint, &[member]);
    let value = match own("operator") {
        "Exists" => true,
        "" | "Equal" => own("value") == text(taint, &["value"]),
        _ => false,
    };
    fits("effect") && fits("key") && value
}

/// Whether a pod's node selector and required node affinity select a node.
pub(crate) fn selects(pod_spec: &Value, node: &Value) -> bool {
    let have = labels(node);
    let wanted = text_map(pod_spec, &["nodeSelector"]);
    let selected = wanted.iter().all(|(key, value)| have.get(key) == Some(value));
    let required = ["affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
    selected && at(pod_spec, &required).is_none_or(|selector| matches(selector, node))
}

/// Whether a `v1` NodeSelector selects a node: one of its terms does.
pub(crate) fn matches(selector: &Value, node: &Value) -> bool {
    let have = labels(node);
    let fields = BTreeMap::from([("metadata.name".to_owned(), name(node).to_owned())]);
    let all = |term: &Value, member: &str, have: &BTreeMap<String, String>| {
        items(term, &[member]).iter().all(|found| requirement(found).is_some_and(|found| found.matches(have)))
    };
    let is_empty = |term: &Value| {
        items(term, &["matchExpressions"]).is_empty() && items(term, &["matchFields"]).is_empty()
    };
    let terms = items(selector, &["nodeSelectorTerms"]).iter();
    let mut terms = terms.filter(|term| !is_empty(term));
    terms.any(|term| all(term, "matchExpressions", &have) && all(term, "matchFields", &fields))
}

fn requirement(found: &Value) -> Option<Requirement> {
    let operator = match text(found, &["operator"]) {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    let values = texts(found, &["values"]).into_iter().map(str::to_owned).collect();
    Requirement::new(text(found, &["key"]), operator, values).ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn tolerations() {
        let taint = json!({"key": "k", "value": "v", "effect": "NoExecute"});
        for (toleration, expected) in [
            (json!({"operator": "Exists"}), true),
            (json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), true),
            (json!({"key": "k", "operator": "Exists", "effect": "NoSchedule"}), false),
            (json!({"key": "k", "value": "v"}), true),
            (json!({"key": "k", "operator": "Equal", "value": "x"}), false),
            (json!({"key": "o", "operator": "Exists"}), false),
        ] {
            assert_eq!(tolerates(&toleration, &taint), expected, "{toleration}");
        }
    }

    #[test]
    fn terms() {
        let node = json!({"metadata": {"name": "n1", "labels": {"disk": "ssd", "cores": "8"}}});
        for (terms, expected) in [
            (json!([]), false),
            (json!([{}]), false),
            (json!([{"matchExpressions": [{"key": "disk", "operator": "In", "values": ["ssd"]}]}]), true),
            (json!([{"matchExpressions": [{"key": "cores", "operator": "Gt", "values": ["8"]}]}]), false),
            (
                json!([{}, {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]),
                true,
            ),
            (
                json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["n1"]}]}]),
                false,
            ),
        ] {
            let selector = json!({"nodeSelectorTerms": terms});
            assert_eq!(matches(&selector, &node), expected, "{selector}");
        }
        assert!(selects(&json!({"nodeSelector": {"disk": "ssd"}}), &node));
        assert!(!selects(&json!({"nodeSelector": {"disk": "hdd"}}), &node));
    }
}
