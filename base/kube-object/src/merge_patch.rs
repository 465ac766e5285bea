//! JSON Merge Patch, RFC 7386: objects are merged, null removes, all else replaces.

use serde_json::{Map, Value};

/// Merges `patch` into `document`.
///
/// The depth of the recursion is the patch's, which its decoder has bounded.
pub fn apply(document: &mut Value, patch: Value) {
    let Value::Object(members) = patch else {
        *document = patch;
        return;
    };
    if !document.is_object() {
        *document = Value::Object(Map::new());
    }
    if let Value::Object(fields) = document {
        for (key, member) in members {
            if member.is_null() {
                fields.remove(&key);
            } else {
                apply(fields.entry(key).or_insert(Value::Null), member);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn does_the_examples_of_rfc_7386() {
        for (document, patch, expected) in [
            (json!({"a":"b"}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"b"}), json!({"b":"c"}), json!({"a":"b","b":"c"})),
            (json!({"a":"b"}), json!({"a":null}), json!({})),
            (json!({"a":"b","b":"c"}), json!({"a":null}), json!({"b":"c"})),
            (json!({"a":["b"]}), json!({"a":"c"}), json!({"a":"c"})),
            (json!({"a":"c"}), json!({"a":["b"]}), json!({"a":["b"]})),
            (json!({"a":{"b":"c"}}), json!({"a":{"b":"d","c":null}}), json!({"a":{"b":"d"}})),
            (json!({"a":[{"b":"c"}]}), json!({"a":[1]}), json!({"a":[1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a":"b"}), json!(["c"]), json!(["c"])),
            (json!({"a":"foo"}), json!(null), json!(null)),
            (json!({"a":"foo"}), json!("bar"), json!("bar")),
            (json!({"e":null}), json!({"a":1}), json!({"e":null,"a":1})),
            (json!([1, 2]), json!({"a":"b","c":null}), json!({"a":"b"})),
            (json!({}), json!({"a":{"bb":{"ccc":null}}}), json!({"a":{"bb":{}}})),
        ] {
            let mut patched = document.clone();
            apply(&mut patched, patch.clone());
            assert_eq!(patched, expected, "{document} {patch}");
        }
    }

    proptest::proptest! {
        #[test]
        fn applying_twice_changes_nothing_more(a in "[ab]", b in "[ab]", value in 0..3i64) {
            let mut once = json!({"a": {"b": 1}, "b": [1]});
            let patch = json!({a: {b: if value == 0 { Value::Null } else { json!(value) }}});
            apply(&mut once, patch.clone());
            let mut twice = once.clone();
            apply(&mut twice, patch);
            proptest::prop_assert_eq!(once, twice);
        }
    }
}
