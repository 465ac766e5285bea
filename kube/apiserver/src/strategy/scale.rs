//! The scale subresource: how many replicas, as autoscaling/v1 Scale.

use kube_crd::definition::ScalePaths;
use kube_object::field_error::FieldError;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionKind;
use kube_object::status::Status;
use kube_object::{json_patch::JsonPatch, merge_patch};
use serde_json::{Value, json};

use crate::kinds::{Model, Resource};
use crate::registry::decode::{self, Look};
use crate::registry::modify::{Change, Job, Spoken};
use crate::registry::{
    Body, Context, GetOptions, Outcome, Patch, Registry, Target, WriteOptions, meta, patch,
};

/// Reads the scale of an object.
pub(crate) async fn get(
    registry: &Registry,
    _context: &Context,
    target: &Target,
    options: &GetOptions,
) -> Result<Outcome, Status> {
    let object = whole(registry, target, options).await?;
    let scale = scale_of(&target.resource, &object)?;
    Ok(Outcome::value(200, kind(), scale))
}

async fn whole(registry: &Registry, target: &Target, options: &GetOptions) -> Result<Value, Status> {
    let whole = Target { subresource: String::new(), ..target.clone() };
    Ok(Value::clone(&registry.core.get(&whole, options).await?.to_value()))
}

/// Replaces the scale of an object.
pub(crate) async fn update(
    registry: &Registry,
    context: &Context,
    target: &Target,
    body: Body,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let scale = body.value;
    check(target, &scale)?;
    write(registry, context, target, &scale, options).await
}

/// Patches the scale of an object.
pub(crate) async fn patch(
    registry: &Registry,
    context: &Context,
    target: &Target,
    patch: &Patch,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    for _ in 0..ATTEMPTS_MAX {
        let object = whole(registry, target, &GetOptions::default()).await?;
        let mut scale = patched_from(&target.resource, &object)?;
        match patch {
            Patch::Json(body) => {
                let patch = JsonPatch::from_value(body.value.clone())
                    .map_err(|error| Status::bad_request(error.to_string()))?;
                patch.apply(&mut scale).map_err(|error| Status::new(422, "Invalid", error.to_string()))?;
            }
            // A scale has no lists, so that all merges are the same.
            Patch::Merge(body) | Patch::Strategic(body) | Patch::Apply(body) => {
                merge_patch::apply(&mut scale, body.value.clone());
            }
        }
        let notes = patch::notes(patch);
        let validation = options.field_validation;
        let look = Look { notes: &notes, notes_first: true, text: None, typed: false, validation };
        decode::check_spoken(context, &kind(), &scale, &look, |message| {
            patch::refused(patch, &scale, message)
        })?;
        check_set(target, &scale)?;
        check(target, &scale)?;
        match write(registry, context, target, &scale, options).await {
            Err(status) if status.reason == "Conflict" => {}
            result => return result,
        }
    }
    Err(Status::conflict(&target.resource.group_resource(), &target.name, crate::registry::core::MODIFIED))
}

async fn write(
    registry: &Registry,
    context: &Context,
    target: &Target,
    scale: &Value,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let group_resource = target.resource.group_resource();
    let edit = |object: &mut Value, scale: &Value| {
        check(target, scale)?;
        let version = meta::text(scale, "resourceVersion");
        if !matches!(version, "" | "0") && version != meta::text(object, "resourceVersion") {
            let name = meta::text(object, "name");
            return Err(Status::conflict(&group_resource, name, crate::registry::core::MODIFIED));
        }
        set_replicas(&target.resource, object, at(scale, &["spec", "replicas"]).as_i64().unwrap_or(0))
    };
    let view = |object: &Value| shown(&target.resource, object);
    let operation = admission::Operation::Update;
    let spoken = Spoken { operation, body: scale, view: Some(&view), edit: &edit };
    let job = Job { context, target, options, change: Change::Spoken(spoken) };
    let outcome = registry.modify(&job).await?;
    Ok(Outcome::value(outcome.code, kind(), scale_of(&target.resource, &outcome.to_value())?))
}

/// What is wrong with a scale.
fn check(target: &Target, scale: &Value) -> Result<(), Status> {
    let name = meta::text(scale, "name");
    if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let replicas = at(scale, &["spec", "replicas"]).as_i64().unwrap_or(0);
    if replicas < 0 {
        let error = FieldError::invalid("spec.replicas", replicas, "must be greater than or equal to 0");
        return Err(Status::invalid(&kind().group_kind(), name, &[error]));
    }
    Ok(())
}

