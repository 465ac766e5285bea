//! Update, patch and apply: a new state made from the present one, and tried again when that has
//! changed meanwhile.

use std::sync::Arc;

use admission::Operation;
use client::Item;
use kube_object::status::Status;
use serde_json::Value;

use super::context::{Body, Context, Patch, Target, WriteOptions};
use super::core::{self, MODIFIED, not_found};
use super::outcome::Outcome;
use super::{Registry, create, decode, fields, meta, patch};
use crate::rules;
use crate::storage::{Committed, Write};
use crate::strategy;

/// How the new state comes from the present one.
pub(crate) enum Change<'a> {
    /// It is this.
    Replace(Value),
    /// It is patched.
    Patch(&'a Patch),
    /// It is changed by the server itself, for a request that speaks another kind. The object is
    /// in the form that rules work on.
    Edit(&'a (dyn Fn(&mut Value) -> Result<(), Status> + Send + Sync)),
    /// The request speaks another kind: admission is shown that, and what it makes of it is carried out.
    Spoken(Spoken<'a>),
}

/// A change of one object.
pub(crate) struct Job<'a> {
    pub context: &'a Context,
    pub target: &'a Target,
    pub options: &'a WriteOptions,
    pub change: Change<'a>,
}

/// A request that speaks another kind than the object's: a binding, a scale.
pub(crate) struct Spoken<'a> {
    pub operation: Operation,
    pub body: &'a Value,
    /// The object as the request's kind shows it, where that is what is replaced.
    pub view: Option<&'a View<'a>>,
    /// Does to the object, in the form that rules work on, what the body says after admission.
    pub edit: &'a (dyn Fn(&mut Value, &Value) -> Result<(), Status> + Send + Sync),
}

/// An object in the form of a subresource that speaks another kind.
type View<'a> = dyn Fn(&Value) -> Result<Value, Status> + Send + Sync + 'a;

/// What one attempt came to.
enum Attempt {
    Done(Outcome),
    /// The object was changed meanwhile; this is what it is now.
    Lost(Option<Arc<Item>>),
}

impl Registry {
    pub(super) async fn update_object(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let mut object = decode::object(context, target, body, options.field_validation)?;
        check_name(target, &mut object)?;
        let job = Job { context, target, options, change: Change::Replace(object) };
        self.modify(&job).await
    }

    pub(super) async fn patch_object(
        &self,
        context: &Context,
        target: &Target,
        patch: &Patch,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        fields::check_options(options, matches!(patch, Patch::Apply(_)))?;
        patch::check(&target.resource, patch)?;
        self.modify(&Job { context, target, options, change: Change::Patch(patch) }).await
    }

    /// Carries a change out. Others' changes in between are taken as the new present state, unless the
    /// client has said which state it means.
    pub(crate) async fn modify(&self, job: &Job<'_>) -> Result<Outcome, Status> {
        let Target { resource, namespace, name, .. } = job.target;
        let mut present = self.core.current(resource, namespace, name).await?;
        let mut charged = false;
        for _ in 0..ATTEMPTS_MAX {
            let Some(item) = present else { return self.create_instead(job).await };
            match self.attempt(job, &item, &mut charged).await? {
                Attempt::Done(outcome) => return Ok(outcome),
                Attempt::Lost(found) => present = found,
            }
        }
        Err(Status::conflict(&resource.group_resource(), name, MODIFIED))
    }

    /// There is nothing to change: some requests create it then.
    async fn create_instead(&self, job: &Job<'_>) -> Result<Outcome, Status> {
        let Job { context, target, options, .. } = job;
        if !target.subresource.is_empty() {
            return Err(not_found(target));
        }
        let writer = fields::writer(context, target, options, self.core.now());
        let mut object = match &job.change {
            Change::Replace(object) if rules::creates_on_update(&target.resource) => {
                let mut object = object.clone();
                meta::set(&mut object, "resourceVersion", Value::Null);
                fields::record(&target.resource, &Value::Null, &mut object, &writer)?;
                object
            }
            Change::Patch(Patch::Apply(body)) => {
                if !meta::text(&body.value, "uid").is_empty() {
                    let resource = target.resource.group_resource();
                    let why = format!(
                        "uid mismatch: the provided object specified uid {}, and no existing object was found",
                        meta::text(&body.value, "uid")
                    );
                    return Err(Status::conflict(&resource, &target.name, why));
                }
                patch::apply(context, target, &Value::Null, body, &writer, options)?
            }
            _ => return Err(not_found(target)),
        };
        check_name(target, &mut object)?;
        create::place(target, &mut object)?;
        self.insert(context, target, object, options).await
    }

