//! Evictions: deletions of pods that budgets may refuse.

use client::{Item, Mirror};
use kube_object::field_error::FieldError;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::{GroupKind, GroupResource};
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Value, json};
use std::sync::Arc;

use crate::registry::modify::{Change, Job};
use crate::registry::{
    Body, Context, DeleteOptions, GetOptions, Outcome, Registry, Target, WriteOptions, core, meta,
};

/// POST to `pods/NAME/eviction`.
pub(crate) async fn evict(
    registry: &Registry,
    context: &Context,
    target: &Target,
    body: Body,
    options: &WriteOptions,
) -> Result<Outcome, Status> {
    let eviction = body.value;
    let name = meta::text(&eviction, "name");
    if !name.is_empty() && name != target.name {
        return Err(Status::bad_request("name in URL does not match name in Eviction object"));
    }
    let read = |eviction: &Value| -> Result<DeleteOptions, Status> {
        let mut deletion = DeleteOptions::from_request(&[], eviction.get("deleteOptions"))?;
        deletion.dry_run |= options.dry_run;
        Ok(deletion)
    };
    let whole = Target { subresource: String::new(), ..target.clone() };
    let asks_dry_run = read(&eviction)?.dry_run;
    let mut asked = registry.admission_request(context, target, admission::Operation::Create, asks_dry_run);
    asked.object = Some(eviction);
    registry.mutate(context, &mut asked).await?;
    registry.validate(context, &asked).await?;
    // Admission may have changed how the pod is deleted.
    let mut deletion = read(&asked.object.unwrap_or_default())?;

    for _ in 0..ATTEMPTS_MAX {
        let pod = registry.core.get(&whole, &GetOptions::default()).await?.to_value();
        if !needs_no_budget(&pod) {
            check_budgets(registry, context, &pod, deletion.dry_run).await?;
        } else if deletion.resource_version.is_none() {
            // The pod must still be one that no budget counts.
            deletion.resource_version = Some(meta::text(&pod, "resourceVersion").to_owned());
        }
        mark_disrupted(registry, context, &whole, deletion.dry_run).await?;
        match registry.delete_object(context, &whole, &deletion).await {
            Err(status) if status.reason == "Conflict" && deletion.uid.is_none() => {
                deletion.resource_version = None;
            }
            Err(status) => return Err(status),
            Ok(_) => {
                let answer = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201});
                return Ok(Outcome::value(201, core::status_kind(), answer));
            }
        }
    }
    Err(Status::conflict(&target.resource.group_resource(), &target.name, core::MODIFIED))
}

/// Pods that have ended, or have not begun, are no loss.
fn needs_no_budget(pod: &Value) -> bool {
    let phase = pod.get("status").and_then(|status| status.get("phase")).and_then(Value::as_str);
    meta::is_deleting(pod) || matches!(phase, Some("Succeeded" | "Failed" | "Pending"))
}

/// Takes one allowed disruption from the budget that selects the pod, or refuses.
async fn check_budgets(
    registry: &Registry,
    context: &Context,
    pod: &Value,
    dry_run: bool,
) -> Result<(), Status> {
    let budgets = budgets_of(registry, pod)?;
    let [budget] = budgets.as_slice() else {
        if budgets.is_empty() {
            return Ok(());
        }
        return Err(Status::internal(
            "This pod has more than one PodDisruptionBudget, which the eviction subresource does not support.",
        ));
    };
    if !is_ready(pod) && always_allows_unhealthy(&budget.value()) {
        return Ok(());
    }
    let resource =
        registry.kinds().resolve("policy", "v1", "poddisruptionbudgets").ok_or_else(Status::no_such_path)?;
    let target = Target::object(&resource, budget.namespace(), budget.name()).at("status");
    let now = Time::from_unix(registry.core.unix()).map(|now| now.to_string()).unwrap_or_default();
    let pod_name = meta::text(pod, "name");
    let healthy = is_ready(pod);
    let edit = |budget: &mut Value| take_disruption(budget, pod_name, healthy, &now);
    let options = WriteOptions { dry_run, ..WriteOptions::default() };
    let job = Job { context, target: &target, options: &options, change: Change::Edit(&edit) };
    registry.modify(&job).await.map(drop)
}

