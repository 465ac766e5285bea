//! Defaults are values of their own schema, and hold nothing that pruning would drop.

use kube_object::field_error::FieldError;
use serde_json::{Map, Value, json};

use crate::path::Path;
use crate::rules::{OBJECT_BUDGET, RuleCompiler, Rules};
use crate::schema::{Structural, is_meta_field};
use crate::value::{Malformed, meta, prune};

pub(super) fn errors(
    schema: &Structural,
    path: &Path<'_>,
    compiler: Option<&dyn RuleCompiler>,
) -> Vec<FieldError> {
    let mut walk = Walk { compiler, budget: OBJECT_BUDGET, found: Vec::new() };
    walk.node(schema, path, None);
    walk.found
}

/// The steps from an embedded object to a node in its metadata.
#[derive(Clone, Copy)]
enum Around<'a> {
    Resource(&'a Structural),
    Child(&'a Around<'a>, &'a str),
    Item(&'a Around<'a>),
}

impl Around<'_> {
    /// The object that has nothing but this value in its place.
    fn wrap(&self, value: Value) -> Value {
        match self {
            Around::Resource(_) => value,
            Around::Child(above, name) => {
                let mut fields = Map::new();
                fields.insert((*name).to_owned(), value);
                above.wrap(Value::Object(fields))
            }
            Around::Item(above) => above.wrap(json!([value])),
        }
    }

    fn resource(&self) -> &Structural {
        match self {
            Around::Resource(schema) => schema,
            Around::Child(above, _) | Around::Item(above) => above.resource(),
        }
    }
}

struct Walk<'a> {
    compiler: Option<&'a dyn RuleCompiler>,
    budget: u64,
    found: Vec<FieldError>,
}

impl Walk<'_> {
    /// `meta` is set inside of apiVersion, kind and metadata.
    fn node(&mut self, schema: &Structural, path: &Path<'_>, meta: Option<&Around<'_>>) {
        let meta = meta.filter(|_| !schema.embedded);
        if let Some(default) = &schema.default {
            let path = path.child("default").to_string();
            match meta {
                Some(around) => self.in_metadata(schema, default, &path, around),
                None => self.plain(schema, default, &path),
            }
        }
        // Defaults below additionalProperties are refused elsewhere or stand alone.
        if let Some(items) = &schema.items {
            let around = meta.map(Around::Item);
            self.node(items, &path.child("items"), around.as_ref());
        }
        let properties = path.child("properties");
        for (name, below) in &schema.properties {
            let root = Around::Resource(schema);
            let around = match meta {
                Some(around) => Some(Around::Child(around, name)),
                None if schema.is_resource() && is_meta_field(name) => Some(Around::Child(&root, name)),
                None => None,
            };
            self.node(below, &properties.key(name), around.as_ref());
        }
    }

    fn plain(&mut self, schema: &Structural, default: &Value, path: &str) {
        let mut pruned = default.clone();
        prune::prune(&mut pruned, schema);
        if pruned != *default {
            let error = FieldError::invalid(path, default.clone(), "must not have unknown fields");
            self.found.push(error);
        }
        let at = Path::From(path);
        if let Err(error) = meta::embedded(&mut default.clone(), schema, Malformed::Refuse) {
            let field = format!("{path}{}{}", if error.field.is_empty() { "" } else { "." }, error.field);
            self.found.push(FieldError { field, ..error });
            return;
        }
        let errors = meta::check(default, schema, &at);
        if errors.is_empty() {
            self.value(schema, default, path);
        } else {
            self.found.extend(errors);
        }
    }

    fn in_metadata(&mut self, schema: &Structural, default: &Value, path: &str, around: &Around<'_>) {
        let mut object = around.wrap(default.clone());
        if let Some(fields) = object.as_object_mut() {
            fields.entry("kind").or_insert_with(|| json!("Validation"));
            fields.entry("apiVersion").or_insert_with(|| json!("validation/v1"));
        }
        let resource = around.resource();
        let wrong = match meta::root(&mut object, Malformed::Refuse) {
            Err(text) => Some(text),
            Ok(_) => {
                let errors = meta::check_resource(&object, resource, &Path::Root);
                let texts: Vec<String> = errors.iter().map(ToString::to_string).collect();
                match texts.as_slice() {
                    [] => None,
                    [one] => Some(one.clone()),
                    many => Some(format!("[{}]", many.join(", "))),
                }
            }
        };
        match wrong {
            Some(wrong) => {
                let detail = format!("must result in valid metadata: {wrong}");
                self.found.push(FieldError::invalid(path, default.clone(), detail));
            }
            None => self.value(schema, default, path),
        }
    }

    fn value(&mut self, schema: &Structural, default: &Value, path: &str) {
        let errors = schema.validate(default, None, path);
        if !errors.is_empty() {
            self.found.extend(errors);
            return;
        }
        let rules = self.compiler.and_then(|compiler| Rules::compile(schema, compiler));
        if let Some(rules) = rules {
            // As an unchanged value, and as one that is new.
            for old in [Some(default), None] {
                let errors = rules.validate(default, old, &mut self.budget);
                let moved = errors.into_iter().map(|error| {
                    let dot = if error.field.is_empty() || error.field.starts_with('[') { "" } else { "." };
                    FieldError { field: format!("{path}{dot}{}", error.field), ..error }
                });
                let before = self.found.len();
                self.found.extend(moved);
                if self.found.len() > before {
                    return;
                }
            }
        }
    }
}
