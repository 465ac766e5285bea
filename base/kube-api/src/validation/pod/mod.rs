//! Pods, templates of pods, and what is bound to them.

mod annotations;
mod claim;
mod containers;
mod env;
mod mounts;
mod network;
mod probes;
mod projected;
mod resize;
pub(in crate::validation) mod resources;
pub(in crate::validation) mod same;
pub(in crate::validation) mod scheduling;
mod security;
mod sources;
pub(in crate::validation) mod spec;
mod status;
mod update;
mod volumes;
mod windows;
pub(in crate::validation) mod words;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

use super::common::subdomain_name;
use super::{Errors, PathRef, Rules, metadata};
use crate::value::{items, text};

/// Rules of Pod.
pub(super) const POD: Rules = Rules { name: subdomain_name, create, update, subresource };

/// Rules of PodTemplate.
pub(super) const POD_TEMPLATE: Rules = Rules {
    name: subdomain_name,
    create: |_, object, errors| template(&object["template"], &PathRef::Root("template"), errors),
    update: |_, new, _, errors| template(&new["template"], &PathRef::Root("template"), errors),
    subresource: |_, _, _, _, _| {},
};

/// Rules of Binding.
pub(super) const BINDING: Rules = Rules {
    name: subdomain_name,
    create: |_, object, errors| binding(object, errors),
    update: |_, new, _, errors| binding(new, errors),
    subresource: |_, _, _, _, _| {},
};

fn create(_: &GroupVersionKind, pod: &Value, errors: &mut Errors) {
    whole(pod, errors);
    let (spec, path) = (&pod["spec"], PathRef::Root("spec"));
    if !items(&spec["ephemeralContainers"]).is_empty() {
        errors.push(FieldError::forbidden(path.child("ephemeralContainers"), "cannot be set on create"));
    }
    if !text(&spec["nodeName"]).is_empty() && !items(&spec["schedulingGates"]).is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.push(FieldError::forbidden(path.child("nodeName"), why));
    }
    annotations::match_fields(&pod["metadata"]["annotations"], spec, &path, errors);
}

fn update(_: &GroupVersionKind, new: &Value, old: &Value, errors: &mut Errors) {
    whole(new, errors);
    changed_annotations(new, old, errors);
    update::check(&new["spec"], &old["spec"], errors);
}

fn subresource(_: &GroupVersionKind, name: &str, new: &Value, old: &Value, errors: &mut Errors) {
    match name {
        "status" => {
            changed_annotations(new, old, errors);
            status::check(new, old, errors);
        }
        "ephemeralcontainers" => {
            whole(new, errors);
            changed_annotations(new, old, errors);
            resize::ephemeral(new, old, errors);
        }
        "resize" => {
            whole(new, errors);
            resize::resize(new, old, errors);
        }
        _ => {}
    }
}

fn changed_annotations(new: &Value, old: &Value, errors: &mut Errors) {
    let path = PathRef::Root("metadata");
    let (after, before) = (&new["metadata"]["annotations"], &old["metadata"]["annotations"]);
    annotations::update(after, before, &new["spec"], &path.child("annotations"), errors);
}

/// A pod on its own.
fn whole(pod: &Value, errors: &mut Errors) {
    let (spec, path) = (&pod["spec"], PathRef::Root("spec"));
    let meta = PathRef::Root("metadata");
    annotations::check(&pod["metadata"]["annotations"], spec, &meta.child("annotations"), errors);
    spec::check(spec, text(&pod["metadata"]["name"]), &path, errors);
    if text(&spec["serviceAccountName"]).is_empty() {
        let volumes = path.child("volumes");
        for (at, volume) in items(&spec["volumes"]).iter().enumerate() {
            let at = volumes.index(at);
            let at = at.child("projected");
            let sources = at.child("sources");
            for (index, source) in items(&volume["projected"]["sources"]).iter().enumerate() {
                if !source["serviceAccountToken"].is_null() && !words::enough(errors) {
                    let why = "must not be specified when serviceAccountName is not set";
                    errors
                        .push(FieldError::forbidden(sources.index(index).child("serviceAccountToken"), why));
                }
            }
        }
    }
    containers::only_in_pods(spec, &path, errors);
}

/// `PodTemplateSpec`.
pub(super) fn template(template: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    template_metadata(template, path, errors);
    let at = path.child("spec");
    spec::check(&template["spec"], "", &at, errors);
    annotations::match_fields(&template["metadata"]["annotations"], &template["spec"], &at, errors);
    if !items(&template["spec"]["ephemeralContainers"]).is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.push(FieldError::forbidden(at.child("ephemeralContainers"), why));
    }
}

/// Labels and annotations of a template, where upstream shows them.
pub(super) fn template_metadata(template: &Value, path: &PathRef<'_>, errors: &mut Errors) {
    let meta = &template["metadata"];
    metadata::labels(&meta["labels"], &path.child("labels"), errors);
    let at = path.child("annotations");
    metadata::annotations(&meta["annotations"], &at, errors);
    annotations::check(&meta["annotations"], &template["spec"], &at, errors);
}

/// Which node a pod goes to.
fn binding(binding: &Value, errors: &mut Errors) {
    let path = PathRef::Root("target");
    let target = &binding["target"];
    let kind = text(&target["kind"]);
    if !kind.is_empty() && kind != "Node" {
        errors.push(FieldError::not_supported(path.child("kind"), kind, &["Node", "<empty>"]));
    }
    words::needs(target, &["name"], &path, errors);
}

#[cfg(test)]
mod tests;
