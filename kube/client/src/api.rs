//! What one asks of the API, and the trait that answers.

use std::pin::Pin;

use futures_util::Stream;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status;
use serde_json::{Map, Value, json};

use crate::item::WatchEvent;

/// A future on the heap, for traits.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;
/// A stream on the heap, for traits.
pub type BoxStream<'a, T> = Pin<Box<dyn Stream<Item = T> + Send + 'a>>;

/// The Kubernetes API.
pub trait Api: Send + Sync {
    /// Asks one thing; the answer is an object, a list, or the `Status` of a deletion.
    fn call(&self, call: Call) -> BoxFuture<'_, Result<Value, Status>>;

    /// Follows a resource. The stream ends when the server ends the watch; an error is the last item.
    fn watch<'a>(
        &'a self,
        resource: &GroupVersionResource,
        options: WatchOptions,
    ) -> BoxFuture<'a, Result<BoxStream<'static, Result<WatchEvent, Status>>, Status>>;
}

/// What is done to a resource.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verb {
    /// Reads one object.
    Get,
    /// Reads many.
    List,
    /// Makes one.
    Create,
    /// Replaces one.
    Update,
    /// Changes a part of one.
    Patch,
    /// Ends one.
    Delete,
    /// Ends many.
    DeleteCollection,
}

/// How a patch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PatchType {
    /// RFC 6902.
    Json,
    /// RFC 7386.
    Merge,
    /// The API's own merge, which knows list keys.
    Strategic,
    /// Server-side apply.
    Apply,
}

impl PatchType {
    /// The content type that says it.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::Json => "application/json-patch+json",
            Self::Merge => "application/merge-patch+json",
            Self::Strategic => "application/strategic-merge-patch+json",
            Self::Apply => "application/apply-patch+yaml",
        }
    }
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// What is done.
    pub verb: Verb,
    /// To which resource.
    pub resource: GroupVersionResource,
    /// In which namespace; none is the cluster, or all namespaces.
    pub namespace: Option<String>,
    /// To which object.
    pub name: Option<String>,
    /// To which part of it.
    pub subresource: Option<String>,
    /// The object, patch or options.
    pub body: Option<Value>,
    /// How the body is to be read as a patch.
    pub patch: Option<PatchType>,
    /// What else is asked.
    pub options: CallOptions,
}

/// `metav1`'s GetOptions, ListOptions, CreateOptions, UpdateOptions, PatchOptions and DeleteOptions
/// in one; each verb looks at its own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallOptions {
    /// Which revision a read may or must show.
    pub resource_version: Option<String>,
    /// `Exact` or `NotOlderThan`.
    pub resource_version_match: Option<String>,
    /// Most items of a list.
    pub limit: Option<u64>,
    /// Where a list goes on.
    pub continue_token: Option<String>,
    /// Which labels.
    pub label_selector: Option<String>,
    /// Which fields.
    pub field_selector: Option<String>,
    /// Do everything but write.
    pub dry_run: bool,
    /// Who owns the fields written.
    pub field_manager: Option<String>,
    /// Take fields from their owners.
    pub force: bool,
    /// Delete only this one.
    pub preconditions: Preconditions,
    /// `Orphan`, `Background` or `Foreground`.
    pub propagation: Option<String>,
    /// How long the object may take to end.
    pub grace_period_seconds: Option<i64>,
}

/// What must hold for a deletion.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// The identity.
    pub uid: Option<String>,
    /// The revision.
    pub resource_version: Option<String>,
}

/// How a resource is followed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WatchOptions {
    /// Only in this namespace.
    pub namespace: Option<String>,
    /// From behind this revision; none begins with what is there.
    pub resource_version: Option<String>,
    /// Which labels.
    pub label_selector: Option<String>,
    /// Which fields.
    pub field_selector: Option<String>,
    /// Say now and then how far the stream is.
    pub bookmarks: bool,
    /// Send what is there first, and a bookmark behind it.
    pub send_initial_events: Option<bool>,
    /// End after so many seconds.
    pub timeout_seconds: Option<u32>,
}

impl Call {
    fn new(verb: Verb, resource: &GroupVersionResource, namespace: &str, name: &str) -> Self {
        let given = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        Self {
            verb,
            resource: resource.clone(),
            namespace: given(namespace),
            name: given(name),
            subresource: None,
            body: None,
            patch: None,
            options: CallOptions::default(),
        }
    }

    /// Reads an object; the namespace is empty for objects of the cluster.
    pub fn get(resource: &GroupVersionResource, namespace: &str, name: &str) -> Self {
        Self::new(Verb::Get, resource, namespace, name)
    }

    /// Reads all objects of a namespace, or (empty) of all.
    pub fn list(resource: &GroupVersionResource, namespace: &str) -> Self {
        Self::new(Verb::List, resource, namespace, "")
    }

    /// Makes an object.
    pub fn create(resource: &GroupVersionResource, namespace: &str, object: Value) -> Self {
        Self::new(Verb::Create, resource, namespace, "").with_body(object)
    }

