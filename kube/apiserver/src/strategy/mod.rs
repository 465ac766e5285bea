//! What the server does for some kinds beside storing them: addresses of services, bindings,
//! evictions, scale, tokens, the end of namespaces.
//!
//! What follows from the object alone stands in `kube-api`; here is what needs others' objects,
//! the clock or the store.

pub(crate) mod connect;
pub(crate) mod eviction;
mod leases;
pub(crate) mod pods;
pub(crate) mod scale;
mod services;
pub(crate) mod token;

use kube_object::status::Status;
use kube_object::time::Time;
use kube_object::user::User;
use serde_json::{Value, json};

use crate::kinds::Resource;
use crate::registry::{Core, bump_generation, meta};
use crate::storage::Write;
pub(crate) use leases::Leases;
pub use services::{Cidr, Network};

/// Whether [`before_create`] changes the object.
pub(crate) fn allocates(resource: &Resource) -> bool {
    is(resource) == Some(Special::Service)
}

/// Completes an object that is about to be created; the writes go into its transaction.
pub(crate) async fn before_create(
    core: &Core,
    resource: &Resource,
    object: &mut Value,
    dry_run: bool,
) -> Result<Vec<Write>, Status> {
    match is(resource) {
        Some(Special::Service) => services::before_create(core, object, dry_run).await,
        _ => Ok(Vec::new()),
    }
}

/// Writes who asks into objects that say so.
pub(crate) fn sign_in(resource: &Resource, object: &mut Value, user: &User) {
    if is(resource) == Some(Special::CertificateRequest) {
        kube_api::csr_requester(object, user);
    }
}

/// Writes the time into objects that say when something about them changed.
pub(crate) fn tell_time(resource: &Resource, new: &mut Value, old: &Value, now: i64) {
    if is(resource) == Some(Special::CertificateRequest)
        && let Some(now) = Time::from_unix(now)
    {
        kube_api::csr_condition_times(new, old, now);
    }
}

/// Completes an object that is about to replace another; the writes go into its transaction.
pub(crate) async fn before_update(
    core: &Core,
    resource: &Resource,
    new: &mut Value,
    old: &Value,
    dry_run: bool,
) -> Result<Vec<Write>, Status> {
    match is(resource) {
        Some(Special::Service) => services::before_update(core, new, old, dry_run).await,
        _ => Ok(Vec::new()),
    }
}

/// What goes with an object that is deleted.
pub(crate) fn before_delete(core: &Core, resource: &Resource, object: &Value) -> Vec<Write> {
    match is(resource) {
        Some(Special::Service) => services::before_delete(core, object),
        _ => Vec::new(),
    }
}

/// The mark that some kinds set in their own way: `None` is the usual way, `Some(None)` that there
/// is nothing to do but wait.
pub(crate) fn deletion(resource: &Resource, object: &Value, now: i64) -> Option<Option<Value>> {
    match is(resource)? {
        Special::Namespace => namespace_deletion(object, now),
        Special::Definition => definition_deletion(object, now),
        Special::Service | Special::CertificateRequest => None,
    }
}

/// Whether a change of an object that is being deleted ends it.
pub(crate) fn ends(resource: &Resource, new: &Value, old: &Value) -> bool {
    let marked = meta::is_deleting(old) && meta::get(old, "deletionGracePeriodSeconds").as_i64() == Some(0);
    let held = !meta::finalizers(new).is_empty();
    let holds_content = is(resource) == Some(Special::Namespace) && has_namespace_finalizers(new);
    marked && !held && !holds_content
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Special {
    Service,
    Namespace,
    Definition,
    CertificateRequest,
}

fn is(resource: &Resource) -> Option<Special> {
    match (resource.gvr.group.as_str(), resource.gvr.resource.as_str()) {
        ("", "services") => Some(Special::Service),
        ("", "namespaces") => Some(Special::Namespace),
        ("apiextensions.k8s.io", "customresourcedefinitions") => Some(Special::Definition),
        ("certificates.k8s.io", "certificatesigningrequests") => Some(Special::CertificateRequest),
        _ => None,
    }
}

fn has_namespace_finalizers(namespace: &Value) -> bool {
    let finalizers = namespace.get("spec").and_then(|spec| spec.get("finalizers"));
    finalizers.and_then(Value::as_array).is_some_and(|list| !list.is_empty())
}

/// A namespace ends when its content has gone.
fn namespace_deletion(namespace: &Value, now: i64) -> Option<Option<Value>> {
    if !has_namespace_finalizers(namespace) {
        return None;
    }
    if meta::is_deleting(namespace) {
        return Some(None);
    }
    let mut marked = namespace.clone();
    mark(&mut marked, now);
    if let Some(fields) = marked.as_object_mut() {
        let status = fields.entry("status").or_insert_with(|| json!({}));
        if let Some(status) = status.as_object_mut() {
            status.insert("phase".to_owned(), json!("Terminating"));
        }
    }
    Some(Some(marked))
}

/// A definition ends when its objects have gone.
fn definition_deletion(definition: &Value, now: i64) -> Option<Option<Value>> {
    if meta::is_deleting(definition) {
        return (!meta::finalizers(definition).is_empty()).then_some(None);
    }
    let mut marked = definition.clone();
    mark(&mut marked, now);
    let mut finalizers = meta::finalizers(definition);
    if !finalizers.contains(&CUSTOM_RESOURCE_CLEANUP) {
        finalizers.push(CUSTOM_RESOURCE_CLEANUP);
    }
    let finalizers = json!(finalizers);
    meta::set(&mut marked, "finalizers", finalizers);
    let at = Time::from_unix(now).map(|at| at.to_string()).unwrap_or_default();
    set_condition(
        &mut marked,
        json!({
            "type": "Terminating", "status": "True", "reason": "InstanceDeletionPending", "lastTransitionTime": at,
            "message": "CustomResourceDefinition marked for deletion; CustomResource deletion will begin soon"
        }),
    );
    Some(Some(marked))
}

fn mark(object: &mut Value, now: i64) {
    let at = Time::from_unix(now).map(|at| at.to_string()).unwrap_or_default();
    bump_generation(object);
    meta::set(object, "deletionTimestamp", at);
    meta::set(object, "deletionGracePeriodSeconds", 0);
}

/// Replaces or adds a condition of the status.
pub(crate) fn set_condition(object: &mut Value, condition: Value) {
    let Some(fields) = object.as_object_mut() else { return };
    let status = fields.entry("status").or_insert_with(|| json!({}));
    let Some(status) = status.as_object_mut() else { return };
    let conditions = status.entry("conditions").or_insert_with(|| json!([]));
    let Some(conditions) = conditions.as_array_mut() else { return };
    match conditions.iter_mut().find(|known| known.get("type") == condition.get("type")) {
        Some(known) => *known = condition,
        None => conditions.push(condition),
    }
}

/// Held by definitions until their objects have gone.
pub(crate) const CUSTOM_RESOURCE_CLEANUP: &str = "customresourcecleanup.apiextensions.k8s.io";
