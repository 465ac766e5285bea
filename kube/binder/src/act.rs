//! Calls of the API that carry decisions out: jobs beside the task that decides.

use std::sync::Arc;

use client::{Api, Call, PatchType};
use controllers::known;
use kube_object::status::Status;
use scheduler::Pod;
use serde_json::{Value, json};

/// How a job ended.
#[derive(Debug)]
pub(crate) enum Done {
    /// The pod has its node, or why not.
    Bound { pod: Arc<Pod>, end: Result<(), Status> },
    /// What its volumes need was asked for, or why not.
    Asked { pod: Arc<Pod>, end: Result<(), Status> },
    /// What was to be said or ended about a pod that fits nowhere was.
    Told,
}

/// A pod's condition, as its status will have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// `Unschedulable` or `SchedulerError`.
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// The node where others are ended for it; `Some(None)` is that there is none any more.
    pub(crate) nominated: Option<Option<Arc<str>>>,
}

/// Gives a pod to its node.
pub(crate) async fn bind(api: Arc<dyn Api>, pod: Arc<Pod>) -> Done {
    let node = pod.node.as_deref().unwrap_or_default();
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding",
        "metadata": {"name": &*pod.name, "namespace": &*pod.namespace, "uid": &*pod.uid},
        "target": {"kind": "Node", "name": node},
    });
    let mut call = Call::create(known::pods(), &pod.namespace, binding).at("binding");
    call.name = Some(pod.name.to_string());
    let end = api.call(call).await.map(drop);
    Done::Bound { pod, end }
}

/// Writes what was decided about a pod into its status.
pub(crate) async fn write_verdict(api: &dyn Api, pod: &Pod, verdict: &Verdict, now: &str, generation: i64) {
    let mut condition = json!({
        "type": "PodScheduled", "status": "False", "reason": verdict.reason, "message": verdict.message,
        "lastProbeTime": null,
    });
    if let Some(members) = condition.as_object_mut() {
        if !now.is_empty() {
            members.insert("lastTransitionTime".to_owned(), json!(now));
        }
        if generation > 0 {
            members.insert("observedGeneration".to_owned(), json!(generation));
        }
    }
    let mut status = json!({"conditions": [condition]});
    if let (Some(nominated), Some(members)) = (&verdict.nominated, status.as_object_mut()) {
        members.insert("nominatedNodeName".to_owned(), json!(nominated.as_deref()));
    }
    // Whoever is faster is right: the pod's next change brings it here again.
    drop(patch_status(api, pod, status).await);
}

/// Takes a nomination back, so that the pod looks for another place.
pub(crate) async fn forget_nomination(api: Arc<dyn Api>, pod: Arc<Pod>) -> Done {
    drop(patch_status(&*api, &pod, json!({"nominatedNodeName": null})).await);
    Done::Told
}

/// Ends a pod so that a more important one gets its place.
pub(crate) async fn evict(api: &dyn Api, victim: &Pod, preemptor: &str, now: &str) -> Result<(), Status> {
    let condition = json!({
        "type": "DisruptionTarget", "status": "True", "reason": "PreemptionByScheduler",
        "message": format!("{preemptor}: preempting to accommodate a higher priority pod"),
        "lastProbeTime": null, "lastTransitionTime": now,
    });
    match patch_status(api, victim, json!({"conditions": [condition]})).await {
        Err(status) if status.code == 404 => return Ok(()),
        // As upstream: that it cannot be said does not spare the pod.
        _ => {}
    }
    let call = Call::delete(known::pods(), &victim.namespace, &victim.name);
    let call = call.with(|options| options.preconditions.uid = Some(victim.uid.to_string()));
    match api.call(call).await {
        Err(status) if status.code == 404 => Ok(()),
        answer => answer.map(drop),
    }
}

async fn patch_status(api: &dyn Api, pod: &Pod, status: Value) -> Result<Value, Status> {
    let patch = json!({"metadata": {"uid": &*pod.uid}, "status": status});
    let call = Call::patch(known::pods(), &pod.namespace, &pod.name, PatchType::Strategic, patch);
    api.call(call.at("status")).await
}
