//! Whether two values mean the same: empty is absent, and quantities are compared by amount.

use serde_json::Value;

use crate::quantity;
use crate::value::is_empty;

/// Members that upstream does not write when they are zero.
const ZERO_IS_ABSENT: [&str; 15] = [
    "hostIPC",
    "hostNetwork",
    "hostPID",
    "hostPort",
    "initialDelaySeconds",
    "lun",
    "minReadySeconds",
    "partition",
    "readOnly",
    "stdin",
    "stdinOnce",
    "tty",
    "chapAuthDiscovery",
    "chapAuthSession",
    "sslEnabled",
];
/// Members that hold quantities by name.
const AMOUNTS: [&str; 7] = ["limits", "requests", "overhead", "capacity", "allocatable", "hard", "used"];

/// Whether the two mean the same.
pub(in crate::validation) fn same(left: &Value, right: &Value) -> bool {
    same_member("", left, right)
}

/// Whether the two mean the same but for some of their members.
pub(in crate::validation) fn same_but(left: &Value, right: &Value, but: &[&str]) -> bool {
    members(left, right, |name, left, right| but.contains(&name) || same_member(name, left, right))
}

fn same_member(name: &str, left: &Value, right: &Value) -> bool {
    if left == right || (is_nothing(name, left) && is_nothing(name, right)) {
        return true;
    }
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => {
            left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
        }
        (Value::Object(_), Value::Object(_) | Value::Null) | (Value::Null, Value::Object(_)) => {
            let amounts = AMOUNTS.contains(&name);
            members(left, right, |name, left, right| {
                if amounts { same_amount(left, right) } else { same_member(name, left, right) }
            })
        }
        _ if name == "sizeLimit" || name == "divisor" => same_amount(left, right),
        _ => false,
    }
}

fn is_nothing(name: &str, value: &Value) -> bool {
    is_empty(value)
        || (ZERO_IS_ABSENT.contains(&name) && (*value == Value::Bool(false) || value.as_i64() == Some(0)))
}

fn same_amount(left: &Value, right: &Value) -> bool {
    left == right
        || matches!((quantity::read(left), quantity::read(right)), (Some(left), Some(right)) if left == right)
}

/// Whether a test holds for every member that either of the two has.
fn members(left: &Value, right: &Value, test: impl Fn(&str, &Value, &Value) -> bool) -> bool {
    let of = |value: &'_ Value, name: &str| value.get(name).is_some();
    let both = crate::value::members(left).all(|(name, value)| test(name, value, &right[name.as_str()]));
    both && crate::value::members(right)
        .all(|(name, value)| of(left, name) || test(name, &Value::Null, value))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_is_absent_and_amounts_are_amounts() {
        for (left, right, equal) in [
            (json!({}), json!(null), true),
            (json!({"a": []}), json!({}), true),
            (json!({"a": {"b": ""}}), json!({"a": {}}), true),
            (json!({"a": {"b": ""}}), json!({}), true),
            (json!({"a": 1}), json!({}), false),
            (json!({"readOnly": false}), json!({}), true),
            (json!({"automount": false}), json!({}), false),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "1000m"}}), true),
            (json!({"limits": {"cpu": "1"}}), json!({"limits": {"cpu": "2"}}), false),
            (json!([1, 2]), json!([1]), false),
        ] {
            assert_eq!(same(&left, &right), equal, "{left} {right}");
            assert_eq!(same(&right, &left), equal, "{right} {left}");
        }
        assert!(same_but(&json!({"a": 1, "b": 2}), &json!({"a": 3, "b": 2}), &["a"]));
    }
}
