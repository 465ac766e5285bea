//! A daemon set's pod and the node that it is for.

use serde_json::{Value, json};

use super::KIND;
use crate::history::POD_LABEL;
use crate::object::{annotation, controller_reference, flag, items, name, namespace, set, text};
use crate::placement::{selects, untolerated};
use crate::pods::from_template;

/// What a node has to do with a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// A pod is to run there.
    Runs,
    /// A pod that is there may stay, but none is made.
    Stays,
    /// None is to be there.
    Goes,
}

/// Whether a node would have a pod of a set.
pub(super) fn fit(found: &Value, node: &Value) -> Fit {
    let spec = &found["spec"]["template"]["spec"];
    let wanted = text(spec, &["nodeName"]);
    if (!wanted.is_empty() && wanted != name(node)) || !selects(spec, node) {
        return Fit::Goes;
    }
    let (taints, tolerations) = (items(node, &["spec", "taints"]), tolerations(spec));
    if untolerated(taints, &tolerations, &["NoSchedule", "NoExecute"]).is_none() {
        return Fit::Runs;
    }
    if untolerated(taints, &tolerations, &["NoExecute"]).is_none() { Fit::Stays } else { Fit::Goes }
}

/// What a pod tolerates, with what every pod of a daemon set does.
fn tolerations(spec: &Value) -> Vec<Value> {
    let mut all = items(spec, &["tolerations"]).to_vec();
    for (key, effect) in TOLERATED {
        if *key == "network-unavailable" && !flag(spec, &["hostNetwork"]) {
            continue;
        }
        let wanted = json!({
            "key": format!("node.kubernetes.io/{key}"), "operator": "Exists", "effect": effect,
        });
        let is_it = |found: &&mut Value| {
            ["key", "operator", "effect", "value"]
                .iter()
                .all(|member| text(found, &[member]) == text(&wanted, &[member]))
        };
        match all.iter_mut().find(is_it) {
            Some(found) => *found = wanted,
            None => all.push(wanted),
        }
    }
    all
}

/// The pod of a set for a node.
pub(super) fn pod(found: &Value, hash: &str, node: &str) -> Value {
    let controller = controller_reference(found, "apps/v1", KIND.kind);
    let mut pod = from_template(&found["spec"]["template"], name(found), namespace(found), &controller);
    set(&mut pod, &["metadata", "labels", POD_LABEL], json!(hash));
    if let Some(generation) = annotation(found, "deprecated.daemonset.template.generation") {
        set(&mut pod, &["metadata", "labels", "pod-template-generation"], json!(generation));
    }
    let tolerated = tolerations(&pod["spec"]);
    set(&mut pod, &["spec", "tolerations"], Value::Array(tolerated));
    let term = json!({"matchFields": [{"key": FIELD, "operator": "In", "values": [node]}]});
    let required = json!({"nodeSelectorTerms": [term]});
    set(&mut pod, REQUIRED, required);
    pod
}

/// The node that a pod is on, or is meant for.
pub(super) fn target(pod: &Value) -> Option<&str> {
    let bound = text(pod, &["spec", "nodeName"]);
    if !bound.is_empty() {
        return Some(bound);
    }
    let required = crate::object::at(pod, REQUIRED)?;
    let terms = items(required, &["nodeSelectorTerms"]).iter();
    let mut fields = terms.flat_map(|term| items(term, &["matchFields"]));
    let field = fields.find(|field| text(field, &["key"]) == FIELD && text(field, &["operator"]) == "In")?;
    items(field, &["values"]).first()?.as_str()
}

const FIELD: &str = "metadata.name";
const REQUIRED: &[&str] =
    &["spec", "affinity", "nodeAffinity", "requiredDuringSchedulingIgnoredDuringExecution"];
const TOLERATED: &[(&str, &str)] = &[
    ("not-ready", "NoExecute"),
    ("unreachable", "NoExecute"),
    ("disk-pressure", "NoSchedule"),
    ("memory-pressure", "NoSchedule"),
    ("pid-pressure", "NoSchedule"),
    ("unschedulable", "NoSchedule"),
    ("network-unavailable", "NoSchedule"),
];
