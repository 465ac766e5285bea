//! The same object in another version of its group.

use kube_object::resource::{GroupKind, GroupVersionKind};
use kube_object::status::Status;
use kube_schema::Schema;
use serde_json::Value;

use crate::value::put;

/// The versions in which a kind is served, the preferred first.
pub fn served_versions(kind: &GroupKind) -> Vec<&'static str> {
    let all = Schema::builtin().kinds().iter();
    let own = all.filter(|other| other.gvk.group == kind.group && other.gvk.kind == kind.kind);
    let mut versions: Vec<_> = own.map(|kind| kind.gvk.version).collect();
    versions.sort_by_key(|version| std::cmp::Reverse(precedence(version)));
    versions
}

/// The group, version and kind in which objects of a kind are stored; none if it is not built in.
///
/// The group differs only for events, which core keeps for both groups.
pub fn storage_version(kind: &GroupKind) -> Option<GroupVersionKind> {
    if kind.group == "events.k8s.io" && kind.kind == "Event" {
        return Some(GroupVersionKind::new("", "v1", "Event"));
    }
    let version = served_versions(kind).into_iter().next()?;
    Some(GroupVersionKind::new(&kind.group, version, &kind.kind))
}

/// Rank of a version: stable over beta over alpha, then by its numbers.
fn precedence(version: &str) -> (u8, u32, u32) {
    let number = |text: &str| text.parse().unwrap_or(0);
    let rest = version.trim_start_matches('v');
    for (rank, word) in [(2, "beta"), (1, "alpha")] {
        if let Some((major, minor)) = rest.split_once(word) {
            return (rank, number(major), number(minor));
        }
    }
    (3, number(rest), 0)
}

/// An object in another version; of the group's other shape where versions differ.
pub fn convert(mut object: Value, to: &GroupVersionKind) -> Result<Value, Status> {
    put(&mut object, "apiVersion", Value::from(to.api_version()));
    Ok(object)
}
