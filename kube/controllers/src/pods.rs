//! What loops want to know of a pod, and how they make one from a template.

use serde_json::{Value, json};

use crate::conditions;
use crate::known::pods;
use crate::object::{at, created, is_deleting, items, namespace, number, remove, set, text, time};
use crate::plan::Action;

/// Whether it ended, well or not.
pub fn is_finished(pod: &Value) -> bool {
    matches!(text(pod, &["status", "phase"]), "Succeeded" | "Failed")
}

/// Whether it counts for whoever wants so many of them.
pub fn is_active(pod: &Value) -> bool {
    !is_finished(pod) && !is_deleting(pod)
}

/// Whether its condition `Ready` holds.
pub fn is_ready(pod: &Value) -> bool {
    conditions::holds(pod, "Ready")
}

/// Since when it is ready, in seconds since 1970.
pub fn ready_since(pod: &Value) -> Option<i64> {
    let ready = conditions::find(pod, "Ready").filter(|found| text(found, &["status"]) == "True")?;
    time(ready, &["lastTransitionTime"])
}

/// Whether it was ready for so long; else, if it is ready, when that will be.
pub fn is_available(pod: &Value, min_ready_seconds: i64, now: i64) -> Result<(), Option<i64>> {
    if !is_ready(pod) {
        return Err(None);
    }
    if min_ready_seconds == 0 {
        return Ok(());
    }
    let Some(since) = ready_since(pod) else { return Err(None) };
    let due = since.saturating_add(min_ready_seconds);
    if due <= now { Ok(()) } else { Err(Some(due)) }
}

/// The order in which too many pods go: the least useful first, as upstream ranks them. `crowd` is how many
/// of the same owner are on the pod's node.
pub fn deletion_rank(pod: &Value, crowd: usize, now: i64) -> impl Ord + use<> {
    let unscheduled = text(pod, &["spec", "nodeName"]).is_empty();
    let phase = match text(pod, &["status", "phase"]) {
        "Pending" => 0,
        "Running" => 2,
        _ => 1,
    };
    let cost = crate::object::annotation(pod, "controller.kubernetes.io/pod-deletion-cost");
    let cost: i32 = cost.and_then(|cost| cost.parse().ok()).unwrap_or(0);
    // Of those that were ready for about as long (in powers of two), any may go: here the name decides.
    let age = |since: Option<i64>| since.map_or(0, |since| (now - since).max(0).checked_ilog2().unwrap_or(0));
    (
        !unscheduled,
        phase,
        is_ready(pod),
        cost,
        std::cmp::Reverse(crowd),
        age(ready_since(pod)),
        std::cmp::Reverse(restarts(pod)),
        age(Some(created(pod))),
        text(pod, &["metadata", "name"]).to_owned(),
    )
}

fn restarts(pod: &Value) -> i64 {
    let all = items(pod, &["status", "containerStatuses"]);
    all.iter().filter_map(|status| number(status, &["restartCount"])).max().unwrap_or(0)
}

/// A pod of a template, without a name of its own: the server makes one of the prefix.
pub fn from_template(template: &Value, prefix: &str, namespace: &str, controller: &Value) -> Value {
    let mut metadata = json!({"namespace": namespace, "ownerReferences": [controller]});
    for member in ["labels", "annotations", "finalizers"] {
        if let Some(found) = at(template, &["metadata", member]) {
            set(&mut metadata, &[member], found.clone());
        }
    }
    set(&mut metadata, &["generateName"], json!(generate_name(prefix)));
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata});
    if let Some(spec) = at(template, &["spec"]) {
        set(&mut pod, &["spec"], spec.clone());
    }
    remove(&mut pod, &["status"]);
    pod
}

/// Makes a pod, and tells of it in its owner's name.
pub fn creation(owner: &Value, pod: Value) -> Action {
    Action::create(pods(), namespace(owner), pod).told(
        owner,
        ("SuccessfulCreate", "Created pod: {}".to_owned()),
        ("FailedCreate", "Error creating: {}".to_owned()),
    )
}

/// Ends a pod, and tells of it in its owner's name.
pub fn deletion(owner: &Value, pod: &Value) -> Action {
    Action::delete(pods(), pod).told(
        owner,
        ("SuccessfulDelete", "Deleted pod: {}".to_owned()),
        ("FailedDelete", "Error deleting: {}".to_owned()),
    )
}

/// `web-`; a prefix that would be no name with a dash goes without.
fn generate_name(prefix: &str) -> String {
    let dashed = format!("{prefix}-");
    let valid = kube_object::names::dns1123_subdomain(&kube_object::names::mask_trailing_dash(&dashed));
    if valid.is_empty() { dashed } else { prefix.to_owned() }
}

/// A short hash of a template: what tells one generation of pods from the next in names and labels.
pub fn template_hash(template: &Value, collisions: Option<i64>) -> String {
    let mut hash: u32 = 0x811c_9dc5;
    let mut add = |bytes: &[u8]| {
        for byte in bytes {
            hash = (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193);
        }
    };
    // Members are sorted, so equal templates have equal text.
    add(without_nulls(template).to_string().as_bytes());
    if let Some(collisions) = collisions {
        add(&collisions.to_le_bytes());
    }
    let digits = hash.to_string();
    digits.bytes().map(|byte| char::from(SAFE[usize::from(byte) % SAFE.len()])).collect()
}

fn without_nulls(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let kept = map.iter().filter(|(_, value)| !value.is_null());
            Value::Object(kept.map(|(key, value)| (key.clone(), without_nulls(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(without_nulls).collect()),
        other => other.clone(),
    }
}

/// No vowels, so that no word comes out; the letters that generated names have too.
const SAFE: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn availability() {
        let pod = json!({"status": {"conditions": [
            {"type": "Ready", "status": "True", "lastTransitionTime": "1970-01-01T00:01:40Z"}]}});
        assert_eq!(is_available(&pod, 0, 100), Ok(()));
        assert_eq!(is_available(&pod, 10, 105), Err(Some(110)));
        assert_eq!(is_available(&pod, 10, 110), Ok(()));
        assert_eq!(is_available(&json!({}), 0, 0), Err(None));
    }

    #[test]
    fn ranks() {
        let unscheduled = json!({"metadata": {"name": "z"}, "status": {"phase": "Pending"}});
        let pending =
            json!({"metadata": {"name": "y"}, "spec": {"nodeName": "n"}, "status": {"phase": "Pending"}});
        let running =
            json!({"metadata": {"name": "x"}, "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let cheap = json!({"metadata": {"name": "w", "annotations": {"controller.kubernetes.io/pod-deletion-cost": "-1"}},
            "spec": {"nodeName": "n"}, "status": {"phase": "Running"}});
        let rank = |pod: &Value| deletion_rank(pod, 0, 1000);
        assert!(rank(&unscheduled) < rank(&pending));
        assert!(rank(&pending) < rank(&running));
        assert!(rank(&cheap) < rank(&running));
        assert!(deletion_rank(&running, 2, 0) < deletion_rank(&running, 1, 0));
    }

    #[test]
    fn hashes() {
        let hash = template_hash(&json!({"a": 1, "b": null}), None);
        assert_eq!(hash, template_hash(&json!({"a": 1}), None));
        assert_ne!(hash, template_hash(&json!({"a": 1}), Some(1)));
        assert_ne!(hash, template_hash(&json!({"a": 2}), None));
    }
}
