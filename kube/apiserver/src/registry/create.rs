//! Create: a new object, also by apply and by updates of kinds that allow it.

use admission::{Notes, Operation};
use kube_object::names;
use kube_object::status::Status;
use serde_json::{Value, json};

use super::context::{Body, Context, Target, WriteOptions};
use super::outcome::Outcome;
use super::{Registry, core, decode, fields, meta, random};
use crate::rules;
use crate::storage::{Committed, Write};
use crate::strategy;
use client::Item;

impl Registry {
    pub(super) async fn create_object(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let mut object = decode::object(context, target, body, options.field_validation)?;
        place(target, &mut object)?;
        if !matches!(meta::text(&object, "resourceVersion"), "" | "0") {
            // Upstream's words under 500 there; but the fault is the client's.
            return Err(Status::new(400, "", "resourceVersion should not be set on objects to be created"));
        }
        let writer = fields::writer(context, target, options, self.core.now());
        fields::record(&target.resource, &Value::Null, &mut object, &writer)?;
        self.insert(context, target, object, options).await
    }

    /// Admits, completes, validates and stores a new object, given in the resource's version.
    pub(super) async fn insert(
        &self,
        context: &Context,
        target: &Target,
        object: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let resource = &*target.resource;
        let mut request = self.admission_request(context, target, Operation::Create, options.dry_run);
        request.options = write_options("CreateOptions", options);
        request.object = Some(object);
        self.mutate(context, &mut request).await?;
        let object = request.object.take().unwrap_or_default();
        let mut object = self.core.to_internal(resource, object)?;
        let generates =
            meta::text(&object, "name").is_empty() && !meta::text(&object, "generateName").is_empty();
        let attempts = if generates { GENERATE_MAX } else { 1 };
        let (mut refusal, mut charged) = (None, false);
        for _ in 0..attempts {
            let mut object = if generates { object.clone() } else { std::mem::take(&mut object) };
            if generates {
                let name = names::generate(meta::text(&object, "generateName"), random::suffix());
                meta::set(&mut object, "name", name);
            }
            self.complete(context, target, &mut object);
            let attempt = Attempt { request: &mut request, charged: &mut charged };
            match self.store_new(context, target, attempt, object, options).await {
                Err(status) if generates && status.reason == "AlreadyExists" => refusal = Some(status),
                result => return result,
            }
        }
        Err(refusal.unwrap_or_else(|| Status::internal("no name was generated")))
    }

    /// What the server sets of a new object.
    fn complete(&self, context: &Context, target: &Target, object: &mut Value) {
        if target.resource.namespaced {
            meta::set(object, "namespace", target.namespace.as_str());
        }
        for name in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion"] {
            meta::set(object, name, Value::Null);
        }
        meta::set(object, "uid", random::uid());
        meta::set(object, "creationTimestamp", self.core.now());
        rules::prepare_create(&target.resource, object);
        strategy::sign_in(&target.resource, object, &context.user);
    }

    async fn store_new(
        &self,
        context: &Context,
        target: &Target,
        attempt: Attempt<'_>,
        mut prepared: Value,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let resource = &*target.resource;
        let Attempt { request, charged } = attempt;
        // What is allocated is chosen anew in each attempt.
        let allocates = strategy::allocates(resource);
        for _ in 0..ALLOCATE_MAX {
            let mut object = if allocates { prepared.clone() } else { std::mem::take(&mut prepared) };
            let extra = strategy::before_create(&self.core, resource, &mut object, options.dry_run).await?;
            let name = meta::text(&object, "name").to_owned();
            let errors = rules::validate_create(resource, &object);
            if !errors.is_empty() {
                return Err(Status::invalid(&resource.group_kind(), &name, &errors));
            }
            let own = Target { name: name.clone(), ..target.clone() };
            self.check_escalation(context, &own, &object)?;
            if self.admits(Operation::Create) {
                request.name.clone_from(&name);
                if resource.gvk == resource.storage {
                    request.object = Some(object);
                    self.validate_once(context, request, charged).await?;
                    object = request.object.take().unwrap_or_default();
                } else {
                    request.object = Some(self.core.external(resource, object.clone())?);
                    self.validate_once(context, request, charged).await?;
                }
            }
            rules::warnings(resource, &object, None).into_iter().for_each(|text| context.warnings.add(text));
            let taken = || Status::already_exists(&resource.group_resource(), &name);
            let key = self.core.key(&own);
            if options.dry_run {
                if self.core.current(resource, &own.namespace, &name).await?.is_some() {
                    return Err(taken());
                }
                return self.answer_unsaved(&own, object, 201).await;
            }
            let bytes = self.core.encode_stored(resource, &object).await?;
            let mut writes =
                vec![Write { lease: self.lease_of(resource).await?, ..Write::put(key, 0, bytes.clone()) }];
            writes.extend(extra);
            self.core.spare(resource, &bytes, object);
            match self.core.storage.commit(writes).await? {
                Committed::Done(revision) => {
                    let item = Item::at(&bytes, revision).map_err(Status::internal)?;
                    let item = self.core.shown(resource, item.into()).await?;
                    return Ok(Outcome::item(201, &resource.gvk, item));
                }
                Committed::Stale(found) if found.first().is_some_and(Option::is_some) => return Err(taken()),
                // Somebody else took what was allocated, or an object of the name went in between:
                // choose again, in the newest state.
                Committed::Stale(_) => {
                    if !allocates {
                        prepared = serde_json::from_slice(&bytes).map_err(Status::internal)?;
                    }
                    self.core.cache.catch_up().await.map(drop)?;
                }
            }
        }
        Err(Status::internal("everything that was allocated was taken meanwhile"))
    }

    /// The answer to a dry run.
    pub(super) async fn answer_unsaved(
        &self,
        target: &Target,
        object: Value,
        code: u16,
    ) -> Result<Outcome, Status> {
        let resource = &*target.resource;
        let mut object = self.core.external(resource, object)?;
        core::set_type(&mut object, &resource.gvk);
        Ok(Outcome::value(code, resource.gvk.clone(), object))
    }
}

/// What several attempts to store one new object share.
struct Attempt<'a> {
    request: &'a mut admission::Request,
    /// Whether quota was charged.
    charged: &'a mut bool,
}

/// The namespace of the request is the object's.
pub(super) fn place(target: &Target, object: &mut Value) -> Result<(), Status> {
    let own = meta::text(object, "namespace");
    if !target.resource.namespaced {
        meta::set(object, "namespace", Value::Null);
        return Ok(());
    }
    if !own.is_empty() && own != target.namespace {
        return Err(Status::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    meta::set(object, "namespace", target.namespace.as_str());
    Ok(())
}

/// The options as admission shows them.
pub(super) fn write_options(kind: &str, options: &WriteOptions) -> Value {
    let mut value = json!({"kind": kind, "apiVersion": "meta.k8s.io/v1"});
    if let Some(fields) = value.as_object_mut() {
        if options.dry_run {
            fields.insert("dryRun".to_owned(), json!(["All"]));
        }
        if !options.field_manager.is_empty() {
            fields.insert("fieldManager".to_owned(), json!(options.field_manager));
        }
        if options.force {
            fields.insert("force".to_owned(), json!(true));
        }
    }
    value
}

/// What admission has to say.
pub(super) fn tell(context: &Context, mut notes: Notes) {
    std::mem::take(&mut notes.warnings).into_iter().for_each(|text| context.warnings.add(text));
    context.admission.add(notes);
}

/// Upstream tries as many names.
const GENERATE_MAX: usize = 8;
/// Races for addresses and ports that one create may lose.
const ALLOCATE_MAX: usize = 16;
