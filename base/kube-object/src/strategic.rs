//! Strategic merge patch: a merge patch whose lists of objects are merged by a
//! key, with directives for what a merge can't say.
//!
//! `$patch: delete|replace|merge`, `$retainKeys`, `$deleteFromPrimitiveList/F`
//! and `$setElementOrder/F`. What is merged how comes from the
//! [`Shape`](crate::shape::Shape); without one, lists are replaced.

use std::collections::{BTreeMap, BTreeSet};

use base::{Classified, ErrorClass};
use serde_json::{Map, Value};

use crate::go_text;
use crate::shape::{PatchList, Shape};

/// A patch that cannot be applied. The words are the API's where clients see them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StrategicPatchError {
    /// The patch is not an object.
    #[error("a strategic merge patch must be an object")]
    NotAnObject,
    /// `$patch` has an unknown value.
    #[error("unknown patch type: {directive} in map: {map}")]
    UnknownDirective {
        /// The value, as Go's `%s` prints it.
        directive: String,
        /// The object that has it, as Go prints it.
        map: String,
    },
    /// An item lacks the key by which its list is merged.
    #[error("map: {item} does not contain declared merge key: {key}")]
    NoMergeKey {
        /// The item, as Go prints it.
        item: String,
        /// The key.
        key: String,
    },
    /// A list holds both objects and scalars.
    #[error("list element types are not identical in field {0:?}")]
    MixedTypes(String),
    /// `$retainKeys` is no list, or misses a key of the patch.
    #[error("invalid patch format of retainKeys")]
    RetainKeys,
    /// `$setElementOrder` is no list, or misses an item of the patch.
    #[error("invalid patch format of setElementOrder list")]
    ElementOrder,
    /// `$deleteFromPrimitiveList` is no list.
    #[error("invalid patch format of primitive list")]
    PrimitiveList,
}

impl Classified for StrategicPatchError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Merges `patch` into `document`; on an error the document is as it was before.
pub fn apply(
    document: &mut Value,
    patch: Value,
    shape: Option<&dyn Shape>,
) -> Result<(), StrategicPatchError> {
    let Value::Object(patch) = patch else { return Err(StrategicPatchError::NotAnObject) };
    let fields = document.as_object().cloned().unwrap_or_default();
    *document = Value::Object(merge_map(fields, patch, shape)?);
    Ok(())
}

fn merge_map(
    mut fields: Map<String, Value>,
    mut patch: Map<String, Value>,
    shape: Option<&dyn Shape>,
) -> Result<Map<String, Value>, StrategicPatchError> {
    match patch.remove(PATCH) {
        None => {}
        Some(Value::String(kind)) if kind == "merge" => {}
        Some(Value::String(kind)) if kind == "replace" => return Ok(without_directives(patch)),
        Some(Value::String(kind)) if kind == "delete" => return Ok(Map::new()),
        Some(other) => {
            patch.insert(PATCH.to_owned(), other);
            return Err(unknown_directive(&Value::Object(patch)));
        }
    }
    if let Some(keys) = patch.remove(RETAIN_KEYS) {
        retain_keys(&mut fields, &patch, &keys)?;
    }
    let mut orders = Vec::new();
    let mut rest = Vec::new();
    for (name, value) in patch {
        if let Some(field) = name.strip_prefix(DELETE_FROM) {
            let unwanted = value.as_array().ok_or(StrategicPatchError::PrimitiveList)?;
            let unwanted: BTreeSet<String> = unwanted.iter().map(Value::to_string).collect();
            if let Some(Value::Array(items)) = fields.get_mut(field) {
                items.retain(|item| !unwanted.contains(&item.to_string()));
            }
        } else if let Some(field) = name.strip_prefix(ORDER) {
            orders.push((field.to_owned(), value));
        } else {
            rest.push((name, value));
        }
    }
    for (name, value) in rest {
        let order = orders.iter().position(|(field, _)| *field == name).map(|at| orders.swap_remove(at).1);
        merge_field(&mut fields, name, value, shape, order)?;
    }
    for (name, order) in orders {
        let below = shape.and_then(|shape| shape.field(&name));
        let order = order.as_array().ok_or(StrategicPatchError::ElementOrder)?;
        if let Some(Value::Array(items)) = fields.get_mut(&name) {
            let before = items.clone();
            sort(items, order, &before, merge_key(below));
        }
    }
    Ok(fields)
}

