//! What in a configuration does not fit its type, in the words of server-side apply.

use serde_json::Value;

use super::field_set::{PathElement, path_text};
use super::typed::identity;
use crate::go_text;
use crate::shape::{Atom, ListKind, Shape};
use crate::strict;

/// All that does not fit, as one text; none if everything does.
///
/// Of an object with undeclared fields the first one is named, and what stands behind it is not
/// looked at.
pub fn errors(config: &Value, shape: Option<&dyn Shape>) -> Option<String> {
    let mut walk = Walk { path: Vec::new(), found: Vec::new() };
    walk.value(config, shape);
    match walk.found.as_slice() {
        [] => None,
        [only] => Some(only.clone()),
        all => Some(format!("errors:\n  {}", all.join("\n  "))),
    }
}

struct Walk {
    path: Vec<PathElement>,
    found: Vec<String>,
}

impl Walk {
    fn value(&mut self, value: &Value, shape: Option<&dyn Shape>) {
        let Some((shape, atom)) = shape.and_then(|shape| Some((shape, shape.atom()?))) else { return };
        if strict::is_enough(&self.found) {
            return;
        }
        match (atom, value) {
            (_, Value::Null) => {}
            (Atom::Map { closed }, Value::Object(fields)) => {
                for (name, value) in fields {
                    let below = shape.field(name);
                    self.path.push(PathElement::Field(name.clone()));
                    let undeclared = closed && below.is_none();
                    if undeclared {
                        self.note("field not declared in schema");
                    } else {
                        self.value(value, below);
                    }
                    self.path.pop();
                    if undeclared {
                        return;
                    }
                }
            }
            (Atom::List, Value::Array(items)) => self.items(items, shape),
            (Atom::Number, Value::Number(_))
            | (Atom::Text, Value::String(_))
            | (Atom::Flag, Value::Bool(_)) => {}
            (Atom::Map { .. }, other) => self.note(&format!("expected map, got &{{{}}}", plain(other))),
            (Atom::List, other) => self.note(&format!("expected list, got &{{{}}}", plain(other))),
            (Atom::Number, other) => {
                self.note(&format!("expected numeric (int or float), got {}", go_type(other)));
            }
            (Atom::Text, other) => {
                let shown = go_text::syntax(&floats(other));
                self.note(&format!("expected string, got &value.valueUnstructured{{Value:{shown}}}"));
            }
            (Atom::Flag, other) => self.note(&format!("expected boolean, got &{{{}}}", plain(other))),
        }
    }

    fn items(&mut self, items: &[Value], shape: &dyn Shape) {
        let mut seen = std::collections::BTreeSet::new();
        for (at, item) in items.iter().enumerate() {
            let element = match identity(item, at, Some(shape), &self.path) {
                Ok(element) => element,
                // Nothing can be said about this item, and nothing is about the others.
                Err(error) => return self.found.push(error.to_string()),
            };
            if shape.list() != ListKind::Atomic && !seen.insert(element.clone()) {
                self.note(&format!("duplicate entries for key {element}"));
            }
            self.path.push(element);
            self.value(item, shape.item());
            self.path.pop();
        }
    }

    fn note(&mut self, text: &str) {
        let path = path_text(&self.path);
        self.found.push(if path.is_empty() { text.to_owned() } else { format!("{path}: {text}") });
    }
}

fn plain(value: &Value) -> String {
    go_text::plain(&floats(value))
}

/// A configuration's numbers are floating-point ones to Go, also where they look like integers.
fn floats(value: &Value) -> Value {
    match value {
        Value::Number(number) => number.as_f64().map_or_else(|| value.clone(), Value::from),
        Value::Array(items) => items.iter().map(floats).collect(),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), floats(value))).collect())
        }
        other => other.clone(),
    }
}

fn go_type(value: &Value) -> &'static str {
    match value {
        Value::Null => "<nil>",
        Value::Bool(_) => "bool",
        Value::Number(_) => "float64",
        Value::String(_) => "string",
        Value::Array(_) => "[]interface {}",
        Value::Object(_) => "map[string]interface {}",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::resource::GroupVersionKind;
    use crate::schema_shape;

    #[test]
    fn speaks_as_server_side_apply() {
        let gvk = GroupVersionKind::new("apps", "v1", "Deployment");
        let container = |more: Value| json!({"spec": {"template": {"spec": {"containers": [more]}}}, "metadata": {"name": "web"}});
        let first = ".spec.template.spec.containers[name=\"a\"]";
        for (config, expected) in [
            (json!({"spec": {"replicas": 2}, "metadata": {"name": "web", "labels": null}}), None),
            (json!({"spec": {"bogus": 1}}), Some(".spec.bogus: field not declared in schema".to_owned())),
            (
                json!({"spec": {"replicas": "many"}}),
                Some(".spec.replicas: expected numeric (int or float), got string".to_owned()),
            ),
            (
                container(json!({"name": "a", "image": 5})),
                Some(format!("{first}.image: expected string, got &value.valueUnstructured{{Value:5}}")),
            ),
            (
                container(json!({"name": "a", "ports": 7, "stdin": "yes"})),
                Some(format!(
                    "errors:\n  {first}.ports: expected list, got &{{7}}\n  \
                     {first}.stdin: expected boolean, got &{{yes}}"
                )),
            ),
            (
                json!({"metadata": {"labels": ["x", {"a": 1}]}}),
                Some(".metadata.labels: expected map, got &{[x map[a:1]]}".to_owned()),
            ),
            (
                container(json!({"image": "x"})),
                Some(
                    ".spec.template.spec.containers: element 0: associative list with keys has an element that \
                     omits key field \"name\" (and doesn't have default value)"
                        .to_owned(),
                ),
            ),
            (
                container(Value::Null),
                Some(
                    ".spec.template.spec.containers: element 0: associative list with keys may not have a null \
                     element"
                        .to_owned(),
                ),
            ),
        ] {
            assert_eq!(errors(&config, schema_shape::of(&gvk)), expected, "{config}");
        }
        assert_eq!(errors(&json!({"any": 1}), None), None);
        let many = json!({"metadata": {"finalizers": (0..100_000).collect::<Vec<_>>()}});
        assert!(errors(&many, schema_shape::of(&gvk)).unwrap().lines().count() <= strict::UNKNOWN_MAX + 1);
    }
}
