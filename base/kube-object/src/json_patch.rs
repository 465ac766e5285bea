//! JSON Patch, RFC 6902: a list of operations that is carried out whole or not at all.

use base::{Classified, ErrorClass};
use serde_json::Value;

use crate::json::{DEPTH_MAX, depth};
use crate::pointer::{InvalidPointer, Pointer, find_mut, index};

/// Operations that one patch may have, as the API server's limit is.
pub const OPERATIONS_MAX: usize = 10_000;
/// How much all `copy` operations of a patch may add, in bytes of JSON.
pub const COPIED_BYTES_MAX: usize = 3 * 1024 * 1024;

/// So many items of lists give way in one patch to those that are put in before them or taken out.
pub const MOVED_ITEMS_MAX: usize = 5_000_000;

/// A checked list of operations.
#[derive(Clone, Debug, PartialEq)]
pub struct JsonPatch {
    operations: Vec<Operation>,
}

#[derive(Clone, Debug, PartialEq)]
enum Operation {
    Add { path: Pointer, value: Value },
    Remove { path: Pointer },
    Replace { path: Pointer, value: Value },
    Move { from: Pointer, path: Pointer },
    Copy { from: Pointer, path: Pointer },
    Test { path: Pointer, value: Value },
}

/// The patch is malformed, or does not fit the document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonPatchError {
    /// Not a list of operations.
    #[error("a JSON patch must be a list of operations")]
    NotAList,
    /// Too many operations.
    #[error("The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {count}")]
    TooMany {
        /// How many there are.
        count: usize,
    },
    /// An operation is not one of the six, or lacks a member.
    #[error("JSON patch operation {at}: {fault}")]
    Operation {
        /// Which, from 0.
        at: usize,
        /// What is wrong.
        fault: &'static str,
    },
    /// A path is not a pointer.
    #[error("JSON patch operation {at}")]
    Pointer {
        /// Which, from 0.
        at: usize,
        /// Why.
        #[source]
        source: InvalidPointer,
    },
    /// There is nothing at the path.
    #[error("JSON patch operation {at}: {path:?} does not exist")]
    Missing {
        /// Which, from 0.
        at: usize,
        /// The path.
        path: String,
    },
    /// A value cannot be put or taken there.
    #[error("JSON patch operation {at}: {path:?} {fault}")]
    Place {
        /// Which, from 0.
        at: usize,
        /// The path.
        path: String,
        /// What is wrong.
        fault: &'static str,
    },
    /// A `test` found another value.
    #[error("JSON patch operation {at}: testing value {path} failed")]
    TestFailed {
        /// Which, from 0.
        at: usize,
        /// The path.
        path: String,
    },
    /// The document would nest too deep.
    #[error("JSON patch operation {at}: {path:?} would nest the document deeper than {DEPTH_MAX} levels")]
    TooDeep {
        /// Which, from 0.
        at: usize,
        /// The path.
        path: String,
    },
    /// The copies add up to too much.
    #[error("JSON patch operation {at}: copies add up to more than {COPIED_BYTES_MAX} bytes")]
    CopiesTooLarge {
        /// Which, from 0.
        at: usize,
    },
    /// Items of lists give way to others too often.
    #[error("JSON patch operation {at}: items of lists are moved more than {MOVED_ITEMS_MAX} times")]
    MovesTooMany {
        /// Which, from 0.
        at: usize,
    },
}

impl Classified for JsonPatchError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::CopiesTooLarge { .. } | Self::MovesTooMany { .. } | Self::TooMany { .. } => {
                ErrorClass::ResourceExhausted
            }
            _ => ErrorClass::Invalid,
        }
    }
}

impl JsonPatch {
    /// Checks a patch's form.
    pub fn from_value(patch: Value) -> Result<Self, JsonPatchError> {
        let Value::Array(list) = patch else { return Err(JsonPatchError::NotAList) };
        if list.len() > OPERATIONS_MAX {
            return Err(JsonPatchError::TooMany { count: list.len() });
        }
        let operations = list.into_iter().enumerate().map(|(at, operation)| read(at, operation));
        Ok(Self { operations: operations.collect::<Result<_, _>>()? })
    }

