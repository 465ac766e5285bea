//! The types of a policy's fields, and what Go's decoder would say of a value that is not of them.

use serde_json::{Map, Value};

/// What a field holds.
pub(super) enum Kind {
    /// A string, and Go's name of its type.
    Text(&'static str),
    Flag,
    /// Strings.
    Texts(&'static str),
    Objects(&'static Object),
    /// An object that is not looked into.
    Any(&'static str),
}

/// A type with fields.
pub(super) struct Object {
    name: &'static str,
    fields: &'static [(&'static str, Kind)],
}

const STAGES: Kind = Kind::Texts("v1.Stage");
const TEXTS: Kind = Kind::Texts("string");

/// The type of the whole.
pub(super) const POLICY: Object = Object {
    name: "Policy",
    fields: &[
        ("kind", Kind::Text("string")),
        ("apiVersion", Kind::Text("string")),
        ("metadata", Kind::Any("v1.ObjectMeta")),
        ("rules", Kind::Objects(&RULE)),
        ("omitStages", STAGES),
        ("omitManagedFields", Kind::Flag),
    ],
};

const RULE: Object = Object {
    name: "PolicyRule",
    fields: &[
        ("level", Kind::Text("v1.Level")),
        ("users", TEXTS),
        ("userGroups", TEXTS),
        ("verbs", TEXTS),
        ("resources", Kind::Objects(&RESOURCES)),
        ("namespaces", TEXTS),
        ("nonResourceURLs", TEXTS),
        ("omitStages", STAGES),
        ("omitManagedFields", Kind::Flag),
    ],
};

const RESOURCES: Object = Object {
    name: "GroupResources",
    fields: &[("group", Kind::Text("string")), ("resources", TEXTS), ("resourceNames", TEXTS)],
};

/// What is wrong with a policy's text.
#[derive(Debug, Default)]
pub(super) struct Faults {
    /// The first value of a wrong type, in the words of Go's decoder.
    pub(super) mismatch: Option<String>,
    /// Paths of fields that do not exist.
    pub(super) unknown: Vec<String>,
}

impl Faults {
    /// Of an object of a type.
    pub(super) fn of(value: &Map<String, Value>, object: &Object) -> Self {
        let mut faults = Self::default();
        faults.object(value, object, "", "");
        faults
    }

    /// `path` has the indices that a reader wants, `fields` has none, as Go's decoder.
    fn object(&mut self, value: &Map<String, Value>, object: &Object, path: &str, fields: &str) {
        for (name, value) in value {
            let path = joined(path, name);
            let Some((_, kind)) = object.fields.iter().find(|(field, _)| field == name) else {
                self.unknown.push(path);
                continue;
            };
            self.value(value, kind, &path, &Place { owner: object.name, fields: joined(fields, name) });
        }
    }

    fn value(&mut self, value: &Value, kind: &Kind, path: &str, place: &Place) {
        match (kind, value) {
            (_, Value::Null)
            | (Kind::Text(_), Value::String(_))
            | (Kind::Flag, Value::Bool(_))
            | (Kind::Any(_), Value::Object(_)) => {}
            (Kind::Texts(of), Value::Array(items)) => {
                for item in items.iter().filter(|item| !item.is_null() && !item.is_string()) {
                    self.mismatch(item, of, place);
                }
            }
            (Kind::Objects(of), Value::Array(items)) => {
                for (at, item) in items.iter().enumerate() {
                    match item {
                        Value::Object(value) => {
                            self.object(value, of, &format!("{path}[{at}]"), &place.fields);
                        }
                        Value::Null => {}
                        item => self.mismatch(item, &format!("v1.{}", of.name), place),
                    }
                }
            }
            (Kind::Text(of) | Kind::Any(of), value) => self.mismatch(value, of, place),
            (Kind::Flag, value) => self.mismatch(value, "bool", place),
            (Kind::Texts(of), value) => self.mismatch(value, &format!("[]{of}"), place),
            (Kind::Objects(of), value) => self.mismatch(value, &format!("[]v1.{}", of.name), place),
        }
    }

    fn mismatch(&mut self, value: &Value, kind: &str, place: &Place) {
        let what = match value {
            Value::Number(_) => "number",
            Value::String(_) => "string",
            Value::Bool(_) => "bool",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
            Value::Null => "null",
        };
        let Place { owner, fields } = place;
        self.mismatch.get_or_insert_with(|| {
            format!("json: cannot unmarshal {what} into Go struct field {owner}.{fields} of type {kind}")
        });
    }
}

/// The type that has a field, and the way to it from the root.
struct Place {
    owner: &'static str,
    fields: String,
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}
