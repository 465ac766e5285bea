//! Takes out what a schema does not know.

use kube_object::strict;
use serde_json::Value;

use crate::schema::{Additional, Structural, is_meta_field};

/// Prunes below a schema; gives the paths of what was dropped, sorted, at most
/// [`strict::UNKNOWN_MAX`]. The members of an API object are left to metadata's own rules.
pub(crate) fn prune(value: &mut Value, schema: &Structural) -> Vec<String> {
    let mut pruner = Pruner { path: String::new(), dropped: Vec::new() };
    pruner.value(value, Some(schema));
    pruner.dropped.sort();
    pruner.dropped
}

/// Takes out nulls where null is no value and no default will take its place.
pub(crate) fn prune_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(fields) => fields.retain(|name, value| {
            let below = schema.and_then(|schema| schema.child(name));
            if value.is_null() && below.is_some_and(|below| !below.nullable && below.default.is_none()) {
                return false;
            }
            prune_nulls(value, below);
            true
        }),
        Value::Array(items) => {
            let below = schema.and_then(|schema| schema.items.as_deref());
            items.iter_mut().for_each(|item| prune_nulls(item, below));
        }
        _ => {}
    }
}

struct Pruner {
    path: String,
    dropped: Vec<String>,
}

impl Pruner {
    fn value(&mut self, value: &mut Value, schema: Option<&Structural>) {
        match value {
            Value::Object(fields) => fields.retain(|name, value| self.keep(name, value, schema)),
            Value::Array(items) => {
                let preserve = schema.is_some_and(|schema| schema.preserve);
                let below = schema.and_then(|schema| schema.items.as_deref());
                if preserve && below.is_none() {
                    return;
                }
                for (at, item) in items.iter_mut().enumerate() {
                    let len = self.path.len();
                    self.path.push_str(&format!("[{at}]"));
                    match below {
                        Some(below) if preserve => self.preserved(item, below),
                        below => self.value(item, below),
                    }
                    self.path.truncate(len);
                }
            }
            _ => {}
        }
    }

    /// Below an open list the items are open too.
    fn preserved(&mut self, value: &mut Value, schema: &Structural) {
        match value {
            Value::Object(fields) => fields.iter_mut().for_each(|(name, value)| {
                let below = schema.child(name);
                if below.is_some() && !(schema.embedded && is_meta_field(name)) {
                    self.below(name, value, below);
                }
            }),
            Value::Array(items) => {
                let Some(below) = schema.items.as_deref() else { return };
                for (at, item) in items.iter_mut().enumerate() {
                    let len = self.path.len();
                    self.path.push_str(&format!("[{at}]"));
                    self.preserved(item, below);
                    self.path.truncate(len);
                }
            }
            _ => {}
        }
    }

    fn keep(&mut self, name: &str, value: &mut Value, schema: Option<&Structural>) -> bool {
        let Some(schema) = schema else {
            self.drop(name);
            return false;
        };
        if schema.is_resource() && is_meta_field(name) {
            return true;
        }
        match (schema.properties.get(name), &schema.additional) {
            (Some(below), _) => self.below(name, value, Some(below)),
            (None, Some(Additional::Schema(below))) => self.below(name, value, Some(below)),
            (None, _) if schema.preserve => {}
            (None, Some(Additional::Any(_))) => self.below(name, value, None),
            (None, None) => {
                self.drop(name);
                return false;
            }
        }
        true
    }

    fn below(&mut self, name: &str, value: &mut Value, schema: Option<&Structural>) {
        let len = self.push(name);
        self.value(value, schema);
        self.path.truncate(len);
    }

    fn drop(&mut self, name: &str) {
        if !strict::is_enough(&self.dropped) {
            let len = self.push(name);
            self.dropped.push(self.path.clone());
            self.path.truncate(len);
        }
    }

    fn push(&mut self, name: &str) -> usize {
        let len = self.path.len();
        if len > 0 {
            self.path.push('.');
        }
        self.path.push_str(name);
        len
    }
}