    /// Carries the patch out. On an error the document is as it was before.
    pub fn apply(&self, document: &mut Value) -> Result<(), JsonPatchError> {
        let mut patched = document.clone();
        let (mut work, mut deepest) = (Work::default(), depth(&patched));
        for (at, operation) in self.operations.iter().enumerate() {
            // A bound that is only made exact when it says "too deep": walking
            // the document after each of many moves would be quadratic.
            let reach = reach(operation, &patched, deepest);
            run(at, operation, &mut patched, &mut work)?;
            deepest = deepest.max(reach);
            if deepest > DEPTH_MAX {
                deepest = depth(&patched);
            }
            if deepest > DEPTH_MAX {
                let path = operation.path().to_string();
                return Err(JsonPatchError::TooDeep { at, path });
            }
        }
        *document = patched;
        Ok(())
    }
}

impl Operation {
    fn path(&self) -> &Pointer {
        match self {
            Self::Add { path, .. }
            | Self::Remove { path }
            | Self::Replace { path, .. }
            | Self::Move { path, .. }
            | Self::Copy { path, .. }
            | Self::Test { path, .. } => path,
        }
    }
}

/// How deep the operation's value can reach, if the document is `deepest` deep.
fn reach(operation: &Operation, document: &Value, deepest: usize) -> usize {
    let value = match operation {
        Operation::Add { value, .. } | Operation::Replace { value, .. } => depth(value),
        Operation::Move { from, .. } => deepest.saturating_sub(from.tokens().len()),
        Operation::Copy { from, .. } => from.find(document).map_or(0, depth),
        Operation::Remove { .. } | Operation::Test { .. } => return 0,
    };
    operation.path().tokens().len() + value
}

fn read(at: usize, operation: Value) -> Result<Operation, JsonPatchError> {
    let fault = |fault| JsonPatchError::Operation { at, fault };
    let Value::Object(mut members) = operation else { return Err(fault("must be an object")) };
    let pointer = |member: Option<&Value>, missing| {
        let raw = member.and_then(Value::as_str).ok_or_else(|| fault(missing))?;
        Pointer::parse(raw).map_err(|source| JsonPatchError::Pointer { at, source })
    };
    let path = pointer(members.get("path"), "needs a path that is a string")?;
    let from = pointer(members.get("from"), "needs from, a string");
    let value = members.remove("value").ok_or_else(|| fault("needs a value"));
    match members.get("op").and_then(Value::as_str) {
        Some("add") => Ok(Operation::Add { path, value: value? }),
        Some("remove") => Ok(Operation::Remove { path }),
        Some("replace") => Ok(Operation::Replace { path, value: value? }),
        Some("move") => Ok(Operation::Move { from: from?, path }),
        Some("copy") => Ok(Operation::Copy { from: from?, path }),
        Some("test") => Ok(Operation::Test { path, value: value? }),
        _ => Err(fault("needs op: add, remove, replace, move, copy or test")),
    }
}

fn run(
    at: usize,
    operation: &Operation,
    document: &mut Value,
    work: &mut Work,
) -> Result<(), JsonPatchError> {
    let missing = |path: &Pointer| JsonPatchError::Missing { at, path: path.to_string() };
    match operation {
        Operation::Add { path, value } => add(at, document, path, value.clone(), work),
        Operation::Remove { path } => remove(at, document, path, work).map(drop),
        Operation::Replace { path, value } => {
            *find_mut(document, path.tokens()).ok_or_else(|| missing(path))? = value.clone();
            Ok(())
        }
        Operation::Move { from, path } => {
            if from.is_proper_prefix_of(path) {
                return Err(place(at, path, "lies inside of what is moved"));
            }
            let value = remove(at, document, from, work)?;
            add(at, document, path, value, work)
        }
        Operation::Copy { from, path } => {
            let value = from.find(document).ok_or_else(|| missing(from))?;
            work.copied += size(value);
            if work.copied > COPIED_BYTES_MAX {
                return Err(JsonPatchError::CopiesTooLarge { at });
            }
            let value = value.clone();
            add(at, document, path, value, work)
        }
        Operation::Test { path, value } => {
            // What is not there equals null, as the API's own library has it.
            let found = path.find(document).unwrap_or(&Value::Null);
            let same = equal(found, value);
            if same { Ok(()) } else { Err(JsonPatchError::TestFailed { at, path: path.to_string() }) }
        }
    }
}

