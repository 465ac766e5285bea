//! Objects seen through their shape: the fields they have, how two differ, the
//! merge of one into the other, and the removal of fields.

use std::collections::{BTreeMap, BTreeSet};

use base::{Classified, ErrorClass};
use serde_json::{Map, Value};

use super::field_set::{FieldSet, PathElement, path_text};
use crate::shape::{ListKind, Shape};

/// An object does not fit its shape. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Two items of a list have the same identity.
    #[error("{path}: duplicate entries for key {key}")]
    Duplicate {
        /// The list.
        path: String,
        /// The identity.
        key: String,
    },
    /// An item lacks a field that identifies it.
    #[error(
        "{path}: element {at}: associative list with keys has an element that omits key field {key:?} \
         (and doesn't have default value)"
    )]
    NoKey {
        /// The list.
        path: String,
        /// The item.
        at: usize,
        /// The field.
        key: String,
    },
    /// An item of such a list is null.
    #[error("{path}: element {at}: associative list with keys may not have a null element")]
    NullItem {
        /// The list.
        path: String,
        /// The item.
        at: usize,
    },
    /// An item of a set has no value that could identify it.
    #[error("{path}: element {at}: {why}")]
    NoScalar {
        /// The list.
        path: String,
        /// The item.
        at: usize,
        /// What it is instead.
        why: &'static str,
    },
    /// Values do not fit their types, or fields are not declared.
    #[error("{0}")]
    Unfit(String),
    /// An item of such a list is not an object.
    #[error("{path}: element {at}: associative list with keys may not have non-map elements")]
    NotAnObject {
        /// The list.
        path: String,
        /// The item.
        at: usize,
    },
}

impl Classified for ShapeError {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// How two objects differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Comparison {
    /// Only in the second.
    pub added: FieldSet,
    /// In both with different values.
    pub modified: FieldSet,
    /// Only in the first.
    pub removed: FieldSet,
}

type MaybeShape<'a> = Option<&'a dyn Shape>;
type Path = Vec<PathElement>;

/// The fields that an object has, as an applier of it would own them.
pub fn field_set(value: &Value, shape: MaybeShape<'_>) -> Result<FieldSet, ShapeError> {
    let mut set = FieldSet::new();
    collect(value, shape, &mut Vec::new(), &mut set)?;
    Ok(set)
}

fn collect(
    value: &Value,
    shape: MaybeShape<'_>,
    path: &mut Path,
    set: &mut FieldSet,
) -> Result<(), ShapeError> {
    match value {
        Value::Object(fields) if !is_atomic_map(shape) => {
            for (name, value) in fields {
                path.push(PathElement::Field(name.clone()));
                collect(value, shape.and_then(|shape| shape.field(name)), path, set)?;
                let empty = value.is_null() || value.as_object().is_some_and(Map::is_empty);
                if empty || !shape.is_some_and(|shape| shape.declares(name)) {
                    set.insert(path);
                }
                path.pop();
            }
        }
        Value::Array(items) if is_keyed_list(shape) => {
            for (element, item) in unique(items, shape, path)? {
                path.push(element);
                collect(item, shape.and_then(Shape::item), path, set)?;
                set.insert(path);
                path.pop();
            }
        }
        Value::Null => {}
        _ => set.insert(path),
    }
    Ok(())
}

/// Merges an applied configuration into the live object. What the configuration
/// does not name stays; its lists give their order to what they name.
pub fn merge(live: &Value, config: &Value, shape: MaybeShape<'_>) -> Result<Value, ShapeError> {
    merge_at(Some(live), config, shape, &mut Vec::new())
}

fn merge_at(
    live: Option<&Value>,
    config: &Value,
    shape: MaybeShape<'_>,
    path: &mut Path,
) -> Result<Value, ShapeError> {
    match (live, config) {
        (_, Value::Object(fields)) if !is_atomic_map(shape) => {
            let mut merged = live.and_then(Value::as_object).cloned().unwrap_or_default();
            for (name, value) in fields {
                path.push(PathElement::Field(name.clone()));
                let below = shape.and_then(|shape| shape.field(name));
                let value = merge_at(merged.get(name), value, below, path)?;
                path.pop();
                merged.insert(name.clone(), value);
            }
            Ok(Value::Object(merged))
        }
        (_, Value::Array(items)) if is_keyed_list(shape) => {
            let live = live.and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
            merge_lists(live, items, shape, path).map(Value::Array)
        }
        _ => Ok(config.clone()),
    }
}

