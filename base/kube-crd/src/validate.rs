//! What is wrong with a value, in the API's words.
//!
//! The order of checks, and which of them end the others, follow the validator of
//! kube-openapi: clients compare its messages.

mod formats;
mod junctors;
mod object;
mod scalar;
#[cfg(test)]
mod tests;

pub use formats::is_known as is_known_format;

use std::collections::BTreeMap;

use kube_object::field_error::{FieldError, FieldErrorReason};
use serde_json::{Map, Value};

use crate::schema::{Additional, Structural};
use crate::value::lists::identity;

impl Structural {
    /// What is wrong with a value. With what it was before, errors of parts that did
    /// not change are forgiven (ratcheting), as far as the parts can be told apart.
    ///
    /// `prefix` is the path that is put before those of the errors, not of their words.
    pub fn validate(&self, value: &Value, old: Option<&Value>, prefix: &str) -> Vec<FieldError> {
        let mut validator = Validator { prefix, path: String::new() };
        let old = old.map(|old| Old { value: old, schema: self });
        validator.ratcheted(value, self, old).errors
    }
}

/// The errors of a value, and how many checks it passed: of several alternatives
/// that fail, the one that came furthest is reported.
#[derive(Default)]
struct Outcome {
    errors: Vec<FieldError>,
    passed: usize,
}

impl Outcome {
    fn add(&mut self, other: Outcome) {
        self.errors.extend(other.errors);
        self.passed += other.passed;
    }
}

/// The value that a value takes the place of, and its type.
#[derive(Clone, Copy)]
struct Old<'a> {
    value: &'a Value,
    schema: &'a Structural,
}

impl<'a> Old<'a> {
    fn field(self, name: &str) -> Option<Old<'a>> {
        if self.schema.map_type.as_deref() == Some("atomic") {
            return None;
        }
        Some(Old { value: self.value.get(name)?, schema: self.schema.child(name)? })
    }
}

struct Validator<'a> {
    prefix: &'a str,
    path: String,
}

