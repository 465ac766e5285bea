//! One generic path for every kind: what GET, LIST, POST, PUT, PATCH and DELETE mean.
//!
//! ```text
//! body ─▶ decode ─▶ owners of fields ─▶ admission may change it ─▶ rules of the kind ─▶ valid?
//!                                                                   store ◀─ admission agrees?
//! ```

mod context;
pub(crate) mod core;
mod create;
pub(crate) mod decode;
mod delete;
mod fields;
pub(crate) mod meta;
pub(crate) mod modify;
mod node;
mod options;
mod outcome;
mod page;
pub(crate) mod patch;
pub(crate) mod random;
mod read;

use std::sync::{Arc, OnceLock};

use admission::{Notes, Operation};
use audit::Audit;
use kube_object::status::Status;
use serde_json::Value;
use store::LeaseId;

pub use context::{
    Admission, Body, Context, DeleteOptions, FieldValidation, GetOptions, ListOptions, Patch, Propagation,
    Query, Target, Warnings, WriteOptions,
};
pub use node::{NodeBody, NodeProxy, NodeRequest, NodeTarget, PodPlace};
pub use outcome::{Answer, List, Outcome};

use crate::cache::Watcher;
use crate::kinds::{Kinds, Resource};
use crate::strategy::{self, Leases};
pub(crate) use core::Core;
pub(crate) use delete::bump_generation;

/// The verbs over all kinds.
pub struct Registry {
    pub(crate) core: Arc<Core>,
    admission: OnceLock<admission::Chain>,
    guard: OnceLock<Arc<dyn Guard>>,
    pub(crate) tokens: OnceLock<Arc<dyn Tokens>>,
    audit: OnceLock<Arc<Audit>>,
    leases: Leases,
}

/// Says whether a user may write a role or a binding: nobody gives what they don't have.
pub trait Guard: Send + Sync {
    /// Called for creates and updates of the kinds of rbac.authorization.k8s.io.
    fn check(&self, context: &Context, target: &Target, object: &Value) -> Result<(), Status>;
}

/// Makes the tokens of service accounts.
pub trait Tokens: Send + Sync {
    /// Answers a `TokenRequest` for an account, bound to an object if the request names one.
    fn issue(
        &self,
        account: &Value,
        bound: Option<&Value>,
        request: &Value,
        now: i64,
    ) -> Result<Value, Status>;
}

impl Registry {
    pub(crate) fn new(core: Arc<Core>) -> Self {
        Self {
            leases: Leases::new(&core.storage),
            core,
            admission: OnceLock::new(),
            guard: OnceLock::new(),
            tokens: OnceLock::new(),
            audit: OnceLock::new(),
        }
    }

    /// Sets what every write passes from now on; only the first call counts.
    pub fn set_admission(&self, chain: admission::Chain) {
        // A second chain would be a mistake of the caller's that nobody could act upon.
        drop(self.admission.set(chain));
    }

    /// Sets who is asked about roles and bindings; only the first call counts.
    pub fn set_guard(&self, guard: Arc<dyn Guard>) {
        drop(self.guard.set(guard));
    }

    /// Sets who makes tokens; only the first call counts.
    pub fn set_tokens(&self, tokens: Arc<dyn Tokens>) {
        drop(self.tokens.set(tokens));
    }

    /// Sets where the calls of this process are recorded; only the first call counts.
    pub fn set_audit(&self, audit: Arc<Audit>) {
        drop(self.audit.set(audit));
    }

    pub(crate) fn audit(&self) -> Option<&Arc<Audit>> {
        self.audit.get()
    }

    /// What is served.
    pub fn kinds(&self) -> &Arc<Kinds> {
        &self.core.kinds
    }

    /// Reads an object or its subresource (`status`, `scale`).
    pub async fn get(
        &self,
        context: &Context,
        target: &Target,
        options: &GetOptions,
    ) -> Result<Outcome, Status> {
        self.check_verb(target, "get")?;
        match target.subresource.as_str() {
            "scale" => strategy::scale::get(self, context, target, options).await,
            _ => self.core.get(target, options).await,
        }
    }

    /// Lists a collection.
    pub async fn list(
        &self,
        _context: &Context,
        target: &Target,
        options: &ListOptions,
    ) -> Result<List, Status> {
        self.check_verb(target, "list")?;
        self.core.list(target, options).await
    }

    /// Follows a collection, or (with a name in the target) one object.
    pub async fn watch(
        &self,
        _context: &Context,
        target: &Target,
        options: &ListOptions,
    ) -> Result<Watcher, Status> {
        self.check_verb(target, "watch")?;
        self.core.watch(target, options).await
    }

    /// Creates an object, or does what a POST to a subresource does (binding, eviction, token…).
    pub async fn create(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        self.check_verb(target, "create")?;
        if !target.subresource.is_empty() {
            decode::check_spoken_body(context, target, &body, options.field_validation)?;
        }
        match target.subresource.as_str() {
            "" if target.resource.gvk.kind == "Binding" && target.resource.gvk.group.is_empty() => {
                strategy::pods::bind_by_name(self, context, target, body, options).await
            }
            "" => self.create_object(context, target, body, options).await,
            "binding" => strategy::pods::bind(self, context, target, body, options).await,
            "eviction" => strategy::eviction::evict(self, context, target, body, options).await,
            "token" => strategy::token::request(self, context, target, body, options).await,
            _ => Err(Status::method_not_allowed(&target.resource.group_resource(), "create")),
        }
    }

