//! Lists that are sets or maps have nothing twice.

use std::collections::BTreeMap;

use kube_object::field_error::FieldError;
use serde_json::{Map, Value};

use crate::path::Path;
use crate::schema::Structural;

/// Duplicates in sets and map lists, each named once at its second place.
pub(crate) fn duplicates(value: &Value, schema: &Structural, path: &Path<'_>) -> Vec<FieldError> {
    let mut found = Vec::new();
    walk(value, schema, path, &mut found);
    found
}

fn walk(value: &Value, schema: &Structural, path: &Path<'_>, found: &mut Vec<FieldError>) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (schema.properties.get(name), schema.values_schema()) {
                    (Some(below), _) => walk(value, below, &path.child(name), found),
                    (None, Some(below)) => walk(value, below, &path.key(name), found),
                    (None, None) => {}
                }
            }
        }
        Value::Array(items) => {
            match schema.list_type.as_deref() {
                Some("set") => {
                    let twice = second_places(items.iter().map(Value::to_string));
                    found.extend(
                        twice
                            .into_iter()
                            .map(|at| FieldError::duplicate(path.index(at).to_string(), items[at].clone())),
                    );
                }
                Some("map") => map_list(items, &schema.list_keys, path, found),
                _ => {}
            }
            if let Some(below) = &schema.items {
                for (at, item) in items.iter().enumerate() {
                    walk(item, below, &path.index(at), found);
                }
            }
        }
        _ => {}
    }
}

fn map_list(items: &[Value], keys: &[String], path: &Path<'_>, found: &mut Vec<FieldError>) {
    if let Some(at) = items.iter().position(|item| !item.is_object() && !item.is_null()) {
        let detail = "must be an object for an array of list-type map";
        found.push(FieldError::invalid(path.index(at).to_string(), items[at].clone(), detail));
        return;
    }
    let all: Vec<Value> = items.iter().map(|item| identity(item, keys)).collect();
    for at in second_places(all.iter().map(Value::to_string)) {
        found.push(FieldError::duplicate(path.index(at).to_string(), all[at].clone()));
    }
}

/// The members of an item that tell it from others.
pub(crate) fn identity(item: &Value, keys: &[String]) -> Value {
    let member = |key: &String| Some((key.clone(), item.get(key)?.clone()));
    Value::Object(keys.iter().filter_map(member).collect::<Map<_, _>>())
}

fn second_places(items: impl Iterator<Item = String>) -> Vec<usize> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = Vec::new();
    for (at, item) in items.enumerate() {
        let times = seen.entry(item).or_default();
        *times += 1;
        if *times == 2 {
            found.push(at);
        }
    }
    found
}