    async fn attempt(&self, job: &Job<'_>, item: &Arc<Item>, charged: &mut bool) -> Result<Attempt, Status> {
        let Job { context, target, options, .. } = job;
        let resource = &*target.resource;
        let stored = self.core.internal(resource, item).await?;
        let old = self.core.external(resource, stored.clone())?;
        let mut request = self.admission_request(context, target, Operation::Update, options.dry_run);
        request.options = create::write_options("UpdateOptions", options);
        let said = self.admit_spoken(job, &mut request, &old).await?;
        let mut new = self.changed(job, &stored, &old, item, &said)?;
        keep_identity(&mut new, &old);
        if !matches!(job.change, Change::Spoken(_)) {
            new = self.admit_change(job, &mut request, new, &old).await?;
        }

        let mut new = self.core.to_internal(resource, new)?;
        if let Some(subresource) = rules_of(job) {
            rules::prepare_update(resource, subresource, &mut new, &stored);
            strategy::tell_time(resource, &mut new, &stored, self.core.unix());
        }
        let extra = strategy::before_update(&self.core, resource, &mut new, &stored, options.dry_run).await?;
        let errors = rules_of(job).map(|part| rules::validate_update(resource, part, &new, &stored));
        if let Some(errors) = errors.filter(|errors| !errors.is_empty()) {
            return Err(Status::invalid(&resource.group_kind(), &target.name, &errors));
        }
        self.check_escalation(context, target, &new)?;
        self.admit_result(job, &mut request, &new, charged).await?;
        rules::warnings(resource, &new, Some(&stored))
            .into_iter()
            .for_each(|text| context.warnings.add(text));
        self.save(job, item, &stored, new, extra).await
    }

    /// What admission makes of a body that speaks another kind; nothing where the request does not.
    async fn admit_spoken(
        &self,
        job: &Job<'_>,
        request: &mut admission::Request,
        old: &Value,
    ) -> Result<Value, Status> {
        let Change::Spoken(spoken) = &job.change else { return Ok(Value::Null) };
        request.operation = spoken.operation;
        if spoken.operation == Operation::Create {
            request.options = create::write_options("CreateOptions", job.options);
        }
        request.object = Some(spoken.body.clone());
        request.old = spoken.view.map(|view| view(old)).transpose()?;
        self.mutate(job.context, request).await?;
        if spoken.view.is_none() {
            self.validate(job.context, request).await?;
        }
        Ok(request.object.clone().unwrap_or_default())
    }

    /// Asks those that may change the object.
    async fn admit_change(
        &self,
        job: &Job<'_>,
        request: &mut admission::Request,
        new: Value,
        old: &Value,
    ) -> Result<Value, Status> {
        if !self.admits(request.operation) {
            return Ok(new);
        }
        request.object = Some(new);
        request.old = Some(old.clone());
        self.mutate(job.context, request).await?;
        let mut new = request.object.take().unwrap_or_default();
        keep_identity(&mut new, old);
        Ok(new)
    }

    /// Asks those that may refuse what is to be stored.
    async fn admit_result(
        &self,
        job: &Job<'_>,
        request: &mut admission::Request,
        new: &Value,
        charged: &mut bool,
    ) -> Result<(), Status> {
        let view = match &job.change {
            Change::Spoken(Spoken { view: None, .. }) => return Ok(()),
            Change::Spoken(spoken) => spoken.view,
            _ => None,
        };
        if !self.admits(request.operation) {
            return Ok(());
        }
        let shown = self.core.external(&job.target.resource, new.clone())?;
        request.object = Some(match view {
            Some(view) => view(&shown)?,
            None => shown,
        });
        self.validate_once(job.context, request, charged).await
    }

    /// The new state as the client wants it, with its fields' owners. `said` is what is left of a
    /// body that speaks another kind.
    fn changed(
        &self,
        job: &Job<'_>,
        stored: &Value,
        old: &Value,
        item: &Item,
        said: &Value,
    ) -> Result<Value, Status> {
        let Job { context, target, options, .. } = job;
        let resource = &*target.resource;
        let writer = fields::writer(context, target, options, self.core.now());
        let mut new = match &job.change {
            Change::Replace(object) => {
                let mut object = object.clone();
                self.check_version(target, &mut object, item)?;
                object
            }
            Change::Patch(Patch::Apply(body)) => {
                let mut new = patch::apply(context, target, old, body, &writer, options)?;
                check_name(target, &mut new)?;
                check_same_version(target, &new, item)?;
                return Ok(new);
            }
            Change::Patch(change) => {
                let mut new = patch::patched(context, target, old, change, options)?;
                check_name(target, &mut new)?;
                check_same_version(target, &new, item)?;
                new
            }
            Change::Edit(edit) => {
                let mut new = stored.clone();
                edit(&mut new)?;
                self.core.external(resource, new)?
            }
            Change::Spoken(spoken) => {
                let mut new = stored.clone();
                (spoken.edit)(&mut new, said)?;
                self.core.external(resource, new)?
            }
        };
        check_uid(target, &new, old)?;
        fields::record(resource, old, &mut new, &writer)?;
        Ok(new)
    }

    /// An update says which state it replaces, or its kind does not ask.
    fn check_version(&self, target: &Target, object: &mut Value, item: &Item) -> Result<(), Status> {
        let given = meta::text(object, "resourceVersion");
        if matches!(given, "" | "0") {
            if !rules::updates_unconditionally(&target.resource) {
                let error = kube_object::field_error::FieldError::invalid(
                    "metadata.resourceVersion",
                    given,
                    "must be specified for an update",
                );
                return Err(Status::invalid(&target.resource.group_kind(), &target.name, &[error]));
            }
            meta::set(object, "resourceVersion", item.revision().to_string());
            return Ok(());
        }
        check_same_version(target, object, item)
    }

