//! Rules of APIService.

use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::GroupVersionKind;
use serde_json::{Value, json};

use super::common::{no_subresource, path_name, required, wrong};
use super::{Errors, PathRef, Rules};
use crate::value::{is_empty, text};

pub(super) const SERVICE: Rules = Rules {
    name: path_name,
    create: service,
    update: |gvk, new, _, errors| service(gvk, new, errors),
    subresource: no_subresource,
};

const SPEC: PathRef<'static> = PathRef::Root("spec");

fn service(_: &GroupVersionKind, object: &Value, errors: &mut Errors) {
    let spec = &object["spec"];
    let (group, version, name) =
        (text(&spec["group"]), text(&spec["version"]), text(&object["metadata"]["name"]));
    let wanted = format!("{version}.{group}");
    if name != wanted {
        let why = format!("must be `spec.version+\".\"+spec.group`: {wanted:?}");
        errors.push(FieldError::invalid("metadata.name", name, why));
    }
    if !group.is_empty() {
        wrong(group, names::dns1123_subdomain(group), &SPEC.child("group"), errors);
    }
    wrong(version, names::dns1035_label(version), &SPEC.child("version"), errors);
    for (field, max) in [("groupPriorityMinimum", 20_000), ("versionPriority", 1_000)] {
        let number = spec[field].as_i64().unwrap_or(0);
        if !(1..=max).contains(&number) {
            let why = format!("must be positive and less than {max}");
            errors.push(FieldError::invalid(SPEC.child(field), number, why));
        }
    }
    let (bundle, insecure) = (!is_empty(&spec["caBundle"]), spec["insecureSkipTLSVerify"] == json!(true));
    let at = SPEC.child("insecureSkipTLSVerify");
    if spec["service"].is_object() {
        reference(&spec["service"], errors);
        if bundle && insecure {
            errors.push(FieldError::invalid(at, true, "may not be true if caBundle is specified"));
        }
        return;
    }
    if bundle {
        let length = text(&spec["caBundle"]).len();
        let why = "local APIServices may not have a caBundle";
        errors.push(FieldError::invalid(SPEC.child("caBundle"), format!("{length} bytes"), why));
    }
    if insecure {
        errors.push(FieldError::invalid(at, true, "local APIServices may not have insecureSkipTLSVerify"));
    }
}

fn reference(service: &Value, errors: &mut Errors) {
    let path = SPEC.child("service");
    for field in ["namespace", "name"] {
        required(&service[field], "", &path.child(field), errors);
    }
    let port = service["port"].as_i64().unwrap_or(443);
    if !(1..=65535).contains(&port) {
        let why = "port is not valid: must be between 1 and 65535, inclusive";
        errors.push(FieldError::invalid(path.child("port"), port, why));
    }
}