    /// Replaces an object; its `metadata` says which.
    pub fn update(resource: &GroupVersionResource, object: Value) -> Self {
        let meta = |name: &str| {
            let found = object.get("metadata").and_then(|meta| meta.get(name)).and_then(Value::as_str);
            found.unwrap_or_default().to_owned()
        };
        let (namespace, name) = (meta("namespace"), meta("name"));
        Self::new(Verb::Update, resource, &namespace, &name).with_body(object)
    }

    /// Replaces an object's status.
    pub fn update_status(resource: &GroupVersionResource, object: Value) -> Self {
        Self::update(resource, object).at("status")
    }

    /// Changes an object.
    pub fn patch(
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
        how: PatchType,
        patch: Value,
    ) -> Self {
        let mut call = Self::new(Verb::Patch, resource, namespace, name).with_body(patch);
        call.patch = Some(how);
        call
    }

    /// Applies a configuration in the name of a manager.
    pub fn apply(
        resource: &GroupVersionResource,
        namespace: &str,
        name: &str,
        manager: &str,
        config: Value,
    ) -> Self {
        let mut call = Self::patch(resource, namespace, name, PatchType::Apply, config);
        call.options.field_manager = Some(manager.to_owned());
        call
    }

    /// Ends an object.
    pub fn delete(resource: &GroupVersionResource, namespace: &str, name: &str) -> Self {
        Self::new(Verb::Delete, resource, namespace, name)
    }

    /// Ends all objects of a namespace that the options select.
    pub fn delete_collection(resource: &GroupVersionResource, namespace: &str) -> Self {
        Self::new(Verb::DeleteCollection, resource, namespace, "")
    }

    /// Means a part of the object, such as `status` or `scale`.
    #[must_use]
    pub fn at(mut self, subresource: &str) -> Self {
        self.subresource = Some(subresource.to_owned());
        self
    }

    /// With other options.
    #[must_use]
    pub fn with(mut self, change: impl FnOnce(&mut CallOptions)) -> Self {
        change(&mut self.options);
        self
    }

    /// With a body.
    #[must_use]
    pub fn with_body(mut self, body: Value) -> Self {
        self.body = Some(body);
        self
    }
}

/// A query's pairs, not yet encoded.
pub type Query = Vec<(String, String)>;

impl CallOptions {
    /// The query of a list, or of a deletion of a collection.
    pub fn list_query(&self) -> Query {
        let limit = self.limit.map(|limit| limit.to_string());
        let given = [
            ("resourceVersion", &self.resource_version),
            ("resourceVersionMatch", &self.resource_version_match),
            ("limit", &limit),
            ("continue", &self.continue_token),
            ("labelSelector", &self.label_selector),
            ("fieldSelector", &self.field_selector),
        ];
        pairs(given)
    }

    /// The query of a create, update or patch.
    pub fn write_query(&self) -> Query {
        let dry_run = self.dry_run.then(|| "All".to_owned());
        let force = self.force.then(|| "true".to_owned());
        pairs([("dryRun", &dry_run), ("fieldManager", &self.field_manager), ("force", &force)])
    }

    /// The `DeleteOptions` that a deletion sends.
    pub fn delete_options(&self) -> Value {
        let mut body = Map::new();
        let mut set = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
        set("kind", json!("DeleteOptions"));
        set("apiVersion", json!("v1"));
        if let Some(seconds) = self.grace_period_seconds {
            set("gracePeriodSeconds", json!(seconds));
        }
        if let Some(policy) = &self.propagation {
            set("propagationPolicy", json!(policy));
        }
        if self.dry_run {
            set("dryRun", json!(["All"]));
        }
        let given =
            [("uid", &self.preconditions.uid), ("resourceVersion", &self.preconditions.resource_version)];
        let given: Map<_, _> = pairs(given).into_iter().map(|(name, value)| (name, json!(value))).collect();
        if !given.is_empty() {
            set("preconditions", Value::Object(given));
        }
        Value::Object(body)
    }
}

impl WatchOptions {
    /// The query of the watch.
    pub fn query(&self) -> Query {
        let initial = self.send_initial_events.map(|send| send.to_string());
        let how = initial.as_ref().map(|_| "NotOlderThan".to_owned());
        let bookmarks = self.bookmarks.then(|| "true".to_owned());
        let timeout = self.timeout_seconds.map(|seconds| seconds.to_string());
        pairs([
            ("resourceVersion", &self.resource_version),
            ("resourceVersionMatch", &how),
            ("labelSelector", &self.label_selector),
            ("fieldSelector", &self.field_selector),
            ("allowWatchBookmarks", &bookmarks),
            ("sendInitialEvents", &initial),
            ("timeoutSeconds", &timeout),
        ])
    }
}

fn pairs<const N: usize>(given: [(&str, &Option<String>); N]) -> Query {
    given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value.clone()?))).collect()
}
