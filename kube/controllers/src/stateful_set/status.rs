//! What a stateful set tells of itself.

use serde_json::{Map, Value, json};

use super::{Look, is_running_and_ready};
use crate::history::revision_of_pod;
use crate::known::stateful_sets;
use crate::object::{at, generation, is_deleting, name, number, same, set, text};
use crate::plan::Action;
use crate::pods::is_available;

/// The status that is true now, if it was not told yet.
pub(super) fn of(look: &Look<'_>) -> Option<Action> {
    let status = status(look);
    if same(&status, at(look.set, &["status"]).unwrap_or(&Value::Null)) {
        return None;
    }
    let mut said = Value::clone(look.set);
    set(&mut said, &["status"], status);
    Some(Action::update_status(stateful_sets(), said))
}

fn status(look: &Look<'_>) -> Value {
    let least = number(look.set, &["spec", "minReadySeconds"]).unwrap_or(0);
    let now = look.observed.seconds();
    let count = |counts: &dyn Fn(&Value) -> bool| look.pods.iter().filter(|pod| counts(pod)).count() as i64;
    let of = |revision: &Value| count(&|pod| !is_deleting(pod) && revision_of_pod(pod) == name(revision));
    let there = look.pods.len() as i64;
    let ready = count(&is_running_and_ready);
    let available = count(&|pod| is_running_and_ready(pod) && is_available(pod, least, now).is_ok());
    let updated = of(&look.update);
    let (mut current, mut current_name) = ((of(&look.current) - look.rolled).max(0), name(&look.current));
    let wanted = number(look.set, &["spec", "replicas"]).unwrap_or(1);
    let rolling = text(look.set, &["spec", "updateStrategy", "type"]) != "OnDelete";
    if rolling && updated == wanted && ready == wanted && there == wanted {
        (current, current_name) = (updated, name(&look.update));
    }
    let mut status = Map::new();
    for (member, value) in [
        ("observedGeneration", generation(look.set)),
        ("readyReplicas", ready),
        ("currentReplicas", current),
        ("updatedReplicas", updated),
    ] {
        if value != 0 {
            status.insert(member.to_owned(), json!(value));
        }
    }
    status.insert("replicas".to_owned(), json!(there));
    status.insert("availableReplicas".to_owned(), json!(available));
    status.insert("currentRevision".to_owned(), json!(current_name));
    status.insert("updateRevision".to_owned(), json!(name(&look.update)));
    let collisions = number(look.set, &["status", "collisionCount"]).unwrap_or(0);
    status.insert("collisionCount".to_owned(), json!(collisions));
    if let Some(conditions) = at(look.set, &["status", "conditions"]) {
        status.insert("conditions".to_owned(), conditions.clone());
    }
    Value::Object(status)
}
