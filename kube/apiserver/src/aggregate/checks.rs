//! The loop that looks after APIServices: it asks the other servers whether they are well and
//! what they serve, and writes the condition `Available`.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use client::{BoxStream, Change, Item, Mirror as _};
use futures_util::StreamExt as _;
use futures_util::future::{join_all, select_ok};
use http::Request;
use http::header::{ACCEPT, HOST};
use http_body_util::{BodyExt as _, Empty, Limited};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::forward::{Way, send};
use super::remote::{Remote, Unreachable, api_services, service_of};
use super::{Aggregator, local, user_headers};
use crate::registry::{Body, Registry, Target, WriteOptions};
use crate::server::server_context;

/// How often another server is asked while nothing changes.
const INTERVAL: Duration = Duration::from_secs(30);
/// The same while it is not well.
const RETRY: Duration = Duration::from_secs(5);
/// So many addresses of one server are tried.
const ATTEMPTS_MAX: usize = 5;
/// How long an answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// Largest list of resources that is read.
const ANSWER_MAX: usize = 4 << 20;

/// Runs until the shutdown.
pub async fn run(registry: Arc<Registry>, aggregator: Arc<Aggregator>, mut shutdown: watch::Receiver<bool>) {
    tokio::select! {
        () = follow(&registry, &aggregator) => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

async fn follow(registry: &Registry, aggregator: &Aggregator) {
    let changes = |resource: &GroupResource| registry.core.cache.changes(resource);
    let mut asked = changes(&api_services());
    let mut services = changes(&GroupResource::new("", "services"));
    let mut slices = changes(&GroupResource::new("discovery.k8s.io", "endpointslices"));
    let mut kinds = registry.kinds().changes();
    loop {
        kinds.mark_unchanged();
        // What fails now is tried again with the next change or look.
        let synced = local::sync(registry, &aggregator.all_here()).await;
        let mut next = synced.is_err().then_some(RETRY);
        let remotes = aggregator.remotes();
        aggregator.tidy(&remotes);
        // One that is slow holds up nobody else.
        let checks = remotes.iter().map(|remote| check(registry, aggregator, remote));
        for well in join_all(checks).await {
            let wait = if well { INTERVAL } else { RETRY };
            next = Some(next.map_or(wait, |next| next.min(wait)));
        }
        let pause = async {
            match next {
                Some(next) => tokio::time::sleep(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            changed = asked.next() => if changed.is_none() { return },
            changed = kinds.changed() => if changed.is_err() { return },
            () = concerning(&mut services, &remotes, |object| object.pointer("/metadata/name")?.as_str()) => {}
            () = concerning(&mut slices, &remotes, service_of) => {}
            () = pause => {}
        }
    }
}

/// Returns when something has changed that a remote server is behind.
async fn concerning(
    changes: &mut BoxStream<'static, Change>,
    remotes: &[Remote],
    service: impl Fn(&Value) -> Option<&str>,
) {
    let is_behind = |item: &Item| {
        let value = item.value();
        service(&value)
            .is_some_and(|service| remotes.iter().any(|remote| remote.is_behind(item.namespace(), service)))
    };
    while let Some(change) = changes.next().await {
        let concerns = match &change {
            Change::Set { old, new } => is_behind(new) || old.as_ref().is_some_and(|old| is_behind(old)),
            Change::Gone { old } => is_behind(old),
            Change::Resync => !remotes.is_empty(),
        };
        if concerns {
            return;
        }
    }
    // The server ends, and whoever waits with it.
    std::future::pending::<()>().await;
}

/// Asks one server, and writes down how it is.
async fn check(registry: &Registry, aggregator: &Aggregator, remote: &Remote) -> bool {
    let asked = ask(aggregator, remote).await;
    let well = asked.is_ok();
    let (status, reason, message) = match &asked {
        Ok(_) => ("True", "Passed", "all checks passed".to_owned()),
        Err(why) => ("False", why.reason, why.message.clone()),
    };
    aggregator.discover(&remote.name(), asked.as_ref().ok().and_then(Option::as_ref));
    drop(write(registry, remote, status, reason, &message).await);
    well
}

/// What a server serves, from any of its addresses that answers. Whether it is who it should be is
/// no part of its being available, as upstream has it: then it is well, and says nothing to us.
async fn ask(aggregator: &Aggregator, remote: &Remote) -> Result<Option<Value>, Unreachable> {
    let addresses = remote.addresses(aggregator.cluster.as_ref())?;
    let identity = aggregator.identity();
    let failed = |message: String| Unreachable { reason: "FailedDiscoveryCheck", message };
    let mut last = failed("no endpoints available".to_owned());
    for verified in [true, false] {
        let config = remote.tls(&identity, verified).map_err(|error| failed(error.to_string()))?;
        let ways =
            addresses.iter().take(ATTEMPTS_MAX).filter_map(|address| remote.way(address.clone(), &config));
        let attempts: Vec<_> = ways.map(|way| Box::pin(ask_one(aggregator, remote, way))).collect();
        if attempts.is_empty() {
            return Err(failed("the service's name is no name of a server".to_owned()));
        }
        match select_ok(attempts).await {
            Ok((served, _)) => return Ok(verified.then_some(served)),
            Err(why) => last = failed(why),
        }
    }
    Err(last)
}

async fn ask_one(aggregator: &Aggregator, remote: &Remote, way: Way) -> Result<Value, String> {
    let path = format!("/apis/{}/{}", remote.group, remote.version);
    let url = format!("https://{}{path}", way.address);
    let failed = |why: String| format!("failing or missing response from {url}: {why}");
    let mut request = Request::builder()
        .uri(&path)
        .header(HOST, &way.host)
        .header(ACCEPT, "application/json")
        .body(Empty::<Bytes>::new())
        .map_err(|error| failed(error.to_string()))?;
    let user = User {
        name: "system:kube-aggregator".to_owned(),
        groups: vec!["system:masters".to_owned()],
        ..User::default()
    };
    request.headers_mut().extend(user_headers(&user));
    let answered = async {
        let response = send(&way, request, aggregator.shutdown.clone()).await;
        let response = response.map_err(|error| failed(format!("Get {url:?}: {}", error.words())))?;
        let code = response.status().as_u16();
        if !(200..300).contains(&code) {
            return Err(failed(format!("bad status from {url}: {code}")));
        }
        let body = Limited::new(response.into_body(), ANSWER_MAX).collect().await;
        let body = body.map_err(|error| failed(error.to_string()))?.to_bytes();
        kube_object::json::decode(&body).map_err(|error| failed(error.to_string()))
    };
    let decoded = tokio::time::timeout(ANSWER_TIMEOUT, answered).await;
    let late = "context deadline exceeded (Client.Timeout exceeded while awaiting headers)";
    let decoded = decoded.map_err(|_| failed(format!("Get {url:?}: {late}")))??;
    Ok(version_of(remote, &decoded.value))
}

/// An APIResourceList as a version of aggregated discovery.
fn version_of(remote: &Remote, list: &Value) -> Value {
    let text =
        |value: &Value, name: &str| value.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut resources: Vec<Value> = Vec::new();
    for entry in list.get("resources").and_then(Value::as_array).into_iter().flatten() {
        let name = text(entry, "name");
        let own = |given: String, default: &str| if given.is_empty() { default.to_owned() } else { given };
        let kind = json!({
            "group": own(text(entry, "group"), &remote.group),
            "version": own(text(entry, "version"), &remote.version),
            "kind": text(entry, "kind"),
        });
        let verbs = entry.get("verbs").cloned().unwrap_or_else(|| json!([]));
        if let Some((parent, part)) = name.split_once('/') {
            let found =
                resources.iter_mut().find(|resource| resource.get("resource") == Some(&json!(parent)));
            let fields = found.and_then(Value::as_object_mut);
            let parts = fields.map(|fields| fields.entry("subresources").or_insert_with(|| json!([])));
            if let Some(parts) = parts.and_then(Value::as_array_mut) {
                parts.push(json!({"subresource": part, "responseKind": kind, "verbs": verbs}));
            }
            continue;
        }
        let namespaced = entry.get("namespaced").and_then(Value::as_bool).unwrap_or_default();
        let mut resource = json!({
            "resource": name, "responseKind": kind, "verbs": verbs,
            "scope": if namespaced { "Namespaced" } else { "Cluster" },
            "singularResource": text(entry, "singularName"),
        });
        if let Some(fields) = resource.as_object_mut() {
            for name in ["shortNames", "categories"] {
                fields.extend(entry.get(name).map(|value| (name.to_owned(), value.clone())));
            }
        }
        resources.push(resource);
    }
    json!({"version": remote.version, "freshness": "Current", "resources": resources})
}

/// Writes the condition, if it says something new.
async fn write(
    registry: &Registry,
    remote: &Remote,
    status: &str,
    reason: &str,
    message: &str,
) -> Result<(), Status> {
    let conditions = remote.object.pointer("/status/conditions").and_then(Value::as_array);
    let old = conditions
        .iter()
        .copied()
        .flatten()
        .find(|condition| condition.get("type") == Some(&json!("Available")));
    let field = |name: &str| old.and_then(|old| old.get(name)?.as_str()).unwrap_or_default();
    if (field("status"), field("reason"), field("message")) == (status, reason, message) {
        return Ok(());
    }
    let since =
        if field("status") == status { field("lastTransitionTime").to_owned() } else { registry.core.now() };
    let condition = json!({
        "type": "Available", "status": status, "reason": reason, "message": message, "lastTransitionTime": since,
    });
    // Conditions of others are theirs.
    let mut all = conditions.cloned().unwrap_or_default();
    match all.iter_mut().find(|found| found.get("type") == Some(&json!("Available"))) {
        Some(found) => *found = condition,
        None => all.push(condition),
    }
    let mut object = remote.object.as_ref().clone();
    if let Some(fields) = object.as_object_mut() {
        fields.insert("status".to_owned(), json!({"conditions": all}));
    }
    let resource = registry.kinds().resolve("apiregistration.k8s.io", "v1", "apiservices");
    let resource = resource.ok_or_else(Status::no_such_path)?;
    let target = Target::object(&resource, "", &remote.name()).at("status");
    let options = WriteOptions::default();
    registry.update(&server_context(), &target, Body::from(object), &options).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_lists_of_resources() {
        let object = Arc::new(json!({
            "metadata": {"name": "v1.x.io"},
            "spec": {"group": "x.io", "version": "v1", "service": {"name": "s", "namespace": "n"}},
        }));
        let remote = Remote::of(&object).unwrap();
        let list = json!({"resources": [
            {"name": "foos", "kind": "Foo", "namespaced": true, "verbs": ["get"], "singularName": "foo", "shortNames": ["f"]},
            {"name": "foos/scale", "kind": "Scale", "group": "autoscaling", "version": "v1", "verbs": ["get"]},
            {"name": "none/status", "kind": "None"}, 7,
        ]});
        let version = version_of(&remote, &list);
        let foo = &version["resources"][0];
        assert_eq!(
            (foo["scope"].as_str(), foo["responseKind"]["group"].as_str()),
            (Some("Namespaced"), Some("x.io"))
        );
        assert_eq!(foo["subresources"][0]["responseKind"]["group"], "autoscaling");
        assert_eq!(foo["shortNames"], json!(["f"]));
    }
}
