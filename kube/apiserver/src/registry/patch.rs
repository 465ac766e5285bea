//! What a patch makes of an object.

use kube_object::apply::Writer;
use kube_object::field_error::FieldError;
use kube_object::json_patch::{JsonPatch, JsonPatchError};
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use kube_object::{go_text, merge_patch, strategic, strict};
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
    match patch {
        Patch::Json(body) => {
            let patch = JsonPatch::from_value(body.value.clone())
                .map_err(|error| Status::bad_request(error.to_string()))?;
            patch.apply(&mut new).map_err(|error| json_refused(&error))?;
        }
        Patch::Merge(body) => merge_patch::apply(&mut new, body.value.clone()),
        Patch::Strategic(body) => {
            let merged = strategic::apply(&mut new, body.value.clone(), rules::shape(resource));
            merged.map_err(|error| Status::bad_request(error.to_string()))?;
        }
        Patch::Apply(_) => return Err(Status::internal("apply is no patch")),
    }
    settle(context, resource, &mut new, patch, options)?;
    Ok(new)
}

/// Decodes what a patch has made.
fn settle(
    context: &Context,
    resource: &Resource,
    new: &mut Value,
    patch: &Patch,
    options: &WriteOptions,
) -> Result<(), Status> {
    if !new.is_object() {
        let message = "json: cannot unmarshal value into Go value of type map[string]interface {}";
        return Err(refused(patch, new, message));
    }
    let wrong = match patch {
        Patch::Strategic(_) => rules::conversion_error(resource, new),
        _ => None,
    };
    if let Some(message) = wrong.or_else(|| rules::type_errors(resource, new)) {
        return Err(refused(patch, new, &message));
    }
    let notes = notes(patch);
    let validation = options.field_validation;
    let look = Look { notes: &notes, notes_first: true, text: None, typed: false, validation };
    decode::check_strictly(context, resource, new, &look, |message| refused(patch, new, message))?;
    decode::check_kind_kept(resource, new)?;
    rules::settle(resource, new);
    Ok(())
}

/// The answer to a patch that makes what does not decode.
pub(crate) fn refused(patch: &Patch, new: &Value, message: &str) -> Status {
    // A strategic merge works on trees, and shows the patch; the others work on text, and show
    // what they have made of the object's.
    let shown = match patch {
        Patch::Strategic(body) => go_text::plain(&body.value),
        _ => new.to_string(),
    };
    Status::invalid(&GroupKind::default(), "", &[FieldError::invalid("patch", shown, message)])
}

/// What strict decoding says of a patch itself.
pub(crate) fn notes(patch: &Patch) -> Vec<String> {
    let Patch::Json(body) = patch else { return patch.body().notes.clone() };
    let mut notes = body.notes.clone();
    for (at, operation) in body.value.as_array().into_iter().flatten().enumerate() {
        let names = operation.as_object().into_iter().flatten().map(|(name, _)| name.as_str());
        let unknown = names.filter(|name| !["op", "path", "from", "value"].contains(name));
        let unknown: Vec<String> = unknown.map(|name| format!("[{at}].{name}")).collect();
        notes.extend(strict::unknown_notes(&unknown));
    }
    notes.iter().map(|note| format!("json patch {note}")).collect()
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
    let expected = resource.gvk.api_version();
    if text("apiVersion") != expected {
        return Err(Status::bad_request(format!(
            "Incorrect version specified in apply patch. Specified patch version: {}, expected: {expected}",
            text("apiVersion"),
        )));
    }
    if text("kind") != resource.gvk.kind {
        return Err(Status::bad_request(format!(
            "failed to apply object: the kind of the configuration, {}, is not the kind of the request, {}",
            text("kind"),
            resource.gvk.kind
        )));
    }
    fields::check_size(resource, config)?;
    let mut placed = config.clone();
    if meta::text(config, "name").is_empty() {
        meta::set(&mut placed, "name", target.name.as_str());
    }
    if target.resource.namespaced && meta::text(config, "namespace").is_empty() {
        meta::set(&mut placed, "namespace", target.namespace.as_str());
    }
    let mut new = fields::applied(resource, old, &placed, writer, options.force)
        .map_err(|error| fields::refused(resource, config, error))?;
    if let Some(message) = rules::conversion_error(resource, &new) {
        let (version, gvk) = (&expected, fields::kind_text(&resource.gvk));
        return Err(fields::unfit(format!(
            "failed to convert new object ({}) to proper version ({version}): unable to convert \
             unstructured object to {gvk}: {message}",
            fields::object_text(resource, config)
        )));
    }
    let unwrapped = |message: &str| {
        let why = message.strip_prefix("strict decoding error: ").unwrap_or(message);
        Status::bad_request(format!("error strict decoding YAML: error converting YAML to JSON: {why}"))
    };
    decode::say(context, &body.notes, options.field_validation, unwrapped)?;
    decode::settle(resource, &mut new)?;
    Ok(new)
}

/// A test that fails, or a path that is not there: upstream does not say which.
fn json_refused(error: &JsonPatchError) -> Status {
    if matches!(error, JsonPatchError::CopiesTooLarge { .. } | JsonPatchError::MovesTooMany { .. }) {
        return Status::too_large(error.to_string());
    }
    let mut status =
        Status::new(422, "Invalid", "the server rejected our request due to an error in our request");
    status.details = Some(Box::default());
    status
}
