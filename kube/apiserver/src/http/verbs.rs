//! Requests for objects: from the parsed request to a verb of the registry and to its answer.

use std::sync::Arc;
use std::time::Duration;

use audit::Trail;
use auth::review::{Question, Reviewer, is_review};
use http::Response;
use hyper::body::Incoming;
use jiff::Timestamp;
use kube_object::json::weight;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};

use super::accept::{Encoding, Negotiated, Offer, negotiate, not_acceptable};
use super::answer::{self, Form, accepts_gzip};
use super::body::{self, Body};
use super::chain::{Asked, identified};
use super::limits::Gate;
use super::{Front, decode, watch};
use crate::aggregate::Asking;
use crate::kinds::Resource;
use crate::metrics::Subject;
use crate::registry::{DeleteOptions, GetOptions, ListOptions, Outcome, Patch, Target, WriteOptions};
use crate::table::IncludeObject;

/// Answers a request for a resource.
pub(super) async fn serve(asked: Asked<'_>) -> Result<Response<Body>, Status> {
    let info = &asked.info;
    let resource = asked.front.registry.kinds().resolve(&info.group, &info.version, &info.resource);
    let Some(resource) = resource else {
        return elsewhere(asked).await;
    };
    let Some(target) = target(&asked, &resource) else {
        return Ok(answer::page_not_found());
    };
    if !allows(&asked, &resource, &target) {
        return Ok(method_not_allowed());
    }
    let form = form(&asked, &resource, &target)?;
    match info.verb.as_str() {
        "get" => {
            let resource_version = asked.query.text("resourceVersion").unwrap_or_default().to_owned();
            let options = GetOptions { resource_version };
            let found = asked.front.registry.get(&asked.context, &target, &options).await?;
            Ok(answer::outcome(&found, &resource, &form))
        }
        "list" => {
            let options = ListOptions::from_query(asked.query.pairs())?;
            let found = asked.front.registry.list(&asked.context, &target, &options).await?;
            Ok(answer::list(&found, &resource, &form))
        }
        "watch" => follow(&asked, &resource, &target, &form).await,
        _ => change(asked, &resource, &target, &form).await,
    }
}

/// What no kind serves, another server may, or a group of this one without kinds.
async fn elsewhere(asked: Asked<'_>) -> Result<Response<Body>, Status> {
    let Asked { front, info, query, context, request, id, .. } = asked;
    if let Some(remote) = front.aggregator.find(&info.group, &info.version) {
        return front.aggregator.serve(&remote, &context.user, identified(request, id)).await;
    }
    let Some(here) = front.aggregator.here(&info.group, &info.version) else {
        return Ok(answer::page_not_found());
    };
    if !matches!(info.verb.as_str(), "get" | "list") || !info.subresource.is_empty() {
        return Ok(method_not_allowed());
    }
    let asking = Asking {
        verb: &info.verb,
        resource: &info.resource,
        namespace: &info.namespace,
        name: &info.name,
        query: query.pairs(),
    };
    let value = here.answer(asking).await?;
    Ok(answer::bytes_answer(200, "application/json", value.to_string()))
}

/// create, update, patch, delete and deletecollection: the verbs that may have a body.
async fn change(
    asked: Asked<'_>,
    resource: &Arc<Resource>,
    target: &Target,
    form: &Form,
) -> Result<Response<Body>, Status> {
    let Asked { front, info, query, context, request, .. } = asked;
    let (parts, incoming) = request.into_parts();
    let received = read(&front.gate, &parts.headers, incoming).await?;
    let mut place = front.gate.decode(received.bytes.len()).await;
    let sent = Sent::decode(&info.verb, resource, &parts.headers, &received.bytes)?;
    if let Some(trail) = &form.trail {
        sent.record(trail);
    }
    place.fit(|| sent.weight() + received.bytes.len());
    drop(received);
    let registry = &front.registry;
    let outcome = match (info.verb.as_str(), sent) {
        ("create", Sent::Object(mut object)) if is_review(&resource.gvk.group, &resource.gvk.kind) => {
            WriteOptions::from_query(query.pairs())?;
            check_type(&mut object.value, resource)?;
            let answered = review(front, &context.user, resource, target, &object.value)?;
            return Ok(answer::outcome(&answered, resource, form));
        }
        ("create", Sent::Object(object)) => {
            let options = WriteOptions::from_query(query.pairs())?;
            registry.create(&context, target, object, &options).await?
        }
        ("update", Sent::Object(object)) => {
            let options = WriteOptions::from_query(query.pairs())?;
            registry.update(&context, target, object, &options).await?
        }
        ("patch", Sent::Patch(patch)) => {
            let options = WriteOptions::from_query(query.pairs())?;
            registry.patch(&context, target, patch, &options).await?
        }
        ("delete", Sent::Options(body)) => {
            let options = DeleteOptions::from_request(query.pairs(), body.as_ref())?;
            registry.delete(&context, target, &options).await?
        }
        ("deletecollection", Sent::Options(body)) => {
            let options = DeleteOptions::from_request(query.pairs(), body.as_ref())?;
            let list = ListOptions::from_query(query.pairs())?;
            let gone = registry.delete_collection(&context, target, &list, &options).await?;
            return Ok(answer::list(&gone, resource, form));
        }
        _ => return Ok(method_not_allowed()),
    };
    Ok(answer::outcome(&outcome, resource, form))
}

