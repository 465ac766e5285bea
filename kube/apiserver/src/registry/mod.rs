//! One generic path for every kind: what GET, LIST, POST, PUT, PATCH and DELETE mean.

mod context;
mod node;
mod options;
mod outcome;

use std::sync::Arc;

use kube_object::status::Status;

pub use context::{
    Body, Context, DeleteOptions, FieldValidation, GetOptions, ListOptions, Patch, Propagation, Query,
    Target, Warnings, WriteOptions,
};
pub use node::{NodeBody, NodeProxy, NodeRequest, NodeTarget, PodPlace};
pub use outcome::{Answer, List, Outcome};

use crate::cache::Watcher;
use crate::kinds::Kinds;

/// The verbs over all kinds.
pub struct Registry {
    kinds: Arc<Kinds>,
}

impl Registry {
    /// What is served.
    pub fn kinds(&self) -> &Arc<Kinds> {
        &self.kinds
    }

    /// Reads an object or its subresource (`status`, `scale`).
    pub async fn get(
        &self,
        context: &Context,
        target: &Target,
        options: &GetOptions,
    ) -> Result<Outcome, Status> {
        let _ = (context, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Lists a collection.
    pub async fn list(
        &self,
        context: &Context,
        target: &Target,
        options: &ListOptions,
    ) -> Result<List, Status> {
        let _ = (context, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Follows a collection, or (with a name in the target) one object.
    pub async fn watch(
        &self,
        context: &Context,
        target: &Target,
        options: &ListOptions,
    ) -> Result<Watcher, Status> {
        let _ = (context, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Creates an object, or does what a POST to a subresource does (binding, eviction, token…).
    pub async fn create(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let _ = (context, body, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Replaces an object or its subresource.
    pub async fn update(
        &self,
        context: &Context,
        target: &Target,
        body: Body,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let _ = (context, body, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Patches or applies an object or its subresource.
    pub async fn patch(
        &self,
        context: &Context,
        target: &Target,
        patch: Patch,
        options: &WriteOptions,
    ) -> Result<Outcome, Status> {
        let _ = (context, patch, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Deletes an object, or marks it for deletion.
    pub async fn delete(
        &self,
        context: &Context,
        target: &Target,
        options: &DeleteOptions,
    ) -> Result<Outcome, Status> {
        let _ = (context, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }

    /// Deletes what a list selects; answers the list of what was there.
    pub async fn delete_collection(
        &self,
        context: &Context,
        target: &Target,
        list: &ListOptions,
        options: &DeleteOptions,
    ) -> Result<List, Status> {
        let _ = (context, list, options);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
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
        let _ = (context, rest, query);
        Err(Status::not_found(&target.resource.group_resource(), &target.name))
    }
}
