//! What `kubectl get` prints: columns of a kind and cells of an object.

use jiff::Timestamp;
use kube_object::resource::{GroupKind, GroupVersionKind};
use kube_object::time::Time;
use serde_json::{Value, json};

use crate::value::text;

/// A column of a table: `metav1.TableColumnDefinition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// The OpenAPI type: `string`, `integer` or `boolean`.
    pub kind: &'static str,
    /// The OpenAPI format; `name` marks the column that identifies the row.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// Zero is always shown; more only on `-o wide`.
    pub priority: i32,
}

const PLAIN: &[Column] = &[
    Column { name: "Name", kind: "string", format: "name", description: "Name", priority: 0 },
    Column { name: "Created At", kind: "date", format: "", description: "Creation time", priority: 0 },
];

/// The columns of a kind.
pub fn columns(_kind: &GroupKind) -> &'static [Column] {
    PLAIN
}

/// The cells of an object, one for each column of its kind.
pub fn cells(_gvk: &GroupVersionKind, object: &Value, _now: Timestamp) -> Vec<Value> {
    vec![json!(text(&object["metadata"]["name"])), object["metadata"]["creationTimestamp"].clone()]
}

/// The time from then to now as tables show it, such as `5m30s`; `<unknown>` without a then.
pub fn human_duration(then: &Value, now: Timestamp) -> String {
    match Time::parse(text(then)) {
        Ok(then) => format!("{}s", now.as_second() - then.unix()),
        Err(_) => "<unknown>".to_owned(),
    }
}