/// What the bodies of the verbs say.
enum Sent {
    Object(crate::registry::Body),
    Patch(Patch),
    Options(Option<Value>),
}

impl Sent {
    fn decode(
        verb: &str,
        resource: &Resource,
        headers: &http::HeaderMap,
        bytes: &bytes::Bytes,
    ) -> Result<Self, Status> {
        Ok(match verb {
            "create" | "update" => Self::Object(decode::object(headers, bytes, !resource.is_custom())?),
            "patch" => Self::Patch(decode::patch(headers, bytes, resource.is_custom())?),
            "delete" | "deletecollection" => Self::Options(decode::options(headers, bytes)?),
            _ => Self::Options(None),
        })
    }

    /// Records what was sent.
    fn record(&self, trail: &Trail) {
        match self {
            Self::Object(body) => trail.request_object(&body.value),
            Self::Patch(patch) => trail.request_patch(&patch.body().value),
            Self::Options(Some(options)) => trail.request_object(options),
            Self::Options(None) => {}
        }
    }

    /// What its values take in memory, roughly.
    fn weight(&self) -> usize {
        match self {
            Self::Object(body) => weight(&body.value),
            Self::Patch(patch) => weight(&patch.body().value),
            Self::Options(options) => options.as_ref().map_or(0, weight),
        }
    }
}

async fn read<'a>(
    gate: &'a Gate,
    headers: &http::HeaderMap,
    incoming: Incoming,
) -> Result<body::Received<'a>, Status> {
    // Most requests without a body say so.
    if hyper::body::Body::is_end_stream(&incoming) {
        return Ok(body::Received::default());
    }
    body::read(gate, headers, incoming).await
}

async fn follow(
    asked: &Asked<'_>,
    resource: &Arc<Resource>,
    target: &Target,
    form: &Form,
) -> Result<Response<Body>, Status> {
    let mut options = ListOptions::from_query(asked.query.pairs())?;
    options.timeout.get_or_insert_with(default_watch_timeout);
    let watcher = asked.front.registry.watch(&asked.context, target, &options).await?;
    let subject = Subject::of(&asked.info, true, false, false);
    let watched = asked.front.fairness().and_then(|it| it.watches().register(&asked.info, &asked.query));
    let counted = watch::Counted { _gauge: asked.front.metrics.long_running(subject), _watched: watched };
    Ok(watch::answer(watcher, resource, form, counted))
}

/// Half an hour to an hour, so that watches opened together do not come back together.
fn default_watch_timeout() -> Duration {
    let spread = Timestamp::now().subsec_nanosecond().unsigned_abs() % 1800;
    Duration::from_secs(1800 + u64::from(spread))
}

/// What the path means for this resource; none where the path cannot be.
fn target(asked: &Asked<'_>, resource: &Arc<Resource>) -> Option<Target> {
    let info = &asked.info;
    let of_namespaces = resource.gvr.group.is_empty() && resource.gvr.resource == "namespaces";
    let namespace = if of_namespaces { "" } else { info.namespace.as_str() };
    if !resource.namespaced && !namespace.is_empty() {
        return None;
    }
    // An object of a namespace has no path without it.
    let has_name_in_path = !info.name.is_empty() && !matches!(info.verb.as_str(), "list" | "watch");
    if resource.namespaced && namespace.is_empty() && has_name_in_path {
        return None;
    }
    if !info.tail.is_empty() && info.tail != "/" {
        return None;
    }
    if !info.subresource.is_empty() {
        resource.subresource(&info.subresource)?;
    }
    // The name of a selector is for authorization; the selector itself goes to the registry.
    let named_by_selector = matches!(info.verb.as_str(), "list" | "watch") && !info.watch_prefix;
    let name = if named_by_selector { "" } else { info.name.as_str() };
    Some(Target::object(resource, namespace, name).at(&info.subresource))
}

