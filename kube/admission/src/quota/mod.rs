//! `ResourceQuota`: what a namespace may use in all, reserved before the object is stored.
//!
//! The usage is charged by writing the quota's status with the revision that was read, so
//! that two API servers cannot both give away the last of something. Within this one,
//! requests of a namespace go one after the other, which spares them the conflicts. What
//! is reserved and then not stored is given back by the quota controller.

mod check;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kube_api::quota::{counts, is_ignored};
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use serde_json::Value;

pub use self::check::LimitedResource;
use self::check::{Charge, Refusal, charge};
use crate::host::Host;
use crate::notes::{Notes, Outcome};
use crate::read::{set, text};
use crate::request::{Operation, Request};

/// The step's name.
pub(crate) const NAME: &str = "ResourceQuota";
/// How often a quota that changed meanwhile is read anew.
const RETRIES: usize = 3;
/// How long a request waits for those before it.
const PATIENCE: Duration = Duration::from_secs(10);
/// How many namespaces are remembered before idle ones are forgotten.
const NAMESPACES_MAX: usize = 1024;

/// The quotas of one namespace that this server wrote last, by name: the cache may be behind.
type Written = BTreeMap<String, Arc<Value>>;

pub(crate) struct Quota {
    limited: Vec<LimitedResource>,
    namespaces: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Written>>>>,
}

impl Quota {
    pub(crate) fn new(limited: Vec<LimitedResource>) -> Self {
        Self { limited, namespaces: Mutex::default() }
    }

    /// Charges a request to the quotas of its namespace, or refuses it.
    ///
    /// When it is cancelled, what was written stays until the quota controller counts.
    pub(crate) async fn reserve(
        &self,
        host: &Host,
        request: &Request,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let creates = match request.operation {
            Operation::Create => true,
            Operation::Update => false,
            _ => return Ok(()),
        };
        let resource = request.resource.group_resource();
        if request.namespace.is_empty()
            || request.is_below("", "namespaces")
            || is_ignored(&resource)
            || !counts(&resource, &request.subresource, creates)
        {
            return Ok(());
        }
        let quotas = quotas();
        let cached = host.cluster.list(&quotas, Some(&request.namespace));
        if cached.is_empty() && self.limited.is_empty() {
            return Ok(());
        }
        let lane = self.lane(&request.namespace);
        let work = async {
            let mut written = lane.lock().await;
            self.settle(host, request, &mut written, notes).await
        };
        match tokio::time::timeout(PATIENCE, work).await {
            Ok(result) => result,
            Err(_) => Err(Status::internal("resource quota evaluation timed out")),
        }
    }

    async fn settle(
        &self,
        host: &Host,
        request: &Request,
        written: &mut Written,
        notes: &mut Notes,
    ) -> Result<(), Status> {
        let resource = quotas();
        let cached = host.cluster.list(&resource, Some(&request.namespace));
        written.retain(|name, _| cached.iter().any(|quota| text(quota, &["metadata", "name"]) == name));
        let mut open: Vec<_> = cached.into_iter().map(|quota| newer(quota, written)).collect();
        for attempt in 0.. {
            let charges =
                charge(&open, request, &self.limited).map_err(|why| refuse(request, &why, notes))?;
            if request.dry_run || charges.is_empty() {
                return Ok(());
            }
            let (mut failed, mut last) = (Vec::new(), None);
            for Charge { index, used } in charges {
                let Some(quota) = open.get(index) else { continue };
                let name = text(quota, &["metadata", "name"]).to_owned();
                let mut changed = quota.as_ref().clone();
                set(&mut changed, &["status"], "used", used.to_value());
                match host.writer.update_status(&resource, changed).await {
                    Ok(stored) => drop(written.insert(name, Arc::new(stored))),
                    Err(status) => {
                        failed.push(name);
                        last = Some(status);
                    }
                }
            }
            let Some(last) = last else { return Ok(()) };
            if attempt >= RETRIES {
                return Err(last);
            }
            open = reread(host, &request.namespace, &failed).await?;
        }
        Ok(())
    }

    fn lane(&self, namespace: &str) -> Arc<tokio::sync::Mutex<Written>> {
        let mut namespaces = self.namespaces.lock().unwrap_or_else(PoisonError::into_inner);
        if namespaces.len() >= NAMESPACES_MAX {
            namespaces.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        namespaces.entry(namespace.to_owned()).or_default().clone()
    }
}

fn quotas() -> GroupResource {
    GroupResource::new("", "resourcequotas")
}

/// What this server wrote, if the cache has not seen it yet.
fn newer(cached: Arc<Value>, written: &mut Written) -> Arc<Value> {
    let revision = |quota: &Value| text(quota, &["metadata", "resourceVersion"]).parse().unwrap_or(0_u64);
    let same = |quota: &Value| text(quota, &["metadata", "uid"]) == text(&cached, &["metadata", "uid"]);
    match written.get(text(&cached, &["metadata", "name"])) {
        Some(own) if same(own) && revision(own) > revision(&cached) => own.clone(),
        _ => cached,
    }
}

/// The quotas that changed meanwhile, as they are stored; those that are gone are left out.
async fn reread(host: &Host, namespace: &str, names: &[String]) -> Result<Vec<Arc<Value>>, Status> {
    let mut found = Vec::new();
    for name in names {
        match host.writer.read(&quotas(), namespace, name).await {
            Ok(quota) => found.push(Arc::new(quota)),
            Err(status) if status.code == 404 => {}
            Err(status) => return Err(status),
        }
    }
    Ok(found)
}

fn refuse(request: &Request, why: &Refusal, notes: &mut Notes) -> Status {
    let rule = match why.quota() {
        "" => String::new(),
        quota => format!("{}/{quota}", request.namespace),
    };
    notes.decide(NAME, Outcome::Refused, rule, why.to_string());
    request.forbidden(why)
}
