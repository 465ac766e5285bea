//! What a daemon set tells of itself.

use serde_json::{Map, Value, json};

use super::Look;
use super::node::Fit;
use crate::known::daemon_sets;
use crate::object::{at, generation, name, same, set};
use crate::plan::Action;
use crate::pods::is_ready;

/// The status that is true now, if it was not told yet.
pub(super) fn of(look: &mut Look<'_>) -> Option<Action> {
    let (mut wanted, mut current, mut misplaced, mut ready, mut updated, mut available) = (0, 0, 0, 0, 0, 0);
    for (node, fit) in look.nodes.clone() {
        let first = look.by_node.get(name(&node)).and_then(|pods| pods.first()).cloned();
        wanted += i64::from(fit == Fit::Runs);
        let Some(pod) = first else { continue };
        if fit != Fit::Runs {
            misplaced += 1;
            continue;
        }
        current += 1;
        updated += i64::from(look.is_updated(&pod));
        if is_ready(&pod) {
            ready += 1;
            available += i64::from(look.is_available(&pod));
        }
    }
    let mut status = Map::new();
    for (member, value, always) in [
        ("currentNumberScheduled", current, true),
        ("numberMisscheduled", misplaced, true),
        ("desiredNumberScheduled", wanted, true),
        ("numberReady", ready, true),
        ("observedGeneration", generation(look.set), false),
        ("updatedNumberScheduled", updated, false),
        ("numberAvailable", available, false),
        ("numberUnavailable", wanted - available, false),
    ] {
        if always || value != 0 {
            status.insert(member.to_owned(), json!(value));
        }
    }
    for kept in ["collisionCount", "conditions"] {
        if let Some(value) = at(look.set, &["status", kept]) {
            status.insert(kept.to_owned(), value.clone());
        }
    }
    let status = Value::Object(status);
    if same(&status, at(look.set, &["status"]).unwrap_or(&Value::Null)) {
        return None;
    }
    let mut said = Value::clone(look.set);
    set(&mut said, &["status"], status);
    Some(Action::update_status(daemon_sets(), said))
}
