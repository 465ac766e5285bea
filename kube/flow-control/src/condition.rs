//! What a FlowSchema's status says of its level.

use serde_json::{Value, json};

use crate::config::level_of;

/// The condition `Dangling` as it should be; none if it is so already. `found` is whether the level
/// that the schema names exists and makes sense.
pub fn dangling(schema: &Value, found: bool, now: &str) -> Option<Value> {
    let level = level_of(schema);
    let begin = format!("This FlowSchema references the PriorityLevelConfiguration object named {level:?}");
    let (status, reason, message) = if found {
        ("False", "Found", format!("{begin} and it exists"))
    } else {
        ("True", "NotFound", format!("{begin} but there is no such object"))
    };
    let conditions = schema.pointer("/status/conditions").and_then(Value::as_array);
    let present = conditions.into_iter().flatten().find(|condition| condition["type"] == "Dangling");
    let settled = present.is_some_and(|present| {
        present["status"] == status && present["reason"] == reason && present["message"] == *message
    });
    let condition = || {
        json!({
            "type": "Dangling", "status": status, "lastTransitionTime": now, "reason": reason,
            "message": message,
        })
    };
    (!settled).then(condition)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn says_whether_the_level_is_there() {
        let mut schema =
            json!({"metadata": {"name": "s"}, "spec": {"priorityLevelConfiguration": {"name": "l"}}});
        let missing = dangling(&schema, false, "t1").unwrap();
        assert_eq!((&missing["status"], &missing["reason"]), (&json!("True"), &json!("NotFound")));
        let message = "This FlowSchema references the PriorityLevelConfiguration object named \"l\" but there is no such object";
        assert_eq!(missing["message"], message);
        schema["status"] = json!({"conditions": [{"type": "Other"}, missing]});
        assert_eq!(dangling(&schema, false, "t2"), None);
        let found = dangling(&schema, true, "t3").unwrap();
        assert_eq!((&found["status"], &found["lastTransitionTime"]), (&json!("False"), &json!("t3")));
        schema["status"]["conditions"] = json!([found]);
        assert_eq!(dangling(&schema, true, "t4"), None);
    }
}