    async fn save(
        &self,
        job: &Job<'_>,
        item: &Arc<Item>,
        stored: &Value,
        mut new: Value,
        extra: Vec<Write>,
    ) -> Result<Attempt, Status> {
        let Job { target, options, .. } = job;
        let resource = &*target.resource;
        meta::set(&mut new, "resourceVersion", meta::get(stored, "resourceVersion").clone());
        let own = if resource.is_custom() { &resource.gvk } else { &resource.storage };
        core::set_type(&mut new, own);
        if new == *stored {
            let item = self.core.shown(resource, Arc::clone(item)).await?;
            return Ok(Attempt::Done(Outcome::item(200, &resource.gvk, item)));
        }
        if options.dry_run {
            return self.answer_unsaved(target, new, 200).await.map(Attempt::Done);
        }
        let key = self.core.key(target);
        let bytes = self.core.encode_stored(resource, &new).await?;
        let ends = strategy::ends(resource, &new, stored);
        let mut writes = if ends {
            let mut writes = vec![Write::delete(key, item.revision())];
            writes.extend(strategy::before_delete(&self.core, resource, &new));
            writes
        } else {
            vec![Write {
                lease: self.lease_of(resource).await?,
                ..Write::put(key, item.revision(), bytes.clone())
            }]
        };
        writes.extend(extra.into_iter().filter(|_| !ends));
        if !ends {
            self.core.spare(resource, &bytes, new);
        }
        match self.core.storage.commit(writes).await? {
            Committed::Done(revision) => {
                let item = Item::at(&bytes, revision).map_err(Status::internal)?;
                let item = self.core.shown(resource, item.into()).await?;
                Ok(Attempt::Done(Outcome::item(200, &resource.gvk, item)))
            }
            Committed::Stale(found) => {
                let now = found.into_iter().next().flatten();
                let now = now.map(|now| Item::at(&now.value, now.revision).map(Arc::new));
                Ok(Attempt::Lost(now.transpose().map_err(Status::internal)?))
            }
        }
    }
}

/// The subresource whose rules hold; none for what the server itself does to an object.
fn rules_of<'a>(job: &'a Job<'_>) -> Option<&'a str> {
    match (&job.change, job.target.subresource.as_str()) {
        (Change::Spoken(_), "scale") => Some(""),
        (Change::Edit(_) | Change::Spoken(_), _) => None,
        (_, subresource) => Some(subresource),
    }
}

/// The name of the URL is the object's.
fn check_name(target: &Target, object: &mut Value) -> Result<(), Status> {
    let name = meta::text(object, "name");
    if name.is_empty() {
        return Err(Status::bad_request(format!(
            "the name of the object ({} based on URL) was undeterminable: name must be provided",
            target.name
        )));
    }
    if name != target.name {
        return Err(Status::bad_request(format!(
            "the name of the object ({name}) does not match the name on the URL ({})",
            target.name
        )));
    }
    let namespace = meta::text(object, "namespace");
    if target.resource.namespaced && !namespace.is_empty() && namespace != target.namespace {
        return Err(Status::bad_request(format!(
            "the namespace of the object ({namespace}) does not match the namespace on the request ({})",
            target.namespace
        )));
    }
    let own = if target.resource.namespaced { target.namespace.as_str() } else { "" };
    meta::set(object, "namespace", own);
    Ok(())
}

fn check_same_version(target: &Target, object: &Value, item: &Item) -> Result<(), Status> {
    let given = meta::text(object, "resourceVersion");
    if matches!(given, "" | "0") || given.parse() == Ok(item.revision()) {
        return Ok(());
    }
    if given.parse::<u64>().is_err() {
        let why = format!(
            "resourceVersion: Invalid value: {given:?}: strconv.ParseUint: parsing {given:?}: invalid syntax"
        );
        return Err(Status::bad_request(why));
    }
    Err(Status::conflict(&target.resource.group_resource(), &target.name, MODIFIED))
}

/// An object of another identity is another object.
fn check_uid(target: &Target, new: &Value, old: &Value) -> Result<(), Status> {
    let (given, own) = (meta::text(new, "uid"), meta::text(old, "uid"));
    if given.is_empty() || given == own {
        return Ok(());
    }
    let why = format!("Precondition failed: UID in precondition: {given}, UID in object meta: {own}");
    Err(Status::conflict(&target.resource.group_resource(), &target.name, why))
}

/// What no client changes.
fn keep_identity(new: &mut Value, old: &Value) {
    meta::take(
        new,
        old,
        &["deletionTimestamp", "deletionGracePeriodSeconds", "namespace", "resourceVersion"],
    );
    for name in ["uid", "creationTimestamp"] {
        if meta::get(new, name).is_null() {
            meta::take(new, old, &[name]);
        }
    }
    meta::set(new, "selfLink", Value::Null);
}

/// Lost races after which the client may try again itself.
const ATTEMPTS_MAX: usize = 16;
