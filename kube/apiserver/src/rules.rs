//! What is specific to a kind, built-in or custom, behind one door.

use kube_object::resource::GroupVersionKind;

/// The version and kind that the store keeps for a built-in kind.
pub(crate) fn storage_version(gvk: &GroupVersionKind) -> GroupVersionKind {
    match (gvk.group.as_str(), gvk.kind.as_str()) {
        ("events.k8s.io", "Event") => GroupVersionKind::new("", "v1", "Event"),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            GroupVersionKind::new("autoscaling", "v2", "HorizontalPodAutoscaler")
        }
        _ => gvk.clone(),
    }
}