fn budgets_of(registry: &Registry, pod: &Value) -> Result<Vec<Arc<Item>>, Status> {
    let resource = GroupResource::new("policy", "poddisruptionbudgets");
    let labels = meta::get(pod, "labels").as_object().into_iter().flatten();
    let labels = labels.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect();
    let all = registry.core.cache.items(&resource, Some(meta::text(pod, "namespace")));
    let selects = |budget: &Arc<Item>| {
        let value = budget.value();
        let selector =
            value.get("spec").and_then(|spec| spec.get("selector")).filter(|found| !found.is_null());
        selector.is_some_and(|selector| {
            LabelSelector::from_value(selector).is_ok_and(|found| found.matches(&labels))
        })
    };
    Ok(all.into_iter().filter(selects).collect())
}

/// The new status of a budget that allows one disruption less.
fn take_disruption(budget: &mut Value, pod: &str, healthy: bool, now: &str) -> Result<(), Status> {
    let name = meta::text(budget, "name").to_owned();
    let generation = meta::get(budget, "generation").as_i64().unwrap_or(0);
    let number = |name: &str| {
        budget.get("status").and_then(|status| status.get(name)).and_then(Value::as_i64).unwrap_or(0)
    };
    let (observed, allowed) = (number("observedGeneration"), number("disruptionsAllowed"));
    let (current, desired) = (number("currentHealthy"), number("desiredHealthy"));
    if observed < generation {
        let mut status = too_many(10);
        let why = format!("The disruption budget {name} is still being processed by the server.");
        add_cause(&mut status, &why);
        return Err(status);
    }
    if !healthy && current >= desired && desired > 0 {
        return Ok(());
    }
    if allowed < 0 {
        let error =
            FieldError::invalid("status.disruptionsAllowed", allowed, "pdb disruptions allowed is negative");
        return Err(Status::invalid(&GroupKind::new("policy", "PodDisruptionBudget"), &name, &[error]));
    }
    if allowed == 0 {
        let mut status = too_many(0);
        let why =
            format!("The disruption budget {name} needs {desired} healthy pods and has {current} currently");
        add_cause(&mut status, &why);
        return Err(status);
    }
    if let Some(status) = budget.get_mut("status").and_then(Value::as_object_mut) {
        status.insert("disruptionsAllowed".to_owned(), json!(allowed - 1));
        let disrupted = status.entry("disruptedPods").or_insert_with(|| json!({}));
        if let Some(disrupted) = disrupted.as_object_mut() {
            disrupted.insert(pod.to_owned(), json!(now));
        }
    }
    Ok(())
}

fn too_many(seconds: u32) -> Status {
    Status::too_many_requests("Cannot evict pod as it would violate the pod's disruption budget.", seconds)
}

fn add_cause(status: &mut Status, why: &str) {
    status.details.get_or_insert_default().causes =
        vec![json!({"reason": "DisruptionBudget", "message": why})];
}

/// Says on the pod why it goes.
async fn mark_disrupted(
    registry: &Registry,
    context: &Context,
    pod: &Target,
    dry_run: bool,
) -> Result<(), Status> {
    let now = Time::from_unix(registry.core.unix()).map(|now| now.to_string()).unwrap_or_default();
    let edit = |pod: &mut Value| {
        super::set_condition(
            pod,
            json!({
                "type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI",
                "message": "Eviction API: evicting", "lastProbeTime": null, "lastTransitionTime": now
            }),
        );
        Ok(())
    };
    let at = pod.clone().at("eviction");
    let options = WriteOptions { dry_run, ..WriteOptions::default() };
    let job = Job { context, target: &at, options: &options, change: Change::Edit(&edit) };
    registry.modify(&job).await.map(drop)
}

fn is_ready(pod: &Value) -> bool {
    let conditions = pod.get("status").and_then(|status| status.get("conditions")).and_then(Value::as_array);
    conditions.into_iter().flatten().any(|condition| {
        let is = |name: &str, value: &str| condition.get(name).and_then(Value::as_str) == Some(value);
        is("type", "Ready") && is("status", "True")
    })
}

fn always_allows_unhealthy(budget: &Value) -> bool {
    let policy = budget.get("spec").and_then(|spec| spec.get("unhealthyPodEvictionPolicy"));
    policy.and_then(Value::as_str) == Some("AlwaysAllow")
}

/// Changes of the pod between the budget's answer and the deletion.
const ATTEMPTS_MAX: usize = 5;
