//! The API for callers in this process: the verbs without HTTP, in the name of a user.
//!
//! Admission sees the user, and the audit log what they do; authorization is the front's, so whoever
//! gets a [`LocalApi`] is trusted.

mod record;

use std::sync::Arc;

use client::{Api, BoxFuture, BoxStream, Call, PatchType, Verb, WatchEvent, WatchOptions};
use futures_util::StreamExt as _;
use kube_object::field_selector::FieldSelector;
use kube_object::label_selector::LabelSelector;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::{Value, json};

use crate::cache::Watcher;
use crate::registry::{
    Body, Context, DeleteOptions, GetOptions, List, ListOptions, Patch, Registry, Target, WriteOptions,
};

/// The API as a user of this process sees it.
pub struct LocalApi {
    registry: Arc<Registry>,
    user: User,
    user_agent: String,
}

impl LocalApi {
    /// The verbs of a registry in the name of a user.
    pub fn new(registry: &Arc<Registry>, user: User, user_agent: &str) -> Self {
        Self { registry: Arc::clone(registry), user, user_agent: user_agent.to_owned() }
    }

    fn context(&self) -> Context {
        Context { user: self.user.clone(), user_agent: self.user_agent.clone(), ..Context::default() }
    }

    fn target(
        &self,
        gvr: &GroupVersionResource,
        namespace: Option<&str>,
        name: Option<&str>,
    ) -> Result<Target, Status> {
        let resource = self.registry.kinds().resolve(&gvr.group, &gvr.version, &gvr.resource);
        let resource = resource.ok_or_else(Status::no_such_path)?;
        Ok(Target::object(&resource, namespace.unwrap_or(""), name.unwrap_or("")))
    }

    async fn answer(&self, call: Call) -> Result<Value, Status> {
        let context = self.context();
        let trail = match self.registry.audit() {
            Some(audit) => record::begin(audit, &context, &call).await?,
            None => None,
        };
        let result = self.carry_out(&context, call).await;
        if let Some(trail) = &trail {
            record::end(trail, &context, &result).await;
        }
        result.map(|(_, value)| value)
    }

    /// What is answered, and the code that HTTP would have for it.
    async fn carry_out(&self, context: &Context, call: Call) -> Result<(u16, Value), Status> {
        let target = self.target(&call.resource, call.namespace.as_deref(), call.name.as_deref())?;
        let target = target.at(call.subresource.as_deref().unwrap_or(""));
        let registry = &self.registry;
        let outcome = match call.verb {
            Verb::Get => registry.get(context, &target, &get_options(&call)).await?,
            Verb::List => {
                let list = registry.list(context, &target, &list_options(&call)?).await?;
                return Ok((200, list_value(&list)));
            }
            Verb::Create => registry.create(context, &target, body(&call), &write_options(&call)).await?,
            Verb::Update => registry.update(context, &target, body(&call), &write_options(&call)).await?,
            Verb::Patch => {
                let patch = patch(&call)?;
                registry.patch(context, &target, patch, &write_options(&call)).await?
            }
            Verb::Delete => registry.delete(context, &target, &delete_options(&call)?).await?,
            Verb::DeleteCollection => {
                let (list, options) = (list_options(&call)?, delete_options(&call)?);
                let gone = registry.delete_collection(context, &target, &list, &options).await?;
                return Ok((200, list_value(&gone)));
            }
        };
        Ok((outcome.code, Arc::unwrap_or_clone(outcome.to_value())))
    }

    async fn follow(
        &self,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> Result<BoxStream<'static, Result<WatchEvent, Status>>, Status> {
        let context = self.context();
        let trail = match self.registry.audit() {
            Some(audit) => record::begin_watch(audit, &context, resource, &options).await?,
            None => None,
        };
        let frames = self.frames(&context, resource, options).await;
        if let Some(trail) = &trail {
            record::watching(trail, frames.as_ref().err()).await;
        }
        let event = move |frame: crate::cache::Frame| {
            // The record lives as long as the watch.
            let _ = &trail;
            WatchEvent { kind: frame.kind, object: frame.object }
        };
        Ok(Box::pin(frames?.map(move |frame| frame.map(&event))))
    }