fn merge_lists(
    live: &[Value],
    config: &[Value],
    shape: MaybeShape<'_>,
    path: &mut Path,
) -> Result<Vec<Value>, ShapeError> {
    let theirs = unique(config, shape, path)?;
    let named: BTreeSet<&PathElement> = theirs.iter().map(|(element, _)| element).collect();
    // A live item without identity has been there before the shape: it stays.
    let ours: Vec<(Option<PathElement>, &Value)> =
        live.iter().enumerate().map(|(at, item)| (identity(item, at, shape, path).ok(), item)).collect();
    let mut first: BTreeMap<&PathElement, &Value> = BTreeMap::new();
    for (element, item) in &ours {
        if let Some(element) = element {
            first.entry(element).or_insert(item);
        }
    }
    let mut merged = Vec::with_capacity(live.len().max(config.len()));
    let mut rest = ours.iter().peekable();
    for (element, item) in &theirs {
        let shared = first.contains_key(element);
        // What only the live list has keeps its place before the next item that both have.
        while let Some((ours, value)) = rest.peek() {
            let only_live = ours.as_ref().is_none_or(|ours| !named.contains(ours));
            if only_live {
                merged.push((*value).clone());
            } else if !shared || ours.as_ref() == Some(element) {
                break;
            }
            rest.next();
        }
        if rest.peek().is_some_and(|(ours, _)| ours.as_ref() == Some(element)) {
            rest.next();
        }
        path.push(element.clone());
        merged.push(merge_at(first.get(element).copied(), item, shape.and_then(Shape::item), path)?);
        path.pop();
    }
    let only_live =
        |ours: &&(Option<PathElement>, &Value)| ours.0.as_ref().is_none_or(|ours| !named.contains(ours));
    merged.extend(rest.filter(only_live).map(|(_, value)| (*value).clone()));
    Ok(merged)
}

/// Whether an object has more than `max` fields that managers could own: counted before sets of them
/// are made, which take many times the memory of the object.
pub fn has_more_fields(value: &Value, shape: MaybeShape<'_>, max: usize) -> bool {
    // Nearly all objects are small, whatever their types say.
    members_left(value, max).is_none() && fields_left(value, shape, max).is_none()
}

/// What is left of `left` after all members and items; none if there are more.
fn members_left(value: &Value, left: usize) -> Option<usize> {
    match value {
        Value::Object(fields) => {
            let left = left.checked_sub(fields.len())?;
            fields.values().try_fold(left, |left, value| members_left(value, left))
        }
        Value::Array(items) => {
            let left = left.checked_sub(items.len())?;
            items.iter().try_fold(left, |left, value| members_left(value, left))
        }
        _ => Some(left),
    }
}

/// The same for those that can be owned by themselves.
fn fields_left(value: &Value, shape: MaybeShape<'_>, left: usize) -> Option<usize> {
    match value {
        Value::Object(fields) if !is_atomic_map(shape) => {
            let left = left.checked_sub(fields.len())?;
            fields.iter().try_fold(left, |left, (name, value)| {
                fields_left(value, shape.and_then(|shape| shape.field(name)), left)
            })
        }
        Value::Array(items) if is_keyed_list(shape) => {
            let left = left.checked_sub(items.len())?;
            let item = shape.and_then(Shape::item);
            items.iter().try_fold(left, |left, value| fields_left(value, item, left))
        }
        _ => Some(left),
    }
}

/// How `new` differs from `old`.
pub fn compare(old: &Value, new: &Value, shape: MaybeShape<'_>) -> Comparison {
    compare_at(Some(old), Some(new), shape).0
}

/// How two values differ below themselves, and whether the first became the second as a whole.
fn compare_at(old: Option<&Value>, new: Option<&Value>, shape: MaybeShape<'_>) -> (Comparison, bool) {
    let fields = |value: Option<&Value>| value.is_none_or(Value::is_object);
    let items = |value: Option<&Value>| value.is_none_or(Value::is_array);
    if fields(old) && fields(new) && !is_atomic_map(shape) {
        (compare_fields(old, new, shape), false)
    } else if items(old) && items(new) && is_keyed_list(shape) {
        (compare_lists(old, new, shape), false)
    } else {
        (Comparison::default(), matches!((old, new), (Some(old), Some(new)) if old != new))
    }
}

