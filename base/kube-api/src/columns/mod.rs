//! What `kubectl get` prints: columns of a kind and cells of an object.
//!
//! A kind's columns and the function that fills them stand side by side in one
//! [`Printer`]; kinds without one show their name and when they were created.

mod cluster;
mod config;
mod format;
mod network;
mod pod;
mod table;
mod workload;

#[cfg(test)]
mod tests;

use jiff::Timestamp;
use kube_object::resource::{GroupKind, GroupVersionKind};
use serde_json::Value;

pub use format::{human_duration, human_seconds};

/// A column of a table: `metav1.TableColumnDefinition`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Column {
    /// Its heading.
    pub name: &'static str,
    /// The OpenAPI type: `string`, `integer`, `boolean` or `date`.
    pub kind: &'static str,
    /// The OpenAPI format; `name` marks the column that identifies the row.
    pub format: &'static str,
    /// What it shows.
    pub description: &'static str,
    /// Zero is always shown; more only on `-o wide`.
    pub priority: i32,
}

/// How objects of a kind are printed.
#[derive(Clone, Copy)]
struct Printer {
    columns: &'static [Column],
    cells: fn(&Value, Timestamp) -> Vec<Value>,
}

/// The columns of a kind.
pub fn columns(kind: &GroupKind) -> &'static [Column] {
    table::printer(&kind.group, &kind.kind).columns
}

/// The cells of an object, one for each column of its kind.
///
/// The object may be in any version that is served.
pub fn cells(gvk: &GroupVersionKind, object: &Value, now: Timestamp) -> Vec<Value> {
    (table::printer(&gvk.group, &gvk.kind).cells)(object, now)
}