    async fn frames(
        &self,
        context: &Context,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> Result<Watcher, Status> {
        let target = self.target(resource, options.namespace.as_deref(), None)?;
        let (label_selector, field_selector) =
            selectors(options.label_selector.as_deref(), options.field_selector.as_deref())?;
        let options = ListOptions {
            label_selector,
            field_selector,
            resource_version: options.resource_version.unwrap_or_default(),
            timeout: options.timeout_seconds.map(|seconds| std::time::Duration::from_secs(seconds.into())),
            allow_bookmarks: options.bookmarks,
            send_initial_events: options.send_initial_events,
            resource_version_match: options
                .send_initial_events
                .map(|_| "NotOlderThan".to_owned())
                .unwrap_or_default(),
            ..ListOptions::default()
        };
        self.registry.watch(context, &target, &options).await
    }
}

impl Api for LocalApi {
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>> {
        Box::pin(self.answer(call))
    }

    fn watch<'a>(
        &'a self,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>> {
        let resource = resource.clone();
        Box::pin(async move { self.follow(&resource, options).await })
    }
}

fn body(call: &Call) -> Body {
    Body::from(call.body.clone().unwrap_or_default())
}

fn patch(call: &Call) -> Result<Patch, Status> {
    let how = call.patch.ok_or_else(|| Status::bad_request("a patch needs a type"))?;
    Ok(match how {
        PatchType::Json => Patch::Json(body(call)),
        PatchType::Merge => Patch::Merge(body(call)),
        PatchType::Strategic => Patch::Strategic(body(call)),
        PatchType::Apply => Patch::Apply(body(call)),
    })
}

fn get_options(call: &Call) -> GetOptions {
    GetOptions { resource_version: call.options.resource_version.clone().unwrap_or_default() }
}

fn write_options(call: &Call) -> WriteOptions {
    WriteOptions {
        dry_run: call.options.dry_run,
        field_manager: call.options.field_manager.clone().unwrap_or_default(),
        force: call.options.force,
        ..WriteOptions::default()
    }
}

fn delete_options(call: &Call) -> Result<DeleteOptions, Status> {
    DeleteOptions::from_request(&[], Some(&call.options.delete_options()))
}

fn list_options(call: &Call) -> Result<ListOptions, Status> {
    let options = &call.options;
    let (label_selector, field_selector) =
        selectors(options.label_selector.as_deref(), options.field_selector.as_deref())?;
    Ok(ListOptions {
        label_selector,
        field_selector,
        resource_version: options.resource_version.clone().unwrap_or_default(),
        resource_version_match: options.resource_version_match.clone().unwrap_or_default(),
        limit: options.limit.unwrap_or(0),
        continue_token: options.continue_token.clone().unwrap_or_default(),
        ..ListOptions::default()
    })
}

fn selectors(labels: Option<&str>, fields: Option<&str>) -> Result<(LabelSelector, FieldSelector), Status> {
    let labels = labels.map_or_else(|| Ok(LabelSelector::everything()), LabelSelector::parse);
    let fields = fields.map_or_else(|| Ok(FieldSelector::default()), FieldSelector::parse);
    Ok((
        labels.map_err(|error| Status::bad_request(error.to_string()))?,
        fields.map_err(|error| Status::bad_request(error.to_string()))?,
    ))
}

fn list_value(list: &List) -> Value {
    let mut metadata = json!({"resourceVersion": list.revision.to_string()});
    if !list.continue_token.is_empty() {
        metadata["continue"] = json!(list.continue_token);
    }
    if let Some(remaining) = list.remaining {
        metadata["remainingItemCount"] = json!(remaining);
    }
    let items: Vec<Value> = list.items.iter().map(|item| item.decode()).collect();
    json!({"kind": list.gvk.kind, "apiVersion": list.gvk.api_version(), "metadata": metadata, "items": items})
}
