//! The audit log's view of calls within this process: the same events as of those over HTTP, but
//! from no address, and without a decision on who may.

use std::sync::Arc;

use audit::{Asked, Audit, Request, Resource, ResponseStatus, Trail};
use client::http::{call_uri, watch_uri};
use client::{Call, Verb, WatchOptions};
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::Value;

use crate::http::fresh_id;
use crate::registry::Context;

/// Begins the record of a call, if the policy wants one.
pub(super) async fn begin(
    audit: &Arc<Audit>,
    context: &Context,
    call: &Call,
) -> Result<Option<Trail>, Status> {
    let resource = Resource {
        subresource: call.subresource.as_deref().unwrap_or_default(),
        namespace: call.namespace.as_deref().unwrap_or_default(),
        name: call.name.as_deref().unwrap_or_default(),
        ..named(&call.resource)
    };
    let verb = match call.verb {
        Verb::Get => "get",
        Verb::List => "list",
        Verb::Create => "create",
        Verb::Update => "update",
        Verb::Patch => "patch",
        Verb::Delete => "delete",
        Verb::DeleteCollection => "deletecollection",
    };
    let asked = Asked { user: Some(&context.user), verb, path: "", resource: Some(resource) };
    let Some(trail) = audit.begin(&asked, || request(context, call_uri(call), false)) else {
        return Ok(None);
    };
    received(audit, &trail).await?;
    match (call.verb, &call.body) {
        (Verb::Patch, Some(body)) => trail.request_patch(body),
        (Verb::Create | Verb::Update, Some(body)) => trail.request_object(body),
        (Verb::Delete | Verb::DeleteCollection, _) => trail.request_object(&call.options.delete_options()),
        _ => {}
    }
    Ok(Some(trail))
}

/// Ends it with what was answered.
pub(super) async fn end(trail: &Trail, context: &Context, result: &Result<(u16, Value), Status>) {
    let notes = context.admission.take().audit_annotations;
    notes.iter().for_each(|(key, value)| trail.annotate(key, value));
    let code = match result {
        Ok((code, value)) => {
            if value.get("kind").and_then(Value::as_str) == Some("Status") {
                trail.response_status(ResponseStatus::of_value(value, *code));
            }
            trail.response_object(value);
            *code
        }
        Err(status) => refused(trail, status),
    };
    trail.answered(code).await;
}

/// As [`begin`], of a watch.
pub(super) async fn begin_watch(
    audit: &Arc<Audit>,
    context: &Context,
    resource: &GroupVersionResource,
    options: &WatchOptions,
) -> Result<Option<Trail>, Status> {
    let about = Resource { namespace: options.namespace.as_deref().unwrap_or_default(), ..named(resource) };
    let asked = Asked { user: Some(&context.user), verb: "watch", path: "", resource: Some(about) };
    let Some(trail) = audit.begin(&asked, || request(context, watch_uri(resource, options), true)) else {
        return Ok(None);
    };
    received(audit, &trail).await?;
    Ok(Some(trail))
}

/// The watch has begun, or is refused.
pub(super) async fn watching(trail: &Trail, refusal: Option<&Status>) {
    let code = refusal.map_or(200, |status| refused(trail, status));
    trail.answered(code).await;
}

fn refused(trail: &Trail, status: &Status) -> u16 {
    trail.response_status(ResponseStatus::from(status));
    trail.response_object(&status.to_value());
    status.code
}

async fn received(audit: &Audit, trail: &Trail) -> Result<(), Status> {
    if trail.received().await {
        return Ok(());
    }
    audit.rejected();
    Err(Status::internal("failed to store audit event"))
}

fn named(resource: &GroupVersionResource) -> Resource<'_> {
    Resource {
        group: &resource.group,
        version: &resource.version,
        resource: &resource.resource,
        ..Resource::default()
    }
}

fn request(context: &Context, uri: String, long_running: bool) -> Request {
    Request {
        audit_id: fresh_id(),
        uri,
        source_ips: Vec::new(),
        user_agent: context.user_agent.clone(),
        received: Timestamp::now(),
        long_running,
    }
}
