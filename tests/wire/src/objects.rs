//! A sound object of every built-in kind that is stored, with as many of its fields set as can
//! stand beside each other.

use anyhow::{Context, Result};
use kube_schema::{Gvk, Kind, Schema, Scope};
use serde_json::Value;

/// The objects; none is in a namespace yet.
pub fn all() -> Result<Vec<Value>> {
    serde_json::from_str(include_str!("objects.json")).context("objects.json")
}

/// The one of a kind.
pub fn of(api_version: &str, kind: &str) -> Result<Value> {
    let found =
        all()?.into_iter().find(|object| object["apiVersion"] == api_version && object["kind"] == kind);
    found.with_context(|| format!("no {kind} of {api_version} in objects.json"))
}

/// What the table knows of an object's kind.
pub fn kind_of(object: &Value) -> Result<&'static Kind> {
    let text = |name: &str| object[name].as_str().unwrap_or_default();
    let (group, version) = text("apiVersion").split_once('/').unwrap_or(("", text("apiVersion")));
    let kind = Schema::builtin().kind(Gvk { group, version, kind: text("kind") });
    kind.with_context(|| format!("{object} is of no built-in kind"))
}

/// Where objects of the kind are created.
pub fn collection(kind: &Kind, namespace: &str) -> String {
    let Gvk { group, version, .. } = kind.gvk;
    let root = if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
    match kind.scope {
        Scope::Namespaced => format!("{root}/namespaces/{namespace}/{}", kind.plural),
        Scope::Cluster => format!("{root}/{}", kind.plural),
    }
}
