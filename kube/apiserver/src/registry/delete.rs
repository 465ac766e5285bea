//! Delete: at once, or by a mark that finalizers, dependents and grace periods wait behind.

use std::sync::Arc;

use admission::Operation;
use client::Item;
use futures_util::{StreamExt, TryStreamExt, stream};
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Value, json};

use super::context::{Context, DeleteOptions, ListOptions, Propagation, Target};
use super::core::{self, MODIFIED, not_found, success};
use super::outcome::{List, Outcome};
use super::{Registry, meta};
use crate::kinds::Resource;
use crate::rules;
use crate::storage::{Committed, Write};
use crate::strategy;
use kube_api::Garbage;

/// What is to be done with an object.
enum Plan {
    /// It goes now.
    Remove,
    /// It is marked, or its mark changes.
    Mark(Value),
    /// It is marked already, and nothing changes.
    Wait,
}

impl Registry {
    pub(crate) async fn delete_object(
        &self,
        context: &Context,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Outcome, Status> {
        let resource = &*target.resource;
        let mut present = self.core.current(resource, &target.namespace, &target.name).await?;
        let mut asked = false;
        for _ in 0..ATTEMPTS_MAX {
            let Some(item) = present else { return Err(not_found(target)) };
            let object = self.core.internal(resource, &item).await?;
            check_preconditions(resource, &object, options)?;
            if !asked {
                self.admit_deletion(context, target, &object, options).await?;
                asked = true;
            }
            match self.carry_out(target, &item, object, options).await? {
                Ok(outcome) => return Ok(outcome),
                Err(now) => present = now,
            }
        }
        Err(Status::conflict(&resource.group_resource(), &target.name, MODIFIED))
    }

    async fn admit_deletion(
        &self,
        context: &Context,
        target: &Target,
        object: &Value,
        options: &DeleteOptions,
    ) -> Result<(), Status> {
        if !self.admits(Operation::Delete) {
            return Ok(());
        }
        let mut request = self.admission_request(context, target, Operation::Delete, options.dry_run);
        request.old = Some(self.core.external(&target.resource, object.clone())?);
        request.options = delete_options(options);
        self.mutate(context, &mut request).await?;
        self.validate(context, &request).await
    }

    /// One attempt; the inner error is what the object has become meanwhile.
    async fn carry_out(
        &self,
        target: &Target,
        item: &Arc<Item>,
        object: Value,
        options: &DeleteOptions,
    ) -> Result<Result<Outcome, Option<Arc<Item>>>, Status> {
        let resource = &*target.resource;
        let plan = plan(resource, &object, options, self.core.unix());
        let (write, bytes) = match &plan {
            Plan::Wait => {
                let item = self.core.shown(resource, Arc::clone(item)).await?;
                return Ok(Ok(Outcome::item(code(options, false), &resource.gvk, item)));
            }
            Plan::Remove => (Write::delete(self.core.key(target), item.revision()), None),
            Plan::Mark(marked) => {
                let bytes = self.core.encode_stored(resource, marked).await?;
                let lease = self.lease_of(resource).await?;
                (
                    Write { lease, ..Write::put(self.core.key(target), item.revision(), bytes.clone()) },
                    Some(bytes),
                )
            }
        };
        if options.dry_run {
            return self.unsaved(target, plan, object, options).await.map(Ok);
        }
        let mut writes = vec![write];
        if bytes.is_none() {
            writes.extend(strategy::before_delete(&self.core, resource, &object));
        }
        let revision = match self.core.storage.commit(writes).await? {
            Committed::Done(revision) => revision,
            Committed::Stale(found) => {
                let now = found.into_iter().next().flatten();
                let now = now.map(|now| Item::at(&now.value, now.revision).map(Arc::new));
                return now.transpose().map(Err).map_err(Status::internal);
            }
        };
        if let Some(bytes) = bytes {
            let item = Item::at(&bytes, revision).map_err(Status::internal)?;
            let item = self.core.shown(resource, item.into()).await?;
            return Ok(Ok(Outcome::item(code(options, false), &resource.gvk, item)));
        }
        if rules::returns_deleted(&resource.group_resource()) {
            let gone = Item::at(&item.json(), revision).map_err(Status::internal)?;
            let gone = self.core.shown(resource, gone.into()).await?;
            return Ok(Ok(Outcome::item(200, &resource.gvk, gone)));
        }
        let answer = success(&resource.group_resource(), &target.name, item.uid());
        Ok(Ok(Outcome::value(200, core::status_kind(), answer)))
    }

    async fn unsaved(
        &self,
        target: &Target,
        plan: Plan,
        object: Value,
        options: &DeleteOptions,
    ) -> Result<Outcome, Status> {
        let resource = &*target.resource;
        match plan {
            Plan::Mark(marked) => self.answer_unsaved(target, marked, code(options, false)).await,
            _ if rules::returns_deleted(&resource.group_resource()) => {
                self.answer_unsaved(target, object, 200).await
            }
            _ => {
                let answer = success(&resource.group_resource(), &target.name, meta::text(&object, "uid"));
                Ok(Outcome::value(200, core::status_kind(), answer))
            }
        }
    }

    pub(super) async fn delete_all(
        &self,
        context: &Context,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Status> {
        let found = self.core.list(target, list).await?;
        let deletions = stream::iter(found.items.clone()).map(|item| async move {
            let one = Target {
                namespace: item.namespace().to_owned(),
                name: item.name().to_owned(),
                ..target.clone()
            };
            match self.delete_object(context, &one, options).await {
                // Somebody else was faster.
                Err(status) if status.code == 404 => Ok(()),
                result => result.map(drop),
            }
        });
        deletions.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        Ok(found)
    }
}

/// 202 where the client wants to hear that the end is not yet.
fn code(options: &DeleteOptions, gone: bool) -> u16 {
    if !gone && options.propagation == Some(Propagation::Foreground) { 202 } else { 200 }
}

fn plan(resource: &Resource, object: &Value, options: &DeleteOptions, now: i64) -> Plan {
    if let Some(plan) = strategy::deletion(resource, object, now) {
        return plan.map_or(Plan::Wait, Plan::Mark);
    }
    let mut marked = object.clone();
    let grace = rules::grace(resource, object, options.grace_period_seconds);
    let graceful = match grace {
        None => None,
        Some(seconds) => match mark_graceful(&mut marked, seconds, options.grace_period_seconds, now) {
            Grace::Pending => return Plan::Wait,
            Grace::Immediate => None,
            Grace::Seconds(seconds) => Some(seconds),
        },
    };
    let finalizers = finalizers(resource, object, options);
    let pending = !finalizers.is_empty();
    meta::set(&mut marked, "finalizers", if pending { json!(finalizers) } else { Value::Null });
    match graceful {
        Some(0) | None if !pending => Plan::Remove,
        Some(_) => Plan::Mark(marked),
        None => {
            mark_now(&mut marked, now);
            if marked == *object { Plan::Wait } else { Plan::Mark(marked) }
        }
    }
}

enum Grace {
    /// The mark stays as it is.
    Pending,
    /// There is no time to give.
    Immediate,
    /// It has been marked with so many seconds.
    Seconds(i64),
}

/// Marks what ends gracefully; a mark that is there may only come closer.
fn mark_graceful(object: &mut Value, seconds: i64, asked: Option<i64>, now: i64) -> Grace {
    if meta::is_deleting(object) {
        let Some(given) = meta::get(object, "deletionGracePeriodSeconds").as_i64() else {
            return Grace::Immediate;
        };
        let Some(asked) = asked.filter(|asked| *asked < given) else { return Grace::Pending };
        let at = Time::parse(meta::text(object, "deletionTimestamp")).map_or(now, Time::unix);
        set_mark(object, at - given + asked, asked);
        return Grace::Seconds(asked);
    }
    set_mark(object, now + seconds, seconds);
    bump_generation(object);
    Grace::Seconds(seconds)
}

/// Marks what has no grace but something to wait for.
fn mark_now(object: &mut Value, now: i64) {
    let at = Time::parse(meta::text(object, "deletionTimestamp")).map(Time::unix);
    if !meta::is_deleting(object) {
        bump_generation(object);
    }
    if at.as_ref().map_or(true, |at| *at > now) {
        set_mark(object, now, 0);
    } else {
        meta::set(object, "deletionGracePeriodSeconds", 0);
    }
}

fn set_mark(object: &mut Value, at: i64, grace: i64) {
    let at = Time::from_unix(at).map(|at| at.to_string()).unwrap_or_default();
    meta::set(object, "deletionTimestamp", at);
    meta::set(object, "deletionGracePeriodSeconds", grace);
}

/// Deletion is a change of the desired state.
pub(crate) fn bump_generation(object: &mut Value) {
    if let Some(generation) = meta::get(object, "generation").as_i64().filter(|generation| *generation > 0) {
        meta::set(object, "generation", generation.saturating_add(1));
    }
}

/// The finalizers that the deletion leaves: the collector's are as the client wants them.
fn finalizers(resource: &Resource, object: &Value, options: &DeleteOptions) -> Vec<String> {
    let present = meta::finalizers(object);
    let default = rules::garbage(resource);
    if default == Garbage::Unsupported {
        return present.into_iter().map(str::to_owned).collect();
    }
    let has = |name: &str| present.contains(&name);
    let wanted = match options.propagation {
        Some(Propagation::Orphan) => Some(ORPHAN),
        Some(Propagation::Foreground) => Some(FOREGROUND),
        Some(Propagation::Background) => None,
        None if has(ORPHAN) => Some(ORPHAN),
        None if has(FOREGROUND) => Some(FOREGROUND),
        None if default == Garbage::Orphan => Some(ORPHAN),
        None => None,
    };
    let others = present.iter().filter(|name| !matches!(**name, ORPHAN | FOREGROUND));
    others.copied().chain(wanted).map(str::to_owned).collect()
}

fn check_preconditions(resource: &Resource, object: &Value, options: &DeleteOptions) -> Result<(), Status> {
    let kind = kube_object::resource::GroupResource::new(&resource.gvk.group, &resource.gvk.kind);
    let name = meta::text(object, "name");
    let (uid, version) = (meta::text(object, "uid"), meta::text(object, "resourceVersion"));
    if let Some(wanted) = options.uid.as_deref().filter(|wanted| *wanted != uid) {
        let why = format!(
            "the UID in the precondition ({wanted}) does not match the UID in record ({uid}). The object might have \
             been deleted and then recreated"
        );
        return Err(Status::conflict(&kind, name, why));
    }
    if let Some(wanted) = options.resource_version.as_deref().filter(|wanted| *wanted != version) {
        let why = format!(
            "the ResourceVersion in the precondition ({wanted}) does not match the ResourceVersion in record \
             ({version}). The object might have been modified"
        );
        return Err(Status::conflict(&kind, name, why));
    }
    Ok(())
}

/// The options as admission shows them.
fn delete_options(options: &DeleteOptions) -> Value {
    let mut value = json!({"kind": "DeleteOptions", "apiVersion": "meta.k8s.io/v1"});
    let Some(fields) = value.as_object_mut() else { return value };
    if options.dry_run {
        fields.insert("dryRun".to_owned(), json!(["All"]));
    }
    if let Some(seconds) = options.grace_period_seconds {
        fields.insert("gracePeriodSeconds".to_owned(), json!(seconds));
    }
    if let Some(propagation) = options.propagation {
        fields.insert("propagationPolicy".to_owned(), json!(propagation.as_str()));
    }
    value
}

/// The collector takes the owner out of its dependents first.
const ORPHAN: &str = "orphan";
/// The collector deletes the dependents first.
const FOREGROUND: &str = "foregroundDeletion";
/// Lost races after which the client may try again itself.
const ATTEMPTS_MAX: usize = 16;
/// Deletions of a collection that are under way together: they share syncs.
const AT_ONCE: usize = 16;
