//! Strict decoding: which fields of an object its type does not know.
//!
//! The API's field validation reports these together with duplicate keys, as
//! warnings or as one error.

mod ordered;

pub use ordered::ordered_notes;

use serde_json::Value;

use crate::shape::Shape;

/// So many unknown fields are named; who sends more has understood by then.
pub const UNKNOWN_MAX: usize = 100;

/// So many bytes of names are told of; a name may be as long as a body.
const NOTES_BYTES_MAX: usize = 64 << 10;

/// Whether enough is said of a body: its answer must not become many times larger than it is.
pub fn is_enough(notes: &[String]) -> bool {
    notes.len() >= UNKNOWN_MAX || notes.iter().map(String::len).sum::<usize>() >= NOTES_BYTES_MAX
}

/// Paths of fields that the shape does not know, as in `spec.containers[0].imagee`.
///
/// A value whose shape is not known hides nothing: all below it is taken.
pub fn unknown_fields(value: &Value, shape: &dyn Shape) -> Vec<String> {
    let mut found = Vec::new();
    walk(value, shape, &mut String::new(), &mut found);
    found
}

/// How unknown fields are named: `unknown field "spec.x"`.
pub fn unknown_notes(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("unknown field {path:?}")).collect()
}

/// How duplicate keys of JSON are named: `duplicate field "a"`.
pub fn duplicate_notes(paths: &[String]) -> Vec<String> {
    paths.iter().map(|path| format!("duplicate field {path:?}")).collect()
}

/// How duplicate keys of YAML, each said by its line, are named: all in one. None if there are none.
pub fn yaml_note(lines: &[String]) -> Option<String> {
    (!lines.is_empty()).then(|| format!("{YAML_ERRORS}  {}", lines.join("\n  ")))
}

/// The warnings that a note becomes: one a line, where it has several.
pub fn warnings(note: &str) -> impl Iterator<Item = &str> {
    let (text, separator) = note.strip_prefix(YAML_ERRORS).map_or((note, '\0'), |lines| (lines, '\n'));
    text.split(separator).map(str::trim)
}

/// The API's message: `strict decoding error: unknown field "spec.x", duplicate field "a"`.
/// None if there is nothing to say.
pub fn message(notes: &[String]) -> Option<String> {
    (!notes.is_empty()).then(|| format!("strict decoding error: {}", notes.join(", ")))
}

const YAML_ERRORS: &str = "yaml: unmarshal errors:\n";

fn walk(value: &Value, shape: &dyn Shape, path: &mut String, found: &mut Vec<String>) {
    let len = path.len();
    match value {
        Value::Object(fields) if !shape.is_open() => {
            for (name, value) in fields {
                if found.len() >= UNKNOWN_MAX {
                    return;
                }
                if len > 0 {
                    path.push('.');
                }
                path.push_str(name);
                match shape.field(name) {
                    Some(below) => walk(value, below, path, found),
                    None if is_enough(found) => {}
                    None => found.push(path.clone()),
                }
                path.truncate(len);
            }
        }
        Value::Array(items) => {
            let Some(below) = shape.item() else { return };
            for (at, item) in items.iter().enumerate() {
                path.push_str(&format!("[{at}]"));
                walk(item, below, path, found);
                path.truncate(len);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shape::tests::Described;

    #[test]
    fn names_unknown_fields_by_path() {
        let scalar = json!({"open": true});
        let shape = Described::new(&json!({"fields": {
            "kind": scalar,
            "labels": {"values": scalar},
            "raw": scalar,
            "spec": {"fields": {"list": {"item": {"fields": {"name": scalar}}}}}
        }}));
        for (value, unknown) in [
            (json!({"kind": "A", "labels": {"x": 1}, "raw": {"any": {"thing": 1}}}), vec![]),
            (json!({"knd": 1, "spec": {"x": {"y": 1}}}), vec!["knd", "spec.x"]),
            (json!({"spec": {"list": [{"name": 1}, {"nam": 1}]}}), vec!["spec.list[1].nam"]),
            (json!([1]), vec![]),
        ] {
            assert_eq!(unknown_fields(&value, &shape), unknown, "{value}");
        }
        let many: serde_json::Map<_, _> = (0..500).map(|at| (format!("f{at}"), json!(1))).collect();
        assert_eq!(unknown_fields(&Value::Object(many), &shape).len(), UNKNOWN_MAX);
        let long: serde_json::Map<_, _> =
            (0..9).map(|at| (format!("{}{at}", "f".repeat(50_000)), json!(1))).collect();
        assert_eq!(unknown_fields(&Value::Object(long), &shape).len(), 2);
    }

    #[test]
    fn speaks_as_the_api_does() {
        assert_eq!(message(&[]), None);
        let mut notes = unknown_notes(&["spec.x".to_owned()]);
        notes.extend(duplicate_notes(&["a".to_owned()]));
        assert_eq!(
            message(&notes).as_deref(),
            Some("strict decoding error: unknown field \"spec.x\", duplicate field \"a\"")
        );
    }
}