fn compare_fields(old: Option<&Value>, new: Option<&Value>, shape: MaybeShape<'_>) -> Comparison {
    let mut out = Comparison::default();
    let only_new = members(new).filter(|(name, _)| old.is_none_or(|old| old.get(name).is_none()));
    for (name, _) in members(old).chain(only_new) {
        let (old, new) = (old.and_then(|old| old.get(name)), new.and_then(|new| new.get(name)));
        let element = PathElement::Field(name.clone());
        out.take(element, (old, new), shape.and_then(|shape| shape.field(name)));
    }
    out
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&String, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten()
}

fn compare_lists(old: Option<&Value>, new: Option<&Value>, shape: MaybeShape<'_>) -> Comparison {
    let mut found: BTreeMap<PathElement, (Vec<&Value>, Vec<&Value>)> = BTreeMap::new();
    for (side, list) in [old, new].into_iter().enumerate() {
        for (at, item) in list.and_then(Value::as_array).into_iter().flatten().enumerate() {
            let element = identity(item, at, shape, &[]).unwrap_or(PathElement::Index(at as u64));
            let sides = found.entry(element).or_default();
            if side == 0 { sides.0.push(item) } else { sides.1.push(item) }
        }
    }
    let mut out = Comparison::default();
    for (element, (old, new)) in found {
        if old.len() <= 1 && new.len() <= 1 {
            let sides = (old.first().copied(), new.first().copied());
            out.take(element, sides, shape.and_then(Shape::item));
        } else if old.is_empty() {
            out.added.put(&element, true, FieldSet::new());
        } else if new.is_empty() {
            out.removed.put(&element, true, FieldSet::new());
        } else if old != new {
            out.modified.put(&element, true, FieldSet::new());
        }
    }
    out
}

impl Comparison {
    /// Adds how an element differs: it, and what is below it.
    fn take(
        &mut self,
        element: PathElement,
        (old, new): (Option<&Value>, Option<&Value>),
        shape: MaybeShape<'_>,
    ) {
        match (old, new) {
            (None, Some(new)) => self.added.place(element, true, whole(new, shape)),
            (Some(old), None) => self.removed.place(element, true, whole(old, shape)),
            _ => {
                let (below, modified) = compare_at(old, new, shape);
                self.added.put(&element, false, below.added);
                self.removed.put(&element, false, below.removed);
                self.modified.place(element, modified, below.modified);
            }
        }
    }
}

/// All that is below a value which is only on one side.
fn whole(value: &Value, shape: MaybeShape<'_>) -> FieldSet {
    let mut set = FieldSet::new();
    match value {
        Value::Object(fields) if !is_atomic_map(shape) => {
            for (name, value) in fields {
                let below = whole(value, shape.and_then(|shape| shape.field(name)));
                set.place(PathElement::Field(name.clone()), true, below);
            }
        }
        Value::Array(items) if is_keyed_list(shape) => {
            for (at, item) in items.iter().enumerate() {
                let element = identity(item, at, shape, &[]).unwrap_or(PathElement::Index(at as u64));
                // Of those that have one identity nothing below is told.
                let below = if set.has(&element) {
                    FieldSet::new()
                } else {
                    whole(item, shape.and_then(Shape::item))
                };
                set.place(element, true, below);
            }
        }
        _ => {}
    }
    set
}

/// Takes the members of `set` out of a value, and what they leave empty.
pub fn remove(value: &mut Value, set: &FieldSet, shape: MaybeShape<'_>) {
    match value {
        Value::Object(fields) if !is_atomic_map(shape) => fields.retain(|name, value| {
            let element = PathElement::Field(name.clone());
            keep(value, &element, set, shape.and_then(|shape| shape.field(name)))
        }),
        Value::Array(items) if is_keyed_list(shape) => {
            let mut at = 0;
            items.retain_mut(|item| {
                at += 1;
                match identity(item, at - 1, shape, &[]) {
                    Ok(element) => keep(item, &element, set, shape.and_then(Shape::item)),
                    Err(_) => true,
                }
            });
        }
        _ => {}
    }
}

fn keep(value: &mut Value, element: &PathElement, set: &FieldSet, shape: MaybeShape<'_>) -> bool {
    if set.has(element) {
        return false;
    }
    let Some(below) = set.below(element).filter(|below| !below.is_empty()) else { return true };
    let was_empty = is_empty(value);
    remove(value, below, shape);
    was_empty || !is_empty(value)
}

