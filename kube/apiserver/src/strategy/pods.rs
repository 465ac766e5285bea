//! Bindings: how a scheduler gives a pod to a node.

use kube_object::field_error::FieldError;
use kube_object::resource::GroupKind;
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Value, json};

use super::set_condition;
use crate::registry::modify::{Change, Job, Spoken};
use crate::registry::{Body, Context, Outcome, Registry, Target, WriteOptions, core, meta};

/// POST to `pods/NAME/binding`.
pub(crate) async fn bind(
    registry: &Registry,
    context: &Context,
    target: &Target,
    body: Body,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let binding = body.value;
    let name = meta::text(&binding, "name");
    if !name.is_empty() && name != target.name {
        return Err(Status::bad_request("name in URL does not match name in Binding object"));
    }
    let now = Time::from_unix(registry.core.unix()).map(|now| now.to_string()).unwrap_or_default();
    let resource = target.resource.group_resource();
    let edit = |pod: &mut Value, binding: &Value| {
        check(binding, &target.name)?;
        assign(pod, binding, &now).map_err(|why| Status::conflict(&resource, &target.name, why))
    };
    let operation = admission::Operation::Create;
    let spoken = Spoken { operation, body: &binding, view: None, edit: &edit };
    let at = target.clone().at("binding");
    let job = Job { context, target: &at, options, change: Change::Spoken(spoken) };
    registry.modify(&job).await?;
    let answer =
        json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
    Ok(Outcome::value(201, core::status_kind(), answer))
}

/// POST to `bindings`, the older way.
pub(crate) async fn bind_by_name(
    registry: &Registry,
    context: &Context,
    target: &Target,
    body: Body,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let name = meta::text(&body.value, "name").to_owned();
    let pods = registry.kinds().resolve("", "v1", "pods").ok_or_else(Status::no_such_path)?;
    let pod = Target::object(&pods, &target.namespace, &name).at("binding");
    bind(registry, context, &pod, body, options).await
}

fn check(binding: &Value, name: &str) -> Result<(), Status> {
    let text = |field: &str| {
        binding.get("target").and_then(|found| found.get(field)).and_then(Value::as_str).unwrap_or_default()
    };
    let mut errors = Vec::new();
    if !matches!(text("kind"), "" | "Node") {
        errors.push(FieldError::not_supported("target.kind", text("kind"), &["Node", "<empty>"]));
    }
    if text("name").is_empty() {
        errors.push(FieldError::required("target.name", ""));
    }
    if errors.is_empty() {
        Ok(())
    } else {
        Err(Status::invalid(&GroupKind::new("", "Binding"), name, &errors))
    }
}

/// Gives the pod to its node, or says why it cannot be.
fn assign(pod: &mut Value, binding: &Value, now: &str) -> Result<(), String> {
    let node =
        binding.get("target").and_then(|found| found.get("name")).and_then(Value::as_str).unwrap_or_default();
    let name = meta::text(pod, "name").to_owned();
    let (given, own) = (meta::text(binding, "uid"), meta::text(pod, "uid"));
    if !given.is_empty() && given != own {
        return Err(format!("Precondition failed: UID in precondition: {given}, UID in object meta: {own}"));
    }
    if meta::is_deleting(pod) {
        return Err(format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let spec = pod.get("spec");
    let assigned = spec.and_then(|spec| spec.get("nodeName")).and_then(Value::as_str).unwrap_or_default();
    if !assigned.is_empty() {
        return Err(format!("pod {name} is already assigned to node {assigned:?}"));
    }
    let gates = spec.and_then(|spec| spec.get("schedulingGates")).and_then(Value::as_array);
    if gates.is_some_and(|gates| !gates.is_empty()) {
        return Err(format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if let Some(spec) = pod.get_mut("spec").and_then(Value::as_object_mut) {
        spec.insert("nodeName".to_owned(), json!(node));
    }
    for member in ["annotations", "labels"] {
        let more = meta::get(binding, member).as_object().cloned().unwrap_or_default();
        if !more.is_empty() {
            let mut all = meta::get(pod, member).as_object().cloned().unwrap_or_default();
            all.extend(more);
            meta::set(pod, member, all);
        }
    }
    set_condition(
        pod,
        json!({"type": "PodScheduled", "status": "True", "lastProbeTime": null, "lastTransitionTime": now}),
    );
    Ok(())
}
