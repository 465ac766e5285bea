//! What a patch makes of an object.

use kube_object::apply::Writer;
use kube_object::field_error::FieldError;
use kube_object::json_patch::{JsonPatch, JsonPatchError};
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use kube_object::{merge_patch, strategic};
use serde_json::Value;

use super::context::{Body, Context, Patch, Target, WriteOptions};
use super::decode::Look;
use super::{decode, fields, meta};
use crate::kinds::Resource;
use crate::rules;

/// What can be said of a patch before there is an object.
pub(super) fn check(resource: &Resource, patch: &Patch) -> Result<(), Status> {
    match patch {
        Patch::Strategic(_) if resource.is_custom() => Err(Status::unsupported_media_type(
            "the body of the request was in an unknown format - accepted media types include: \
             application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml",
        )),
        Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) if !body.value.is_object() => {
            Err(Status::bad_request(
                "error decoding patch: json: cannot unmarshal value into Go value of type map[string]interface {}",
            ))
        }
        Patch::Json(body) => JsonPatch::from_value(body.value.clone()).map(drop).map_err(|error| {
            if matches!(error, JsonPatchError::TooMany { .. }) {
                return Status::too_large(error.to_string());
            }
            Status::bad_request(format!("error decoding patch: {error}"))
        }),
        _ => Ok(()),
    }
}

/// The object after the patch, in the resource's version.
pub(super) fn patched(
    context: &Context,
    target: &Target,
    old: &Value,
    patch: &Patch,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let resource = &*target.resource;
    let mut new = old.clone();
    let body = match patch {
        Patch::Json(body) => {
            let patch = JsonPatch::from_value(body.value.clone())
                .map_err(|error| Status::bad_request(error.to_string()))?;
            patch.apply(&mut new).map_err(|error| json_refused(&error))?;
            body
        }
        Patch::Merge(body) => {
            merge_patch::apply(&mut new, body.value.clone());
            body
        }
        Patch::Strategic(body) => {
            let merged = strategic::apply(&mut new, body.value.clone(), rules::shape(resource));
            merged.map_err(|error| Status::bad_request(error.to_string()))?;
            body
        }
        Patch::Apply(_) => return Err(Status::internal("apply is no patch")),
    };
    settle(context, resource, &mut new, body, options)?;
    Ok(new)
}

fn look<'a>(body: &'a Body, options: &WriteOptions) -> Look<'a> {
    Look { duplicates: &body.duplicates, typed: false, validation: options.field_validation }
}

/// Decodes what a patch has made.
fn settle(
    context: &Context,
    resource: &Resource,
    new: &mut Value,
    body: &Body,
    options: &WriteOptions,
) -> Result<(), Status> {
    let unreadable = |message: &str| {
        let error = FieldError::invalid("patch", body.value.to_string(), message);
        Status::invalid(&GroupKind::default(), "", &[error])
    };
    if !new.is_object() {
        return Err(unreadable("json: cannot unmarshal value into Go value of type map[string]interface {}"));
    }
    let look = look(body, options);
    decode::check_fields(context, resource, new, &look, unreadable)?;
    decode::check_kind_kept(resource, new)?;
    rules::settle(resource, new);
    Ok(())
}

/// The object after an apply of a configuration to `old` (null if there is nothing).
pub(super) fn apply(
    context: &Context,
    target: &Target,
    old: &Value,
    body: &Body,
    writer: &Writer,
    options: &WriteOptions,
) -> Result<Value, Status> {
    let resource = &*target.resource;
    let config = &body.value;
    let text = |name: &str| config.get(name).and_then(Value::as_str).unwrap_or_default();
    if text("kind").is_empty() || text("apiVersion").is_empty() {
        return Err(Status::bad_request("apiVersion and kind must be set in an apply patch"));
    }
    if text("apiVersion") != resource.gvk.api_version() || text("kind") != resource.gvk.kind {
        return Err(Status::bad_request(format!(
            "failed to apply object: the kind of the configuration, {} {}, is not the kind of the request, {} {}",
            text("apiVersion"),
            text("kind"),
            resource.gvk.api_version(),
            resource.gvk.kind
        )));
    }
    decode::check_fields(context, resource, config, &look(body, options), |message| {
        decode::cannot_be_handled(&resource.gvk, message)
    })?;
    let mut config = config.clone();
    if meta::text(&config, "name").is_empty() {
        meta::set(&mut config, "name", target.name.as_str());
    }
    if target.resource.namespaced && meta::text(&config, "namespace").is_empty() {
        meta::set(&mut config, "namespace", target.namespace.as_str());
    }
    let mut new = fields::applied(resource, old, &config, writer, options.force)?;
    decode::settle(resource, &mut new)?;
    Ok(new)
}

/// A test that fails, or a path that is not there: upstream does not say which.
fn json_refused(error: &JsonPatchError) -> Status {
    if matches!(error, JsonPatchError::CopiesTooLarge { .. }) {
        return Status::too_large(error.to_string());
    }
    let mut status =
        Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
    status.details = Some(Box::default());
    status
}