fn allows(asked: &Asked<'_>, resource: &Resource, target: &Target) -> bool {
    let info = &asked.info;
    // Collections over all namespaces can only be read.
    let over_all = resource.namespaced && target.namespace.is_empty();
    if over_all && !matches!(info.verb.as_str(), "list" | "watch") {
        // Reviews that are asked without a namespace do not exist in namespaced form.
        return false;
    }
    match info.verb.as_str() {
        // Only a collection is created in, only an object is replaced.
        "create" if target.subresource.is_empty() && !target.name.is_empty() => return false,
        "update" | "patch" if target.name.is_empty() => return false,
        _ => {}
    }
    if target.subresource.is_empty() {
        return resource.does(&info.verb);
    }
    let part = resource.subresource(&target.subresource);
    part.is_some_and(|part| part.verbs.contains(&info.verb))
}

fn form(asked: &Asked<'_>, resource: &Resource, target: &Target) -> Result<Form, Status> {
    // Reviews are answered and forgotten: they have neither columns nor metadata.
    let speaks_own_kind = target.subresource.is_empty()
        || resource.subresource(&target.subresource).is_some_and(|part| part.gvk == resource.gvk);
    let offer =
        Offer { transforms: resource.is_stored() && speaks_own_kind, protobuf: !resource.is_custom() };
    let mut negotiated = negotiate(asked.accept(), offer)?;
    if asked.info.verb == "watch" && negotiated.encoding == Encoding::Yaml {
        // Documents of YAML cannot follow each other without an end.
        return Err(not_acceptable(offer));
    }
    negotiated.pretty |= wants_pretty(asked, negotiated);
    Ok(Form {
        negotiated,
        include: IncludeObject::parse(asked.query.text("includeObject").unwrap_or_default())?,
        gzip: accepts_gzip(asked.headers()) && matches!(asked.info.verb.as_str(), "get" | "list"),
        now: Timestamp::now(),
        messages: Arc::clone(&asked.front.messages),
        trail: asked.trail.clone(),
    })
}

/// Who looks at answers with their own eyes gets line breaks, as upstream.
fn wants_pretty(asked: &Asked<'_>, negotiated: Negotiated) -> bool {
    if negotiated.encoding != Encoding::Json || asked.info.verb == "watch" {
        return false;
    }
    match asked.query.flag("pretty") {
        Some(pretty) => pretty,
        None => ["curl", "Wget", "Mozilla/5.0"].iter().any(|name| asked.context.user_agent.starts_with(name)),
    }
}

fn method_not_allowed() -> Response<Body> {
    answer::text(405, "405: Method Not Allowed")
}

/// Reviews are answered from what the server knows, and kept nowhere.
fn review(
    front: &Front,
    user: &User,
    resource: &Resource,
    target: &Target,
    body: &Value,
) -> Result<Outcome, Status> {
    let reviewer = Reviewer { authenticator: &front.authenticator, authorizer: &front.authorizer };
    let question = Question {
        kind: &resource.gvk.kind,
        namespace: &target.namespace,
        body,
        user,
        now: Timestamp::now(),
    };
    let answered = auth::review::answer(&reviewer, &question)?;
    Ok(Outcome::value(201, resource.gvk.clone(), answered))
}

/// A review of another type than its path's is refused; one without a type is of the path's.
fn check_type(object: &mut Value, resource: &Resource) -> Result<(), Status> {
    let (api_version, kind) = (resource.gvk.api_version(), resource.gvk.kind.as_str());
    let Some(fields) = object.as_object_mut() else {
        return Err(Status::bad_request("the body of the request is no object"));
    };
    for (field, expected) in [("apiVersion", api_version.as_str()), ("kind", kind)] {
        let given = fields.entry(field).or_insert_with(|| json!(expected));
        if given.as_str() != Some(expected) {
            return Err(Status::bad_request(format!(
                "the {field} in the data ({given}) does not match the expected {field} ({expected:?})"
            )));
        }
    }
    Ok(())
}
