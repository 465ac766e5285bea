//! `NamespaceLifecycle`: nothing is created where there is no namespace, or where one is
//! going; three namespaces never go.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

use base::Clock;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::json;

use crate::notes::{Notes, Outcome};
use crate::plugin::{Need, Plugin, Scene};
use crate::read::text;
use crate::request::{Operation, Request};

const NAME: &str = "NamespaceLifecycle";
const IMMORTAL: [&str; 3] = ["default", "kube-system", "kube-public"];
/// How long after its deletion was asked for a namespace is read past the cache.
const RECENT: Duration = Duration::from_secs(30);
/// More deletions than this within that time forget the oldest.
const RECENT_MAX: usize = 1024;

pub(crate) struct NamespaceLifecycle {
    clock: Arc<dyn Clock + Send + Sync>,
    /// Namespaces whose deletion was just asked for, so that the cache may not know yet.
    deleted: Mutex<BTreeMap<String, SystemTime>>,
}

impl NamespaceLifecycle {
    pub(crate) fn new(clock: Arc<dyn Clock + Send + Sync>) -> Self {
        Self { clock, deleted: Mutex::default() }
    }

    fn remember(&self, name: &str) {
        let now = self.clock.now();
        let mut deleted = self.deleted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        deleted.retain(|_, at| now.duration_since(*at).is_ok_and(|age| age < RECENT));
        if deleted.len() >= RECENT_MAX {
            let oldest = deleted.iter().min_by_key(|(_, at)| **at).map(|(name, _)| name.clone());
            oldest.map(|name| deleted.remove(&name));
        }
        deleted.insert(name.to_owned(), now);
    }

    fn was_just_deleted(&self, name: &str) -> bool {
        let deleted = self.deleted.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        deleted.get(name).is_some_and(|at| self.clock.now().duration_since(*at).is_ok_and(|age| age < RECENT))
    }
}

/// Whether the namespace's state decides about a request.
fn concerns(request: &Request) -> bool {
    request.operation == Operation::Create
        && !request.namespace.is_empty()
        && !request.is_below("", "namespaces")
        // Who asks what he may do must not learn of namespaces.
        && !request.is_below("authorization.k8s.io", "localsubjectaccessreviews")
}

impl Plugin for NamespaceLifecycle {
    fn name(&self) -> &'static str {
        NAME
    }

    fn handles(&self, operation: Operation) -> bool {
        operation != Operation::Connect
    }

    fn needs(&self, request: &Request) -> Vec<Need> {
        if !concerns(request) {
            return Vec::new();
        }
        let newest = self.was_just_deleted(&request.namespace);
        vec![Need { newest, ..Need::of(GroupResource::new("", "namespaces"), "", &request.namespace) }]
    }

    fn mutate(&self, request: &mut Request, scene: &Scene<'_>, notes: &mut Notes) -> Result<(), Status> {
        let namespaces = GroupResource::new("", "namespaces");
        if request.is_for("", "namespaces") && request.operation == Operation::Delete {
            if IMMORTAL.contains(&request.name.as_str()) {
                let why = "this namespace may not be deleted";
                return Err(Status::forbidden(&namespaces, &request.name, why));
            }
            self.remember(&request.name);
        }
        if !concerns(request) {
            return Ok(());
        }
        let Some(namespace) = scene.get(&namespaces, "", &request.namespace) else {
            return Err(Status::not_found(&namespaces, &request.namespace));
        };
        if text(&namespace, &["status", "phase"]) != "Terminating" {
            return Ok(());
        }
        let name = &request.namespace;
        notes.decide(NAME, Outcome::Refused, name.as_str(), "the namespace is being terminated");
        let mut status = request.forbidden(format_args!(
            "unable to create new content in namespace {name} because it is being terminated"
        ));
        status.details.get_or_insert_default().causes.push(json!({
            "reason": "NamespaceTerminating",
            "message": format!("namespace {name} is being terminated"),
            "field": "metadata.namespace",
        }));
        Err(status)
    }
}
