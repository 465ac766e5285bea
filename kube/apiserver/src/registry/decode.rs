//! From a body to an object of the resource: type, strictness, defaults.

use kube_object::resource::GroupVersionKind;
use kube_object::shape::Shape;
use kube_object::status::Status;
use kube_object::{schema_shape, strict};
use serde_json::{Value, json};

use super::context::{Body, Context, FieldValidation, Target};
use super::{fields, meta};
use crate::kinds::Resource;
use crate::rules;

/// Reads the object of a create or update.
pub(super) fn object(
    context: &Context,
    target: &Target,
    body: Body,
    validation: FieldValidation,
) -> Result<Value, Status> {
    let resource = &*target.resource;
    let Body { value: mut object, notes, notes_first, text, typed } = body;
    if !object.is_object() {
        return Err(cannot_be_handled(
            &resource.gvk,
            "couldn't get version/kind; json parse error: json: cannot unmarshal value into Go value of type struct",
        ));
    }
    check_type(resource, &mut object)?;
    fields::check_size(resource, &object)?;
    let notes_first = notes_first || resource.is_custom();
    // Custom resources are read first and then held against their schema.
    let text = text.filter(|_| !resource.is_custom());
    let look = Look { notes: &notes, notes_first, text: text.as_deref(), typed, validation };
    check_fields(context, resource, &object, &look, |message| cannot_be_handled(&resource.gvk, message))?;
    rules::settle(resource, &mut object);
    Ok(object)
}

/// How closely a body is looked at.
pub(crate) struct Look<'a> {
    /// What strict decoding says of its text.
    pub notes: &'a [String],
    /// Whether that stands before unknown fields.
    pub notes_first: bool,
    /// The JSON of a kind that is decoded into its type at once.
    pub text: Option<&'a [u8]>,
    /// Whether its encoding has no unknown fields.
    pub typed: bool,
    /// What becomes of unknown fields.
    pub validation: FieldValidation,
}

/// Types are checked, unknown fields go with a word or without. `refuse` makes the status of a
/// message.
fn check_fields(
    context: &Context,
    resource: &Resource,
    object: &Value,
    look: &Look<'_>,
    refuse: impl Fn(&str) -> Status,
) -> Result<(), Status> {
    if let Some(message) = rules::type_errors(resource, object) {
        return Err(refuse(&message));
    }
    check_strictly(context, resource, object, look, refuse)
}

/// Unknown fields and keys that stood twice are refused, warned of or let be.
pub(super) fn check_strictly(
    context: &Context,
    resource: &Resource,
    object: &Value,
    look: &Look<'_>,
    refuse: impl Fn(&str) -> Status,
) -> Result<(), Status> {
    if look.validation == FieldValidation::Ignore || look.typed {
        return Ok(());
    }
    let unknown = rules::unknown_fields(resource, object);
    say(context, &notes(&unknown, rules::shape(resource), look), look.validation, refuse)
}

/// All that strict decoding finds.
fn notes(unknown: &[String], shape: Option<&dyn Shape>, look: &Look<'_>) -> Vec<String> {
    let strange = !unknown.is_empty() || !look.notes.is_empty();
    if let (Some(text), Some(shape), true) = (look.text, shape, strange) {
        return strict::ordered_notes(text, shape);
    }
    let unknown = strict::unknown_notes(unknown);
    let (first, second) = if look.notes_first { (look.notes, &*unknown) } else { (&*unknown, look.notes) };
    [first, second].concat()
}

/// Looks at a value of a kind that only subresources speak, such as a Scale.
pub(crate) fn check_spoken(
    context: &Context,
    gvk: &GroupVersionKind,
    value: &Value,
    look: &Look<'_>,
    refuse: impl Fn(&str) -> Status,
) -> Result<(), Status> {
    if let Some(message) = schema_shape::type_errors(gvk, value) {
        return Err(refuse(&message));
    }
    if look.validation == FieldValidation::Ignore || look.typed {
        return Ok(());
    }
    let shape = schema_shape::of(gvk);
    let unknown = shape.map(|shape| strict::unknown_fields(value, shape)).unwrap_or_default();
    say(context, &notes(&unknown, shape, look), look.validation, refuse)
}