/// The scale of an object that says how many replicas it wants, as built-in ones always do.
fn scale_of(resource: &Resource, object: &Value) -> Result<Value, Status> {
    if let Some(paths) = paths_of(resource)?.filter(|paths| paths.wanted(object).is_none()) {
        let path = paths.wanted_path();
        return Err(Status::internal(format!("the spec replicas field {path:?} does not exist")));
    }
    shown(resource, object)
}

/// What a patch of the scale begins with: replicas that nobody can want stand for those that the
/// object does not say.
fn patched_from(resource: &Resource, object: &Value) -> Result<Value, Status> {
    let mut scale = shown(resource, object)?;
    let unset = paths_of(resource)?.is_some_and(|paths| paths.wanted(object).is_none());
    if let Some(spec) = scale.get_mut("spec").and_then(Value::as_object_mut).filter(|_| unset) {
        spec.insert("replicas".to_owned(), json!(UNSET));
    }
    Ok(scale)
}

/// A patch must have said how many replicas are wanted, if the object did not.
fn check_set(target: &Target, scale: &Value) -> Result<(), Status> {
    let path = paths_of(&target.resource)?.map(ScalePaths::wanted_path);
    match path.filter(|_| at(scale, &["spec", "replicas"]).as_i64() == Some(UNSET)) {
        Some(path) => Err(Status::bad_request(format!("the spec replicas field {path:?} cannot be empty"))),
        None => Ok(()),
    }
}

/// Where a custom kind keeps its replicas; none for a built-in one.
fn paths_of(resource: &Resource) -> Result<Option<&ScalePaths>, Status> {
    match &resource.model {
        Model::Custom(custom) => custom.scale().ok_or_else(Status::no_such_path).map(Some),
        Model::BuiltIn(_) => Ok(None),
    }
}

fn shown(resource: &Resource, object: &Value) -> Result<Value, Status> {
    if let Some(paths) = paths_of(resource)? {
        return Ok(paths.scale(object));
    }
    let mut metadata = serde_json::Map::new();
    for name in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        let value = meta::get(object, name);
        if !value.is_null() {
            metadata.insert(name.to_owned(), value.clone());
        }
    }
    let mut status = json!({"replicas": at(object, &["status", "replicas"]).as_i64().unwrap_or(0)});
    let selector = selector_text(resource, at(object, &["spec", "selector"]));
    if let Some(status) = status.as_object_mut().filter(|_| !selector.is_empty()) {
        status.insert("selector".to_owned(), json!(selector));
    }
    let mut spec = json!({});
    let replicas = at(object, &["spec", "replicas"]).as_i64().unwrap_or(0);
    if let Some(spec) = spec.as_object_mut().filter(|_| replicas != 0) {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    Ok(
        json!({"kind": "Scale", "apiVersion": "autoscaling/v1", "metadata": metadata, "spec": spec, "status": status}),
    )
}

fn set_replicas(resource: &Resource, object: &mut Value, replicas: i64) -> Result<(), Status> {
    if let Some(paths) = paths_of(resource)? {
        let name = meta::text(object, "name").to_owned();
        return paths
            .set_replicas(object, replicas)
            .map_err(|error| Status::invalid(&resource.group_kind(), &name, &[error]));
    }
    let Some(fields) = object.as_object_mut() else { return Ok(()) };
    let spec = fields.entry("spec").or_insert_with(|| json!({}));
    if let Some(spec) = spec.as_object_mut() {
        spec.insert("replicas".to_owned(), json!(replicas));
    }
    Ok(())
}

fn selector_text(resource: &Resource, selector: &Value) -> String {
    match selector {
        Value::String(text) => text.clone(),
        // Replication controllers select by a map of labels.
        Value::Object(labels) if resource.gvr.resource == "replicationcontrollers" => {
            let pairs = labels.iter().filter_map(|(key, value)| Some(format!("{key}={}", value.as_str()?)));
            pairs.collect::<Vec<_>>().join(",")
        }
        Value::Object(_) => {
            LabelSelector::from_value(selector).map(|found| found.to_string()).unwrap_or_default()
        }
        _ => String::new(),
    }
}

fn at<'a>(value: &'a Value, path: &[&str]) -> &'a Value {
    path.iter().try_fold(value, |value, name| value.get(name)).unwrap_or(&Value::Null)
}

fn kind() -> GroupVersionKind {
    GroupVersionKind::new("autoscaling", "v1", "Scale")
}

/// Replicas that are not said.
const UNSET: i64 = i32::MIN as i64;
/// As many as patches of whole objects get.
const ATTEMPTS_MAX: usize = 16;