/// What a patch has done until now, where that is bounded.
#[derive(Default)]
struct Work {
    copied: usize,
    moved: usize,
}

impl Work {
    /// So many items of a list give way.
    fn moves(&mut self, at: usize, items: usize) -> Result<(), JsonPatchError> {
        self.moved += items;
        if self.moved > MOVED_ITEMS_MAX { Err(JsonPatchError::MovesTooMany { at }) } else { Ok(()) }
    }
}

fn add(
    at: usize,
    document: &mut Value,
    path: &Pointer,
    value: Value,
    work: &mut Work,
) -> Result<(), JsonPatchError> {
    let Some((above, last)) = path.split_last() else {
        *document = value;
        return Ok(());
    };
    match find_mut(document, above) {
        Some(Value::Object(fields)) => {
            fields.insert(last.to_owned(), value);
            Ok(())
        }
        Some(Value::Array(items)) => {
            let position = if last == "-" { Some(items.len()) } else { index(last) };
            match position {
                Some(position) if position <= items.len() => {
                    work.moves(at, items.len() - position)?;
                    items.insert(position, value);
                    Ok(())
                }
                _ => Err(place(at, path, "is no index of this list")),
            }
        }
        Some(_) => Err(place(at, path, "lies in neither an object nor a list")),
        None => Err(JsonPatchError::Missing { at, path: path.to_string() }),
    }
}

fn remove(at: usize, document: &mut Value, path: &Pointer, work: &mut Work) -> Result<Value, JsonPatchError> {
    let missing = || JsonPatchError::Missing { at, path: path.to_string() };
    let (above, last) = path.split_last().ok_or_else(|| place(at, path, "is the whole document"))?;
    match find_mut(document, above) {
        Some(Value::Object(fields)) => fields.remove(last).ok_or_else(missing),
        Some(Value::Array(items)) => {
            let position = index(last).filter(|position| *position < items.len()).ok_or_else(missing)?;
            work.moves(at, items.len() - position)?;
            Ok(items.remove(position))
        }
        _ => Err(missing()),
    }
}

/// RFC 6902 section 4.6: numbers are equal if their values are.
fn equal(left: &Value, right: &Value) -> bool {
    match (left, right) {
        (Value::Number(a), Value::Number(b)) => {
            a == b || (a.is_f64() != b.is_f64() && a.as_f64() == b.as_f64())
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| equal(a, b)))
        }
        _ => left == right,
    }
}

/// Roughly the bytes of a value as JSON; cheap, and never less than its nodes.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 4,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| size(item) + 1).sum::<usize>(),
        Value::Object(fields) => {
            2 + fields.iter().map(|(key, value)| key.len() + 4 + size(value)).sum::<usize>()
        }
    }
}