    /// Replaces an object or its subresource.
    pub async fn update(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        self.check_verb(target, "update")?;
        match target.subresource.as_str() {
            "scale" => {
                decode::check_spoken_body(context, target, &body, options.field_validation)?;
                strategy::scale::update(self, context, target, body, options).await
            }
            _ => self.update_object(context, target, body, options).await,
        }
    }

    /// Patches or applies an object or its subresource.
    pub async fn patch(
        &self,
        context: &Context,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        self.check_verb(target, "patch")?;
        match target.subresource.as_str() {
            "scale" => strategy::scale::patch(self, context, target, &patch, options).await,
            _ => self.patch_object(context, target, &patch, options).await,
        }
    }

    /// Deletes an object, or marks it for deletion.
    pub async fn delete(
        &self,
        context: &Context,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Outcome, Status> {
        self.check_verb(target, "delete")?;
        self.delete_object(context, target, options).await
    }

    /// Deletes what a list selects; answers the list of what was there.
    pub async fn delete_collection(
        &self,
        context: &Context,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Status> {
        self.check_verb(target, "deletecollection")?;
        self.delete_all(context, target, list, options).await
    }

    /// Says where exec, attach, portforward, log and proxy of an object lead, after admission.
    /// `rest` is the path behind `proxy`, `query` the request's.
    pub async fn connect(
        &self,
        context: &Context,
        target: &Target,
        rest: &str,
        query: Query<'_>,
    ) -> Result<NodeTarget, Status> {
        strategy::connect::connect(self, context, target, rest, query).await
    }

    fn check_verb(&self, target: &Target, verb: &str) -> Result<(), Status> {
        let resource = &target.resource;
        let does = match target.subresource.as_str() {
            "" => resource.does(verb),
            name => match resource.subresource(name) {
                Some(subresource) => subresource.verbs.iter().any(|known| known == verb),
                None => return Err(Status::no_such_path()),
            },
        };
        if does { Ok(()) } else { Err(Status::method_not_allowed(&resource.group_resource(), verb)) }
    }

    fn check_escalation(&self, context: &Context, target: &Target, object: &Value) -> Result<(), Status> {
        if target.resource.gvr.group != "rbac.authorization.k8s.io" {
            return Ok(());
        }
        self.guard.get().map_or(Ok(()), |guard| guard.check(context, target, object))
    }

    /// Whether there is anybody to ask.
    fn admits(&self, _operation: Operation) -> bool {
        self.admission.get().is_some()
    }

    pub(crate) fn admission_request(
        &self,
        context: &Context,
        target: &Target,
        operation: Operation,
        dry_run: bool,
    ) -> admission::Request {
        let resource = &target.resource;
        let kind = resource.subresource(&target.subresource).map_or(&resource.gvk, |found| &found.gvk);
        let is_namespace = resource.gvr.group.is_empty() && resource.gvr.resource == "namespaces";
        admission::Request {
            operation,
            kind: kind.clone(),
            resource: resource.gvr.clone(),
            subresource: target.subresource.clone(),
            namespace: if is_namespace { target.name.clone() } else { target.namespace.clone() },
            name: target.name.clone(),
            user: context.user.clone(),
            dry_run,
            ..admission::Request::default()
        }
    }

    pub(crate) async fn mutate(
        &self,
        context: &Context,
        request: &mut admission::Request,
    ) -> Result<(), Status> {
        let Some(chain) = self.admission.get() else { return Ok(()) };
        let mut notes = Notes::default();
        let result = chain.mutate(request, &mut notes).await;
        create::tell(context, notes);
        result
    }

    pub(crate) async fn validate(
        &self,
        context: &Context,
        request: &admission::Request,
    ) -> Result<(), Status> {
        let Some(chain) = self.admission.get() else { return Ok(()) };
        let mut notes = Notes::default();
        let result = chain.validate(request, &mut notes).await;
        create::tell(context, notes);
        result
    }

    /// As [`Registry::validate`], for a request that may be tried several times: quota is charged
    /// for the first of them only.
    pub(crate) async fn validate_once(
        &self,
        context: &Context,
        request: &admission::Request,
        charged: &mut bool,
    ) -> Result<(), Status> {
        if !*charged {
            self.validate(context, request).await?;
            *charged = true;
            return Ok(());
        }
        let Some(chain) = self.admission.get() else { return Ok(()) };
        let mut notes = Notes::default();
        let result = chain.check(request, &mut notes).await;
        create::tell(context, notes);
        result
    }

    /// What objects of a resource go with: events are forgotten after a while.
    pub(crate) async fn lease_of(&self, resource: &Resource) -> Result<Option<LeaseId>, Status> {
        let is_event = resource.stored_as.group.is_empty() && resource.stored_as.resource == "events";
        if is_event { self.leases.current().await.map(Some) } else { Ok(None) }
    }
}