fn merge_field(
    fields: &mut Map<String, Value>,
    name: String,
    value: Value,
    shape: Option<&dyn Shape>,
    order: Option<Value>,
) -> Result<(), StrategicPatchError> {
    let below = shape.and_then(|shape| shape.field(&name));
    let merged = match (value, fields.get(&name)) {
        (Value::Null, _) => {
            fields.remove(&name);
            return Ok(());
        }
        (Value::Object(patch), Some(Value::Object(_))) if below.is_some_and(Shape::patch_replaces_map) => {
            Value::Object(without_directives(patch))
        }
        (Value::Object(patch), Some(Value::Object(old))) => {
            Value::Object(merge_map(old.clone(), patch, below)?)
        }
        (Value::Object(patch), _) => Value::Object(merge_map(Map::new(), patch, below)?),
        (Value::Array(patch), old) => {
            let old = old.and_then(Value::as_array).cloned().unwrap_or_default();
            Value::Array(merge_list(&name, old, patch, below, order)?)
        }
        (scalar, _) => scalar,
    };
    fields.insert(name, merged);
    Ok(())
}

fn retain_keys(
    fields: &mut Map<String, Value>,
    patch: &Map<String, Value>,
    keys: &Value,
) -> Result<(), StrategicPatchError> {
    let keys = keys.as_array().ok_or(StrategicPatchError::RetainKeys)?;
    let keys: BTreeSet<&str> = keys.iter().filter_map(Value::as_str).collect();
    let listed = |name: &str| keys.contains(name);
    let directive = |name: &str| name.starts_with(DELETE_FROM) || name.starts_with(ORDER);
    if patch.iter().any(|(name, value)| !value.is_null() && !directive(name) && !listed(name)) {
        return Err(StrategicPatchError::RetainKeys);
    }
    fields.retain(|name, _| listed(name));
    Ok(())
}

fn merge_list(
    name: &str,
    old: Vec<Value>,
    patch: Vec<Value>,
    shape: Option<&dyn Shape>,
    order: Option<Value>,
) -> Result<Vec<Value>, StrategicPatchError> {
    let key = match shape.map_or(PatchList::Replace, Shape::patch_list) {
        PatchList::Replace => return Ok(patch),
        PatchList::MergeScalars => None,
        PatchList::MergeBy(key) => Some(key),
    };
    let objects = patch.iter().chain(&old).filter(|item| item.is_object()).count();
    if objects != 0 && objects != patch.len() + old.len() {
        return Err(StrategicPatchError::MixedTypes(name.to_owned()));
    }
    let before = old.clone();
    let wanted: Vec<Value> = patch.iter().filter(|item| item.get(PATCH).is_none()).cloned().collect();
    let mut merged = match key.filter(|_| objects != 0) {
        Some(key) => merge_objects(old, patch, key, shape.and_then(Shape::item))?,
        None => {
            let mut seen = BTreeSet::new();
            let mut merged: Vec<Value> = old.into_iter().chain(patch).collect();
            merged.retain(|item| seen.insert(item.to_string()));
            merged
        }
    };
    match order {
        None => sort(&mut merged, &wanted, &before, key),
        Some(Value::Array(order)) => {
            let listed = places(&order, key);
            if wanted.iter().any(|item| !listed.contains_key(&id(item, key))) {
                return Err(StrategicPatchError::ElementOrder);
            }
            sort(&mut merged, &order, &before, key);
        }
        Some(_) => return Err(StrategicPatchError::ElementOrder),
    }
    Ok(merged)
}

fn merge_objects(
    mut items: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
    shape: Option<&dyn Shape>,
) -> Result<Vec<Value>, StrategicPatchError> {
    let missing =
        |item: &Value| StrategicPatchError::NoMergeKey { item: go_text::plain(item), key: key.to_owned() };
    let mut merges = Vec::new();
    let mut unwanted = BTreeSet::new();
    let mut replace = false;
    for item in patch {
        match item.get(PATCH).and_then(Value::as_str) {
            Some("delete") => {
                unwanted.insert(item.get(key).ok_or_else(|| missing(&item))?.to_string());
            }
            Some("replace") => replace = true,
            Some("merge") | None if item.get(PATCH).is_none_or(Value::is_string) => merges.push(item),
            _ => return Err(unknown_directive(&item)),
        }
    }
    if replace {
        // A lone `$patch: replace` says that the list is what stands beside it.
        return Ok(merges);
    }
    items.retain(|old| old.get(key).is_none_or(|value| !unwanted.contains(&value.to_string())));
    let mut known = places(&items, Some(key));
    for item in merges {
        let value = item.get(key).ok_or_else(|| missing(&item))?.to_string();
        let Value::Object(item) = item else { continue };
        let at = known.get(&value).copied();
        let old = at.and_then(|at| items[at].as_object().cloned()).unwrap_or_default();
        let merged = Value::Object(merge_map(old, item, shape)?);
        match at {
            Some(at) => items[at] = merged,
            None => {
                known.insert(value, items.len());
                items.push(merged);
            }
        }
    }
    Ok(items)
}