fn place(at: usize, path: &Pointer, fault: &'static str) -> JsonPatchError {
    JsonPatchError::Place { at, path: path.to_string(), fault }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn patched(mut document: Value, patch: Value) -> Result<Value, JsonPatchError> {
        let before = document.clone();
        let result = JsonPatch::from_value(patch).and_then(|patch| patch.apply(&mut document));
        if result.is_err() {
            assert_eq!(document, before);
        }
        result.map(|()| document)
    }

    #[test]
    fn bounds_what_it_moves() {
        let list: Vec<u32> = (0..10_000).collect();
        for (op, path, done) in
            [("add", "/-", true), ("add", "/9999", true), ("add", "/0", false), ("remove", "/0", false)]
        {
            let operations = vec![json!({"op": op, "path": path, "value": 1}); 2000];
            let result = patched(json!(list), json!(operations));
            assert_eq!(result.is_ok(), done, "{op} {path}");
            assert!(result.is_ok() || matches!(result, Err(JsonPatchError::MovesTooMany { .. })));
        }
    }

    #[test]
    fn does_the_examples_of_rfc_6902() {
        let good = |document, patch, expected| assert_eq!(patched(document, patch), Ok(expected));
        let path = |op: &str, path: &str| json!([{"op": op, "path": path}]);
        good(
            json!({"foo": "bar"}),
            json!([{"op": "add", "path": "/baz", "value": "qux"}]),
            json!({"baz": "qux", "foo": "bar"}),
        );
        good(
            json!({"foo": ["bar", "baz"]}),
            json!([{"op": "add", "path": "/foo/1", "value": "qux"}]),
            json!({"foo": ["bar", "qux", "baz"]}),
        );
        good(json!({"baz": 1, "foo": 2}), path("remove", "/baz"), json!({"foo": 2}));
        good(json!({"foo": [1, 2, 3]}), path("remove", "/foo/1"), json!({"foo": [1, 3]}));
        good(
            json!({"baz": 1}),
            json!([{"op": "replace", "path": "/baz", "value": "boo"}]),
            json!({"baz": "boo"}),
        );
        good(
            json!({"foo": {"bar": 1, "waldo": 2}, "qux": {}}),
            json!([{"op": "move", "from": "/foo/waldo", "path": "/qux/thud"}]),
            json!({"foo": {"bar": 1}, "qux": {"thud": 2}}),
        );
        good(
            json!({"foo": [1, 2, 3, 4]}),
            json!([{"op": "move", "from": "/foo/1", "path": "/foo/3"}]),
            json!({"foo": [1, 3, 4, 2]}),
        );
        good(json!({"a": 1}), json!([{"op": "test", "path": "/a", "value": 1.0}]), json!({"a": 1}));
        good(
            json!({"foo": ["bar"]}),
            json!([{"op": "add", "path": "/foo/-", "value": ["x"]}]),
            json!({"foo": ["bar", ["x"]]}),
        );
        good(json!({"foo": null}), json!([{"op": "add", "path": "", "value": 3}]), json!(3));
        good(
            json!({"a": {"b": 1}}),
            json!([{"op": "copy", "from": "/a", "path": "/a/c"}]),
            json!({"a": {"b": 1, "c": {"b": 1}}}),
        );
        good(
            json!({"a": 1}),
            json!([{"op": "add", "path": "/b", "value": 2, "xyz": 1}]),
            json!({"a": 1, "b": 2}),
        );
        good(
            json!({"/": 9, "~1": 10}),
            json!([{"op": "test", "path": "/~01", "value": 10}]),
            json!({"/": 9, "~1": 10}),
        );
        good(json!({"a": 1}), json!([{"op": "test", "path": "/b", "value": null}]), json!({"a": 1}));
        good(json!({"a": 1}), json!([{"op": "move", "from": "/a", "path": "/a"}]), json!({"a": 1}));
    }

    #[test]
    fn refuses_what_does_not_fit() {
        for (document, patch, message) in [
            (json!({}), json!({}), "a JSON patch must be a list of operations"),
            (json!({}), json!([1]), "JSON patch operation 0: must be an object"),
            (json!({}), json!([{"op": "add", "path": "/a"}]), "JSON patch operation 0: needs a value"),
            (
                json!({}),
                json!([{"op": "spam", "path": "/a"}]),
                "JSON patch operation 0: needs op: add, remove, replace, move, copy or test",
            ),
            (
                json!({}),
                json!([{"op": "copy", "path": "/a"}]),
                "JSON patch operation 0: needs from, a string",
            ),
            (json!({}), json!([{"op": "remove"}]), "JSON patch operation 0: needs a path that is a string"),
            (json!({}), json!([{"op": "remove", "path": "a"}]), "JSON patch operation 0"),
            (
                json!({}),
                json!([{"op": "remove", "path": "/a"}]),
                "JSON patch operation 0: \"/a\" does not exist",
            ),
            (
                json!({}),
                json!([{"op": "replace", "path": "/a", "value": 1}]),
                "JSON patch operation 0: \"/a\" does not exist",
            ),
            (
                json!({}),
                json!([{"op": "add", "path": "/a/b", "value": 1}]),
                "JSON patch operation 0: \"/a/b\" does not exist",
            ),
            (
                json!([]),
                json!([{"op": "add", "path": "/1", "value": 1}]),
                "JSON patch operation 0: \"/1\" is no index of this list",
            ),
            (
                json!([]),
                json!([{"op": "add", "path": "/01", "value": 1}]),
                "JSON patch operation 0: \"/01\" is no index of this list",
            ),
            (
                json!({"a": 1}),
                json!([{"op": "add", "path": "/a/b", "value": 1}]),
                "JSON patch operation 0: \"/a/b\" lies in neither an object nor a list",
            ),
            (
                json!({"a": {}}),
                json!([{"op": "move", "from": "/a", "path": "/a/b"}]),
                "JSON patch operation 0: \"/a/b\" lies inside of what is moved",
            ),
            (
                json!({"a": 1}),
                json!([{"op": "remove", "path": "/a"}, {"op": "test", "path": "/a", "value": 1}]),
                "JSON patch operation 1: testing value /a failed",
            ),
            (
                json!({"a": "10"}),
                json!([{"op": "test", "path": "/a", "value": 10}]),
                "JSON patch operation 0: testing value /a failed",
            ),
            (
                json!({}),
                json!([{"op": "remove", "path": ""}]),
                "JSON patch operation 0: \"\" is the whole document",
            ),
        ] {
            assert_eq!(patched(document, patch.clone()).unwrap_err().to_string(), message, "{patch}");
        }
    }

    #[test]
    fn a_bomb_of_copies_is_bounded() {
        let copy = json!({"op": "copy", "from": "", "path": "/a/-"});
        let bomb = Value::Array(vec![copy; 60]);
        let error = patched(json!({"a": [], "b": "x".repeat(1000)}), bomb).unwrap_err();
        assert!(matches!(error, JsonPatchError::CopiesTooLarge { .. }));
        let many = Value::Array(vec![json!({}); OPERATIONS_MAX + 1]);
        assert_eq!(patched(json!({}), many), Err(JsonPatchError::TooMany { count: OPERATIONS_MAX + 1 }));
    }

    #[test]
    fn depth_is_bounded() {
        let wrap = json!([
            {"op": "add", "path": "/b", "value": {}},
            {"op": "move", "from": "/a", "path": "/b/x"},
            {"op": "move", "from": "/b", "path": "/a"},
        ]);
        let repeated = |times: usize| {
            let steps = wrap.as_array().unwrap();
            Value::Array(steps.iter().cycle().take(steps.len() * times).cloned().collect())
        };
        assert!(patched(json!({"a": {}}), repeated(100)).is_ok());
        let error = patched(json!({"a": {}}), repeated(3000)).unwrap_err();
        assert!(matches!(error, JsonPatchError::TooDeep { .. }));
        let back_and_forth = json!([
            {"op": "move", "from": "/a", "path": "/b/a"}, {"op": "move", "from": "/b/a", "path": "/a"}
        ]);
        let steps = back_and_forth.as_array().unwrap().iter().cycle().take(2000).cloned().collect();
        assert!(patched(json!({"a": {}, "b": {}}), steps).is_ok());
    }

    proptest::proptest! {
        #[test]
        fn never_panics(steps in proptest::collection::vec(
            ("add|remove|replace|move|copy|test", "(/[ab01-]){0,3}", "(/[ab01-]){0,3}"), 0..8)) {
            let patch = steps.iter().map(|(op, path, from)| json!({"op": op, "path": path, "from": from, "value": [1]}));
            let _ = patched(json!({"a": [1, {"b": 2}], "b": {}}), patch.collect());
        }
    }
}