/// The set, and in it each declared field on the way to a member.
pub fn with_declared_fields(set: &FieldSet, shape: MaybeShape<'_>) -> FieldSet {
    let mut all = set.clone();
    for path in set.paths() {
        let mut shape = shape;
        for (at, element) in path.iter().enumerate() {
            shape = match (element, shape) {
                (PathElement::Field(name), Some(parent)) => {
                    if parent.declares(name) {
                        all.insert(&path[..=at]);
                    }
                    parent.field(name)
                }
                (_, Some(parent)) => parent.item(),
                (_, None) => None,
            };
        }
    }
    all
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn is_atomic_map(shape: MaybeShape<'_>) -> bool {
    shape.is_some_and(Shape::is_atomic_map)
}

fn is_keyed_list(shape: MaybeShape<'_>) -> bool {
    shape.is_some_and(|shape| shape.list() != ListKind::Atomic)
}

/// The items with their identities, of which none may be there twice.
fn unique<'a>(
    items: &'a [Value],
    shape: MaybeShape<'_>,
    path: &[PathElement],
) -> Result<Vec<(PathElement, &'a Value)>, ShapeError> {
    let mut seen = BTreeSet::new();
    let mut found = Vec::with_capacity(items.len());
    for (at, item) in items.iter().enumerate() {
        let element = identity(item, at, shape, path)?;
        if !seen.insert(element.clone()) {
            return Err(ShapeError::Duplicate { path: path_text(path), key: element.to_string() });
        }
        found.push((element, item));
    }
    Ok(found)
}

fn set_element(item: &Value, at: usize, path: &[PathElement]) -> Result<PathElement, ShapeError> {
    let why = match item {
        Value::Object(_) => "associative list without keys has an element that's a map type",
        Value::Array(_) => "not supported: associative list with lists as elements",
        Value::Null => "associative list without keys has an element that's an explicit null",
        scalar => return Ok(PathElement::Value(scalar.to_string())),
    };
    Err(ShapeError::NoScalar { path: path_text(path), at, why })
}

pub(super) fn identity(
    item: &Value,
    at: usize,
    shape: MaybeShape<'_>,
    path: &[PathElement],
) -> Result<PathElement, ShapeError> {
    let Some(shape) = shape else { return Ok(PathElement::Index(at as u64)) };
    let keys = match shape.list() {
        ListKind::Atomic => return Ok(PathElement::Index(at as u64)),
        ListKind::Set => return set_element(item, at, path),
        ListKind::Map(keys) => keys,
    };
    if item.is_null() {
        return Err(ShapeError::NullItem { path: path_text(path), at });
    }
    let fields = item.as_object().ok_or_else(|| ShapeError::NotAnObject { path: path_text(path), at })?;
    let mut found = BTreeMap::new();
    for key in keys.iter() {
        let value = match fields.get(key) {
            Some(value) if !value.is_null() => Some(value.to_string()),
            _ => shape.key_default(key).map(|value| value.to_string()),
        };
        if let Some(value) = value {
            found.insert(key.to_owned(), value);
        }
    }
    // With some keys there, the rest may be left out, as with optional keys.
    match keys.iter().next() {
        Some(key) if found.is_empty() => {
            Err(ShapeError::NoKey { path: path_text(path), at, key: key.to_owned() })
        }
        _ => Ok(PathElement::Keys(found)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::shape::tests::Described;

    #[test]
    fn counts_fields_that_can_be_owned() {
        let shape = Described::new(&json!({"fields": {
            "data": {"values": {}}, "whole": {"atomic": true, "values": {}}, "list": {"item": {}},
            "keyed": {"list": "map", "keys": ["k"], "item": {"fields": {"k": {}}}}
        }}));
        for (value, fields) in [
            (json!({"data": {"a": 1, "b": 2}}), 3),
            (json!({"whole": {"a": 1, "b": 2}, "list": [1, 2, 3]}), 2),
            (json!({"keyed": [{"k": 1}, {"k": 2}]}), 5),
            (json!(1), 0),
        ] {
            assert!(!has_more_fields(&value, Some(&shape), fields), "{value}");
            assert!(fields == 0 || has_more_fields(&value, Some(&shape), fields - 1), "{value}");
        }
    }
}