/// Brings the items that `order` names into its order; the others keep their
/// place relative to those they stood beside in `before`.
fn sort(items: &mut Vec<Value>, order: &[Value], before: &[Value], key: Option<&str>) {
    let (order, before) = (places(order, key), places(before, key));
    let rank = |item: &Value| order.get(&id(item, key)).copied();
    let place = |item: &Value| before.get(&id(item, key)).copied();
    let (mut named, others): (Vec<Value>, Vec<Value>) =
        items.drain(..).partition(|item| rank(item).is_some());
    named.sort_by_cached_key(rank);
    let mut others = others.into_iter().peekable();
    for item in named {
        let at = place(&item);
        while let Some(other) = others.peek() {
            match (place(other), at) {
                (Some(other), Some(item)) if other < item => items.extend(others.next()),
                _ => break,
            }
        }
        items.push(item);
    }
    items.extend(others);
}

/// Where each identity stands first. Looked up by text, so that a long list of
/// strangers costs no more than its sorting.
fn places(items: &[Value], key: Option<&str>) -> BTreeMap<String, usize> {
    let mut found = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        found.entry(id(item, key)).or_insert(at);
    }
    found
}

/// What tells an item from the others: its key's value, or all of it.
fn id(item: &Value, key: Option<&str>) -> String {
    key.and_then(|key| item.get(key)).unwrap_or(item).to_string()
}

fn merge_key(shape: Option<&dyn Shape>) -> Option<&str> {
    match shape.map(Shape::patch_list) {
        Some(PatchList::MergeBy(key)) => Some(key),
        _ => None,
    }
}

fn without_directives(mut patch: Map<String, Value>) -> Map<String, Value> {
    patch.retain(|name, value| {
        let directive =
            name == PATCH || name == RETAIN_KEYS || name.starts_with(DELETE_FROM) || name.starts_with(ORDER);
        !directive && !value.is_null()
    });
    patch
}

fn unknown_directive(map: &Value) -> StrategicPatchError {
    let directive = &map[PATCH];
    let kind = match directive {
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float64",
        Value::Number(_) => "int64",
        _ => "",
    };
    let shown = go_text::plain(directive);
    let directive = if kind.is_empty() { shown } else { format!("%!s({kind}={shown})") };
    StrategicPatchError::UnknownDirective { directive, map: go_text::plain(map) }
}

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const DELETE_FROM: &str = "$deleteFromPrimitiveList/";
const ORDER: &str = "$setElementOrder/";

#[cfg(test)]
mod tests {
    use std::borrow::Borrow;

    use serde_json::json;

    use super::*;
    use crate::shape::tests::Described;

    fn shape() -> Described {
        let scalar = json!({});
        Described::new(&json!({"fields": {
            "labels": {"values": scalar},
            "source": {"replace": true, "fields": {"a": scalar}},
            "finalizers": {"merge": ""},
            "args": {},
            "strategy": {"fields": {"type": scalar, "rolling": scalar}},
            "containers": {"merge": "name", "item": {"fields": {
                "name": scalar, "env": {"merge": "name", "item": {"fields": {"name": scalar}}}
            }}}
        }}))
    }

    fn check(mut document: Value, patch: impl Borrow<Value>, expected: impl Borrow<Value>) {
        let patch = patch.borrow();
        apply(&mut document, patch.clone(), Some(&shape())).unwrap();
        assert_eq!(&document, expected.borrow(), "{patch}");
    }

