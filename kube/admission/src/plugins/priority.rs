//! `Priority`: a pod's priority comes from its class, and only from there.

use std::cmp::Ordering;
use std::sync::Arc;

use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::notes::Notes;
use crate::plugin::{Need, Plugin, Scene};
use crate::read::{at, is_true, set, text};
use crate::request::{Operation, Request};

pub(crate) struct Priority;

fn classes() -> GroupResource {
    GroupResource::new("scheduling.k8s.io", "priorityclasses")
}

impl Plugin for Priority {
    fn name(&self) -> &'static str {
        "Priority"
    }

    fn handles(&self, operation: Operation) -> bool {
        matches!(operation, Operation::Create | Operation::Update)
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        let pod = request
            .object
            .as_ref()
            .filter(|_| request.is_for("", "pods") && request.operation == Operation::Create);
        let name = pod.map_or("", |pod| text(pod, &["spec", "priorityClassName"]));
        if name.is_empty() {
            return Vec::new();
        }
        vec![Need::of(classes(), "", name)]
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        if !request.is_for("", "pods") {
            return Ok(());
        }
        match request.operation {
            Operation::Create => of_class(request, scene),
            _ => {
                keep(request);
                Ok(())
            }
        }
    }

    fn validate(&self, request: &Request, scene: &Scene<'_>, _notes: &mut Notes) -> Result<(), Status> {
        let class = request.object.as_ref().unwrap_or(&Value::Null);
        if !request.is_for("scheduling.k8s.io", "priorityclasses") || !is_true(class, &["globalDefault"]) {
            return Ok(());
        }
        let Some(default) = default_class(scene) else { return Ok(()) };
        let other = text(&default, &["metadata", "name"]);
        if other == text(class, &["metadata", "name"]) {
            return Ok(());
        }
        Err(request.forbidden(format_args!(
            "PriorityClass {other} is already marked as default. Only one default can exist"
        )))
    }
}

/// An update that leaves them out keeps priority and preemption policy.
fn keep(request: &mut Request) {
    let (Some(pod), Some(old)) = (&mut request.object, &request.old) else { return };
    for name in ["priority", "preemptionPolicy"] {
        let before = at(old, &["spec", name]);
        if at(pod, &["spec", name]).is_null() && !before.is_null() {
            set(pod, &["spec"], name, before.clone());
        }
    }
}

fn of_class(request: &mut Request, scene: &Scene<'_>) -> Result<(), Status> {
    let pod = request.object.as_ref().unwrap_or(&Value::Null);
    let stated = text(pod, &["spec", "priorityClassName"]);
    let class = match stated {
        "" => default_class(scene),
        name => match scene.get(&classes(), "", name).or_else(|| built_in(name)) {
            Some(class) => Some(class),
            None => {
                let why = format_args!("no PriorityClass with name {name} was found");
                return Err(request.forbidden(why));
            }
        },
    };
    let class = class.as_deref().unwrap_or(&Value::Null);
    let priority = at(class, &["value"]).as_i64().unwrap_or_default();
    let policy = match text(class, &["preemptionPolicy"]) {
        "" => "PreemptLowerPriority",
        policy => policy,
    };
    let own = at(pod, &["spec", "priority"]);
    if own.as_i64().is_some_and(|own| own != priority) {
        return Err(request.forbidden(format_args!(
            "the integer value of priority ({own}) must not be provided in pod spec; \
             priority admission controller computed {priority} from the given PriorityClass name"
        )));
    }
    let own = text(pod, &["spec", "preemptionPolicy"]);
    if !own.is_empty() && own != policy {
        return Err(request.forbidden(format_args!(
            "the string value of PreemptionPolicy ({own}) must not be provided in pod spec; \
             priority admission controller computed {policy} from the given PriorityClass name"
        )));
    }
    let name = text(class, &["metadata", "name"]).to_owned();
    let Some(pod) = &mut request.object else { return Ok(()) };
    if !name.is_empty() {
        set(pod, &["spec"], "priorityClassName", name);
    }
    set(pod, &["spec"], "priority", priority);
    set(pod, &["spec"], "preemptionPolicy", policy);
    Ok(())
}

/// The class of pods that name none; if by mischance there are several, the lowest.
fn default_class(scene: &Scene<'_>) -> Option<Arc<Value>> {
    let all = scene.cluster().list(&classes(), None).into_iter();
    let value = |class: &Value| at(class, &["value"]).as_i64().unwrap_or_default();
    all.filter(|class| is_true(class, &["globalDefault"])).min_by(|a, b| match value(a).cmp(&value(b)) {
        Ordering::Equal => text(a, &["metadata", "name"]).cmp(text(b, &["metadata", "name"])),
        order => order,
    })
}

/// The two classes that every cluster has, before anyone has stored them.
fn built_in(name: &str) -> Option<Arc<Value>> {
    let value = match name {
        "system-cluster-critical" => 2_000_000_000,
        "system-node-critical" => 2_000_001_000,
        _ => return None,
    };
    Some(Arc::new(serde_json::json!({"metadata": {"name": name}, "value": value})))
}
