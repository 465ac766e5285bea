//! Conditions in a status: who says what since when.

use serde_json::{Map, Value, json};

use crate::object::{items, text};

/// What a condition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Condition<'a> {
    /// Its name.
    pub kind: &'a str,
    /// Whether it holds.
    pub holds: bool,
    /// The machine's word.
    pub reason: &'a str,
    /// The sentence.
    pub message: &'a str,
}

/// The condition of this name in `status.conditions`.
pub fn find<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    items(object, &["status", "conditions"]).iter().find(|found| text(found, &["type"]) == kind)
}

/// Whether a condition of this name holds.
pub fn holds(object: &Value, kind: &str) -> bool {
    find(object, kind).is_some_and(|found| text(found, &["status"]) == "True")
}

/// Writes a condition into a list; the time of its transition moves only with its status. The optional
/// members (`lastUpdateTime`, `observedGeneration`) are the caller's to add.
pub fn write(list: &mut Vec<Value>, condition: &Condition<'_>, now: &str) {
    let status = if condition.holds { "True" } else { "False" };
    let found = list.iter_mut().find(|found| text(found, &["type"]) == condition.kind);
    let Some(Value::Object(found)) = found else {
        list.push(json!({
            "type": condition.kind, "status": status, "lastTransitionTime": now,
            "reason": condition.reason, "message": condition.message,
        }));
        return;
    };
    if found.get("status").and_then(Value::as_str) != Some(status) {
        put(found, "status", status);
        put(found, "lastTransitionTime", now);
    }
    put(found, "reason", condition.reason);
    put(found, "message", condition.message);
}

/// The list of an object's conditions, to be changed and written back.
pub fn list(object: &Value) -> Vec<Value> {
    items(object, &["status", "conditions"]).to_vec()
}

fn put(map: &mut Map<String, Value>, name: &str, value: &str) {
    map.insert(name.to_owned(), value.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keeps_the_time_of_the_transition() {
        let mut list = Vec::new();
        let mut say = |holds, now: &str| {
            write(&mut list, &Condition { kind: "Ready", holds, reason: "R", message: now }, now);
            text(&list[0], &["lastTransitionTime"]).to_owned()
        };
        assert_eq!(say(true, "1"), "1");
        assert_eq!(say(true, "2"), "1");
        assert_eq!(say(false, "3"), "3");
    }
}