/// As [`check_spoken`], of a request's body.
pub(super) fn check_spoken_body(
    context: &Context,
    target: &Target,
    body: &Body,
    validation: FieldValidation,
) -> Result<(), Status> {
    let spoken = target.resource.subresource(&target.subresource);
    let gvk = spoken.map_or(&target.resource.gvk, |part| &part.gvk);
    let Body { notes, notes_first, text, typed, .. } = body;
    let look = Look { notes, notes_first: *notes_first, text: text.as_deref(), typed: *typed, validation };
    check_spoken(context, gvk, &body.value, &look, |message| cannot_be_handled(gvk, message))
}

/// Refuses what strict decoding found, or warns of it.
pub(super) fn say(
    context: &Context,
    notes: &[String],
    validation: FieldValidation,
    refuse: impl Fn(&str) -> Status,
) -> Result<(), Status> {
    match (validation, strict::message(notes)) {
        (FieldValidation::Strict, Some(message)) => return Err(refuse(&message)),
        (FieldValidation::Warn, _) => {
            notes.iter().flat_map(|note| strict::warnings(note)).for_each(|text| context.warnings.add(text));
        }
        _ => {}
    }
    Ok(())
}

/// Types are checked, unknown fields go, defaults are set.
pub(super) fn settle(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    if let Some(message) = rules::type_errors(resource, object) {
        return Err(cannot_be_handled(&resource.gvk, &message));
    }
    rules::settle(resource, object);
    Ok(())
}

/// The object says which kind it is, or nothing.
fn check_type(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let (api_version, kind) = (text("apiVersion"), text("kind"));
    let expected = resource.gvk.api_version();
    if resource.is_custom() && (kind.is_empty() || api_version.is_empty()) {
        let missing = if kind.is_empty() { "kind" } else { "apiVersion" };
        return Err(Status::bad_request(format!(
            "Object '{}' is missing in '{}'",
            if missing == "kind" { "Kind" } else { "apiVersion" },
            abbreviated(object)
        )));
    }
    if !api_version.is_empty() && api_version != expected {
        return Err(Status::bad_request(format!(
            "the API version in the data ({api_version}) does not match the expected API version ({expected})"
        )));
    }
    if !kind.is_empty() && kind != resource.gvk.kind {
        let found = GroupVersionKind::of(&expected, &kind);
        return Err(Status::bad_request(format!(
            "{kind} in version {:?} cannot be handled as a {}: converting ({}.{kind}) to ({}.{}): unknown conversion",
            found.version,
            resource.gvk.kind,
            found.version,
            group_word(&found.group),
            resource.gvk.kind
        )));
    }
    if let Some(fields) = object.as_object_mut() {
        fields.insert("kind".to_owned(), json!(resource.gvk.kind));
        fields.insert("apiVersion".to_owned(), json!(expected));
    }
    if object.get("metadata").is_none_or(Value::is_null) {
        meta::of(object);
    }
    Ok(())
}

/// A patch changes no object's type.
pub(super) fn check_kind_kept(resource: &Resource, object: &mut Value) -> Result<(), Status> {
    check_type(resource, object)
}

fn group_word(group: &str) -> &str {
    if group.is_empty() { "core" } else { group.split('.').next().unwrap_or(group) }
}

fn abbreviated(object: &Value) -> String {
    let text = object.to_string();
    let end = text.char_indices().nth(SHOWN_MAX).map_or(text.len(), |(at, _)| at);
    text.get(..end).unwrap_or_default().to_owned()
}

/// 400 in upstream's words.
pub(super) fn cannot_be_handled(gvk: &GroupVersionKind, message: &str) -> Status {
    Status::bad_request(format!(
        "{} in version {:?} cannot be handled as a {}: {message}",
        gvk.kind, gvk.version, gvk.kind
    ))
}

/// Characters of a body that an error repeats.
const SHOWN_MAX: usize = 512;