    #[test]
    fn merges_objects_and_scalars() {
        check(
            json!({"labels": {"a": 1, "b": 2}}),
            json!({"labels": {"a": null, "c": 3}}),
            json!({"labels": {"b": 2, "c": 3}}),
        );
        check(json!({"source": {"a": 1}}), json!({"source": {"b": 2}}), json!({"source": {"b": 2}}));
        check(json!({"args": [1, 2]}), json!({"args": [3]}), json!({"args": [3]}));
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"finalizers": ["c", "a"]}),
            json!({"finalizers": ["c", "a", "b"]}),
        );
        check(json!({}), json!({"labels": {"a": null, "b": 1}}), json!({"labels": {"b": 1}}));
        check(
            json!({"labels": {"a": 1}}),
            json!({"labels": {"$patch": "replace", "b": 1}}),
            json!({"labels": {"b": 1}}),
        );
        check(json!({"labels": {"a": 1}}), json!({"labels": {"$patch": "delete"}}), json!({"labels": {}}));
    }

    #[test]
    fn merges_lists_by_key() {
        let before = || json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "env": [{"name": "x", "value": "1"}]}]});
        check(
            before(),
            json!({"containers": [{"name": "b", "env": [{"name": "y"}]}]}),
            json!({"containers": [{"name": "a", "image": "1"}, {"name": "b", "env": [{"name": "y"}, {"name": "x", "value": "1"}]}]}),
        );
        check(
            before(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b", "env": [{"name": "x", "value": "1"}]}]}),
        );
        check(
            before(),
            json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        );
        check(
            before(),
            json!({"containers": [{"name": "a", "$patch": "replace", "image": "2"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        );
    }

    #[test]
    fn obeys_directives() {
        check(
            json!({"finalizers": ["a", "b", "c"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a", "x"]}),
            json!({"finalizers": ["b", "c"]}),
        );
        check(
            json!({"strategy": {"type": "RollingUpdate", "rolling": 1}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
        check(
            json!({"containers": [{"name": "a"}, {"name": "s"}, {"name": "b"}]}),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "c"}, {"name": "a"}], "containers": [{"name": "c"}]}),
            json!({"containers": [{"name": "s"}, {"name": "b"}, {"name": "c"}, {"name": "a"}]}),
        );
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"$setElementOrder/finalizers": ["b", "a"]}),
            json!({"finalizers": ["b", "a"]}),
        );
    }

    #[test]
    fn refuses_in_the_known_words() {
        for (patch, message) in [
            (json!([]), "a strategic merge patch must be an object"),
            (json!({"$patch": "spam"}), "unknown patch type: spam in map: map[$patch:spam]"),
            (json!({"$patch": 1}), "unknown patch type: %!s(int64=1) in map: map[$patch:1]"),
            (
                json!({"containers": [{"image": "x"}]}),
                "map: map[image:x] does not contain declared merge key: name",
            ),
            (
                json!({"containers": [{"$patch": "delete"}]}),
                "map: map[$patch:delete] does not contain declared merge key: name",
            ),
            (
                json!({"containers": [{"$patch": "spam", "name": "a"}]}),
                "unknown patch type: spam in map: map[$patch:spam name:a]",
            ),
            (
                json!({"containers": [{"$patch": 7, "name": "a"}]}),
                "unknown patch type: %!s(int64=7) in map: map[$patch:7 name:a]",
            ),
            (json!({"containers": ["a"]}), "list element types are not identical in field \"containers\""),
            (json!({"labels": {"$retainKeys": ["a"], "b": 1}}), "invalid patch format of retainKeys"),
            (
                json!({"$setElementOrder/containers": [], "containers": [{"name": "x"}]}),
                "invalid patch format of setElementOrder list",
            ),
            (json!({"$setElementOrder/containers": 1}), "invalid patch format of setElementOrder list"),
            (json!({"$deleteFromPrimitiveList/finalizers": 1}), "invalid patch format of primitive list"),
        ] {
            let before = json!({"containers": [{"name": "a"}], "labels": {"c": 1}});
            let mut document = before.clone();
            let error = apply(&mut document, patch.clone(), Some(&shape())).unwrap_err();
            assert_eq!(error.to_string(), message, "{patch}");
            assert_eq!(document, before);
        }
    }

    #[test]
    fn a_long_list_of_strangers_is_merged_quickly() {
        let list =
            |from: usize| (from..from + 50_000).rev().map(|at| json!(at.to_string())).collect::<Vec<_>>();
        let mut document = json!({"finalizers": list(0)});
        let patch = json!({"finalizers": list(25_000), "$setElementOrder/finalizers": list(25_000)});
        apply(&mut document, patch, Some(&shape())).unwrap();
        assert_eq!(document["finalizers"].as_array().map(Vec::len), Some(75_000));
    }

    proptest::proptest! {
        #[test]
        fn names_are_unique_after_a_merge(
            old in proptest::collection::btree_set("[a-d]", 0..4),
            new in proptest::collection::btree_set("[a-d]", 0..4),
            kind in "delete|merge|replace|spam") {
            let list = |names: &BTreeSet<String>| names.iter().map(|name| json!({"name": name})).collect::<Vec<_>>();
            let mut patch = list(&new);
            patch.push(json!({"name": "a", "$patch": kind}));
            let mut document = json!({"containers": list(&old)});
            if apply(&mut document, json!({"containers": patch}), Some(&shape())).is_ok() && !new.contains("a") {
                let names: Vec<String> = document["containers"].as_array().unwrap().iter().map(|item| item["name"].to_string()).collect();
                let unique: BTreeSet<_> = names.iter().collect();
                proptest::prop_assert_eq!(unique.len(), names.len());
            }
        }
    }
}