impl Validator<'_> {
    /// Validates, and forgives everything if nothing changed.
    fn ratcheted(&mut self, value: &Value, schema: &Structural, old: Option<Old<'_>>) -> Outcome {
        let mut outcome = self.value(value, schema, old);
        if !outcome.errors.is_empty() && old.is_some_and(|old| old.value == value) {
            outcome.errors.clear();
        }
        outcome
    }

    fn value(&mut self, value: &Value, schema: &Structural, old: Option<Old<'_>>) -> Outcome {
        let mut outcome = Outcome::default();
        outcome.add(self.kind(value, schema));
        if value.is_null() {
            outcome.errors.extend(self.values(value, schema));
            return outcome;
        }
        outcome.add(self.junctors(value, schema, old));
        let checks = &schema.checks;
        // Each check that applies counts, and the node itself.
        outcome.passed += 5;
        match value {
            Value::String(text) => {
                outcome.errors.extend(self.string(text, checks));
                outcome.errors.extend(self.format(text, schema));
            }
            Value::Number(number) => outcome.errors.extend(self.number(number, checks)),
            Value::Array(items) => outcome.add(self.list(items, schema, old)),
            _ => {}
        }
        outcome.errors.extend(self.values(value, schema));
        if let Value::Object(fields) = value {
            outcome.add(self.object(fields, schema, old));
        }
        outcome
    }

    fn kind(&self, value: &Value, schema: &Structural) -> Outcome {
        match scalar::wrong_type(value, schema) {
            None => Outcome { errors: Vec::new(), passed: 1 },
            Some((wanted, found)) => {
                let detail = format!("{} in body must be of type {wanted}: {found:?}", self.path);
                let error = FieldError::type_invalid(self.field(""), found, detail);
                Outcome { errors: vec![error], passed: 0 }
            }
        }
    }

    fn values(&self, value: &Value, schema: &Structural) -> Option<FieldError> {
        let values = &schema.checks.values;
        if values.is_empty() || values.iter().any(|one| scalar::same(one, value)) {
            return None;
        }
        let words = values.iter().map(|value| match value {
            Value::String(text) => format!("{text:?}"),
            other => format!("{:?}", other.to_string()),
        });
        let words: Vec<String> = words.collect();
        Some(FieldError {
            reason: FieldErrorReason::NotSupported,
            field: self.field(""),
            bad_value: Some(value.clone()),
            detail: format!("supported values: {}", words.join(", ")),
        })
    }

    fn list(&mut self, items: &[Value], schema: &Structural, old: Option<Old<'_>>) -> Outcome {
        let mut outcome = Outcome { errors: Vec::new(), passed: 1 };
        if let Some(below) = &schema.items {
            let before = old.map(index_of_old).unwrap_or_default();
            for (at, item) in items.iter().enumerate() {
                let old = match old {
                    Some(old) if !before.is_empty() => {
                        let key = identity(item, &old.schema.list_keys).to_string();
                        let schema = old.schema.items.as_deref();
                        before.get(&key).copied().zip(schema).map(|(value, schema)| Old { value, schema })
                    }
                    _ => None,
                };
                let len = self.path.len();
                self.path.push_str(&format!("[{at}]"));
                outcome.add(self.ratcheted(item, below, old));
                self.path.truncate(len);
            }
        }
        let (checks, size) = (&schema.checks, items.len() as i64);
        if let Some(min) = checks.min_items.filter(|min| size < *min) {
            let detail = format!("{} in body should have at least {min} items", self.path);
            outcome.errors.push(FieldError::invalid(self.field(""), size, detail));
        }
        if let Some(max) = checks.max_items.filter(|max| size > *max) {
            let max = usize::try_from(max).unwrap_or_default();
            outcome.errors.push(FieldError::too_many(self.field(""), items.len(), max));
        }
        outcome
    }

    fn object(&mut self, fields: &Map<String, Value>, schema: &Structural, old: Option<Old<'_>>) -> Outcome {
        if let Some(error) = self.size(fields, schema) {
            return Outcome { errors: vec![error], passed: 0 };
        }
        let mut outcome = Outcome::default();
        let undeclared = |name: &str| !schema.properties.contains_key(name);
        match &schema.additional {
            Some(Additional::Any(false)) => {
                for name in fields.keys().filter(|name| undeclared(name)) {
                    let detail = format!("{}.{name} in body is a forbidden property", self.path);
                    outcome.errors.push(FieldError::invalid(self.field(""), name.as_str(), detail));
                }
            }
            Some(Additional::Schema(below)) => {
                for (name, value) in fields.iter().filter(|(name, _)| undeclared(name)) {
                    let old = old.and_then(|old| old.field(name));
                    outcome.add(self.below(true, name, value, below, old));
                }
            }
            _ => {}
        }
        for (name, below) in &schema.properties {
            if let Some(value) = fields.get(name) {
                let is_type = self.path.is_empty() && (name == "kind" || name == "apiVersion");
                let old = old.filter(|_| !is_type).and_then(|old| old.field(name));
                outcome.add(self.below(!self.path.is_empty(), name, value, below, old));
            }
        }
        for name in schema.checks.required.iter().filter(|name| !fields.contains_key(*name)) {
            outcome.errors.push(FieldError::required(self.field(&format!(".{name}")), ""));
        }
        outcome
    }

    fn below(
        &mut self,
        dot: bool,
        name: &str,
        value: &Value,
        schema: &Structural,
        old: Option<Old<'_>>,
    ) -> Outcome {
        let len = self.path.len();
        if dot {
            self.path.push('.');
        }
        self.path.push_str(name);
        let outcome = self.ratcheted(value, schema, old);
        self.path.truncate(len);
        outcome
    }

    fn size(&self, fields: &Map<String, Value>, schema: &Structural) -> Option<FieldError> {
        let size = fields.len() as i64;
        if let Some(min) = schema.checks.min_properties.filter(|min| size < *min) {
            let detail = format!("{} in body should have at least {min} properties", self.path);
            return Some(FieldError::invalid(self.field(""), size, detail));
        }
        let max = schema.checks.max_properties.filter(|max| size > *max)?;
        let max = usize::try_from(max).unwrap_or_default();
        Some(FieldError::too_many(self.field(""), fields.len(), max))
    }

    /// The path of an error: the prefix, where the value stands, and what follows.
    fn field(&self, suffix: &str) -> String {
        let path = format!("{}{suffix}", self.path);
        let path = path.strip_prefix('.').unwrap_or(&path);
        let dot = if self.prefix.is_empty() || path.is_empty() { "" } else { "." };
        format!("{}{dot}{path}", self.prefix)
    }
}

/// The items of a map list by what identifies them; empty for other lists.
fn index_of_old(old: Old<'_>) -> BTreeMap<String, &Value> {
    let Value::Array(items) = old.value else { return BTreeMap::new() };
    if !old.schema.is_list_map() {
        return BTreeMap::new();
    }
    items.iter().map(|item| (identity(item, &old.schema.list_keys).to_string(), item)).collect()
}
