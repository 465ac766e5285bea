//! Which message a kind has.

use kube_schema::{Gvk, Object, Schema};

use crate::resource::GroupVersionKind;

/// The message of a kind: one with a resource, a list of one, or what only requests and answers
/// carry, such as `DeleteOptions` and `Status`.
pub(super) fn object<'a>(schema: &'a Schema, gvk: &GroupVersionKind) -> Option<&'a Object> {
    let GroupVersionKind { group, version, kind } = gvk;
    if let Some(kind) = schema.kind(Gvk { group, version, kind }) {
        return Some(schema.object(kind.object));
    }
    let named = |name: String| schema.object_named(&name);
    if let Some(item) = kind.strip_suffix("List")
        && let Some(item) = schema.kind(Gvk { group, version, kind: item })
    {
        return named(format!("{}List", schema.object(item.object).name));
    }
    // `apps` and `rbac.authorization.k8s.io` lie in packages of their first word.
    let package = if group.is_empty() { "core" } else { group.split('.').next()? };
    named(format!("io.k8s.api.{package}.{version}.{kind}"))
        .or_else(|| named(format!("io.k8s.apimachinery.pkg.apis.meta.v1.{kind}")))
}
