//! The built-in kinds' types, as merges and decoding see them: the table of
//! `kube-schema` behind [`Shape`](crate::shape::Shape).

mod check;
mod convert;
mod go_time;
mod normal;
mod types;

pub use types::{of, of_definition};

use kube_schema::{Gvk, Schema, Type};
use serde_json::Value;

use crate::resource::GroupVersionKind;

/// The first value that Go's decoder would refuse, in its words:
/// `json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32`.
///
/// None for a kind that is not built in, and where all fits. The API puts
/// `Deployment in version "v1" cannot be handled as a Deployment: ` before it.
pub fn type_errors(gvk: &GroupVersionKind, value: &Value) -> Option<String> {
    check::first_error(value, root(gvk)?)
}

/// As [`type_errors`], in the words of a conversion that no text is decoded for, as strategic merge
/// patches do: `unrecognized type: int32`.
pub fn conversion_error(gvk: &GroupVersionKind, value: &Value) -> Option<String> {
    convert::first_error(value, root(gvk)?)
}

/// As [`type_errors`], for a type by its definition's name.
pub fn type_errors_of(definition: &str, value: &Value) -> Option<String> {
    check::first_error(value, Schema::builtin().object_named(definition)?)
}

/// Brings an object of a built-in kind, in which [`type_errors`] finds nothing, into
/// the form that decoding and encoding in Go's types would give it: no unknown
/// fields, no nulls, no empty lists and maps where they mean nothing; quantities,
/// times and bytes in their canonical spelling. Nothing happens to other kinds.
pub fn normalize(gvk: &GroupVersionKind, value: &mut Value) {
    if let Some(object) = root(gvk) {
        normal::normalize(value, object);
    }
}

/// As [`normalize`], for a type by its definition's name.
pub fn normalize_of(definition: &str, value: &mut Value) {
    if let Some(object) = Schema::builtin().object_named(definition) {
        normal::normalize(value, object);
    }
}

fn root(gvk: &GroupVersionKind) -> Option<&'static kube_schema::Object> {
    let schema = Schema::builtin();
    let kind = schema.kind(Gvk { group: &gvk.group, version: &gvk.version, kind: &gvk.kind });
    if let Some(kind) = kind {
        return Some(schema.object(kind.object));
    }
    // What only subresources speak, as Eviction and Scale, is a definition without a resource.
    subresource_type(schema, gvk)
}

fn subresource_type(schema: &'static Schema, gvk: &GroupVersionKind) -> Option<&'static kube_schema::Object> {
    let group = gvk.group.strip_suffix(".k8s.io").unwrap_or(&gvk.group);
    let group = if group.is_empty() { "core" } else { group };
    let of_api = format!("io.k8s.api.{group}.{}.{}", gvk.version, gvk.kind);
    // Every group and version has the options of requests, as `DeleteOptions` of apps/v1.
    let of_all = gvk.kind.ends_with("Options") || gvk.kind == "WatchEvent";
    let meta = of_all || gvk.group.is_empty() || gvk.group == META;
    let of_meta = || schema.object_named(&format!("io.k8s.apimachinery.pkg.apis.meta.v1.{}", gvk.kind));
    schema.object_named(&of_api).or_else(|| of_meta().filter(|_| meta))
}

/// The object type that a type is, if it is one itself.
fn object_of(kind: &Type) -> Option<&'static kube_schema::Object> {
    match kind {
        Type::Object(id) => Some(Schema::builtin().object(*id)),
        _ => None,
    }
}

const META: &str = "meta.k8s.io";

#[cfg(test)]
mod tests;
