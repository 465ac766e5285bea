//! The same object in another version of its group.
//!
//! Nearly all versions of a built-in kind have one shape; the exceptions are autoscalers,
//! events, and the claims and slices of resource.k8s.io before it settled.

mod autoscaler;
mod device;
mod event;

#[cfg(test)]
mod tests;

use kube_object::resource::{GroupKind, GroupVersionKind};
use kube_object::status::Status;
use kube_schema::Schema;
use serde_json::Value;

use crate::value::{put, text};

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

/// An object in another version of its kind, or, of an event, in the other group's.
///
/// What the other version cannot say is kept in annotations, as upstream keeps it.
pub fn convert(mut object: Value, to: &GroupVersionKind) -> Result<Value, Status> {
    let from = GroupVersionKind::of(text(&object["apiVersion"]), text(&object["kind"]));
    if from == *to {
        return Ok(object);
    }
    let events =
        |gvk: &GroupVersionKind| gvk.kind == "Event" && matches!(gvk.group.as_str(), "" | "events.k8s.io");
    let same_kind = from.group == to.group && from.kind == to.kind;
    let same_event = events(&from) && events(to);
    if !(same_kind || same_event) {
        let why = format!(
            "cannot convert {} {} to {} {}",
            from.api_version(),
            from.kind,
            to.api_version(),
            to.kind
        );
        return Err(Status::bad_request(why));
    }
    match (from.group.as_str(), from.version.as_str(), to.group.as_str(), to.version.as_str()) {
        ("autoscaling", "v1", _, "v2") => autoscaler::to_v2(&mut object),
        ("autoscaling", "v2", _, "v1") => autoscaler::to_v1(&mut object),
        ("", _, "events.k8s.io", _) => event::to_events(&mut object),
        ("events.k8s.io", _, "", _) => event::to_core(&mut object),
        ("resource.k8s.io", from, _, to) => device::between(&mut object, from, to),
        _ => {}
    }
    put(&mut object, "apiVersion", Value::from(to.api_version()));
    Ok(object)
}
