//! What all verbs share: the kinds, the cache, the store and the clock. It is also what admission
//! sees of the server, so it knows nothing of admission.

use std::sync::Arc;
use std::time::SystemTime;

use base::clock::Clock;
use bytes::Bytes;
use client::{BoxFuture, Item, Mirror};
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::shape::Shape;
use kube_object::status::Status;
use kube_object::time::Time;
use serde_json::{Value, json};

use super::context::Target;
use super::{decode, meta};
use crate::cache::Cache;
use crate::custom::is_of;
use crate::kinds::{Kinds, Model, Resource};
use crate::storage::{Committed, Storage, Write, encode, key};
use crate::strategy::Network;

/// The parts that verbs work with.
pub(crate) struct Core {
    pub kinds: Arc<Kinds>,
    pub cache: Arc<Cache>,
    pub storage: Storage,
    pub clock: Arc<dyn Clock + Send + Sync>,
    pub network: Network,
}

impl Core {
    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> i64 {
        let since = self.clock.now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    }

    /// Now, as the API writes it.
    pub(crate) fn now(&self) -> String {
        Time::from_unix(self.unix()).map(|now| now.to_string()).unwrap_or_default()
    }

    /// The object as the cache has it, after it has seen everything acknowledged before the call.
    pub(crate) async fn current(
        &self,
        resource: &Resource,
        namespace: &str,
        name: &str,
    ) -> Result<Option<Arc<Item>>, Status> {
        self.cache.catch_up().await?;
        Ok(self.cache.item(&resource.stored_as, namespace, name))
    }

    /// The key of the target's object.
    pub(crate) fn key(&self, target: &Target) -> Bytes {
        key(&target.resource.stored_as, &target.namespace, &target.name)
    }

    /// A stored object in the form that rules work on: the storage version of built-in kinds, the
    /// resource's version of custom ones.
    pub(crate) async fn internal(&self, resource: &Resource, item: &Item) -> Result<Value, Status> {
        match &resource.model {
            Model::BuiltIn(_) => Ok(item.decode()),
            Model::Custom(custom) => {
                let mut object = item.decode();
                if !is_of(item, &resource.gvk) {
                    object = custom.convert(&*self.cache, object, &resource.gvk.version).await?;
                }
                if custom.reads_with_care() {
                    custom.settle(&mut object);
                }
                Ok(object)
            }
        }
    }

    /// From the form of the rules to the resource's version.
    pub(crate) fn external(&self, resource: &Resource, object: Value) -> Result<Value, Status> {
        match &resource.model {
            Model::BuiltIn(_) if resource.gvk != resource.storage => kube_api::convert(object, &resource.gvk),
            _ => Ok(object),
        }
    }

    /// From the resource's version to the form of the rules.
    pub(crate) fn to_internal(&self, resource: &Resource, object: Value) -> Result<Value, Status> {
        match &resource.model {
            Model::BuiltIn(_) if resource.gvk != resource.storage => {
                kube_api::convert(object, &resource.storage)
            }
            _ => Ok(object),
        }
    }

    /// The bytes that the store keeps of an object in the form of the rules.
    pub(crate) async fn encode_stored(&self, resource: &Resource, object: &Value) -> Result<Bytes, Status> {
        if let Model::Custom(custom) = &resource.model
            && resource.gvk != resource.storage
        {
            let stored = custom.convert(&*self.cache, object.clone(), &resource.storage.version).await?;
            return Ok(encode(&stored, &resource.storage, None).into());
        }
        Ok(encode(object, &resource.storage, None).into())
    }

    /// Spares the feed decoding an object in the form of the rules that is about to be written as `bytes`.
    pub(crate) fn spare(&self, resource: &Resource, bytes: &Bytes, object: Value) {
        if !resource.is_custom() || resource.gvk == resource.storage {
            self.cache.fresh().give(bytes, &resource.storage, object);
        }
    }

    /// Whether stored objects are shown as they are, at least if they are of the resource's version.
    pub(crate) fn shows_as_stored(&self, resource: &Resource) -> bool {
        match &resource.model {
            Model::BuiltIn(_) => resource.gvk == resource.storage,
            Model::Custom(custom) => !custom.reads_with_care(),
        }
    }

    /// A stored object as the resource's version shows it.
    pub(crate) async fn shown(&self, resource: &Resource, item: Arc<Item>) -> Result<Arc<Item>, Status> {
        if self.shows_as_stored(resource) {
            return Ok(item);
        }
        let object = self.internal(resource, &item).await?;
        let object = self.external(resource, object)?;
        let bytes = encode(&object, &resource.gvk, Some(item.revision()));
        Item::parse(bytes.into(), item.revision()).map(Arc::new).map_err(Status::internal)
    }

    /// Stored objects as the resource's version shows them, in their order. What must be converted
    /// is converted together.
    pub(crate) async fn shown_all(
        &self,
        resource: &Resource,
        items: Vec<Arc<Item>>,
    ) -> Result<Vec<Arc<Item>>, Status> {
        let Model::Custom(custom) = &resource.model else {
            let mut shown = Vec::with_capacity(items.len());
            for item in items {
                shown.push(self.shown(resource, item).await?);
            }
            return Ok(shown);
        };
        if self.shows_as_stored(resource) {
            return Ok(items);
        }
        let mut shown = Vec::with_capacity(items.len());
        for some in items.chunks(DECODED_MAX) {
            let objects = some.iter().map(|item| item.decode()).collect();
            let objects = custom.convert_all(&*self.cache, objects, &resource.gvk.version).await?;
            for (item, mut object) in some.iter().zip(objects) {
                custom.settle(&mut object);
                let bytes = encode(&object, &resource.gvk, Some(item.revision()));
                let item = Item::parse(bytes.into(), item.revision()).map_err(Status::internal)?;
                shown.push(Arc::new(item));
            }
        }
        Ok(shown)
    }

    async fn convert_to(&self, object: Value, to: &GroupVersionKind) -> Result<Value, Status> {
        match self.kinds.by_gvk(to).as_deref().map(|resource| &resource.model) {
            Some(Model::Custom(custom)) => custom.convert(&*self.cache, object, &to.version).await,
            _ => kube_api::convert(object, to),
        }
    }
}

/// 404 of the target.
pub(crate) fn not_found(target: &Target) -> Status {
    Status::not_found(&target.resource.group_resource(), &target.name)
}

impl admission::Writer for Core {
    fn read<'a>(
        &'a self,
        resource: &'a GroupResource,
        namespace: &'a str,
        name: &'a str,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async move {
            let found = self.storage.read(key(resource, namespace, name)).await?;
            let found = found.ok_or_else(|| Status::not_found(resource, name))?;
            let item = Item::at(&found.value, found.revision).map_err(Status::internal)?;
            Ok(item.decode())
        })
    }

    fn update_status<'a>(
        &'a self,
        resource: &'a GroupResource,
        mut object: Value,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(async move {
            let gvk = gvk_of(&object);
            let expect = meta::text(&object, "resourceVersion").parse().unwrap_or(0);
            let (namespace, name) = (meta::text(&object, "namespace"), meta::text(&object, "name"));
            let key = key(resource, namespace, name);
            let value = encode(&object, &gvk, None);
            match self.storage.commit(vec![Write::put(key, expect, value.into())]).await? {
                Committed::Done(revision) => {
                    meta::set(&mut object, "resourceVersion", revision.to_string());
                    Ok(object)
                }
                Committed::Stale(_) => Err(Status::conflict(resource, name, MODIFIED)),
            }
        })
    }
}

impl admission::Kinds for Core {
    fn equivalents(
        &self,
        resource: &GroupVersionResource,
        subresource: &str,
    ) -> Vec<(GroupVersionResource, GroupVersionKind)> {
        let table = self.kinds.table();
        let Some(own) = table.by_gvr(resource) else { return Vec::new() };
        let same =
            table.resources().iter().filter(|other| other.stored_as == own.stored_as && other.gvr != own.gvr);
        same.filter_map(|other| {
            let kind = if subresource.is_empty() {
                other.gvk.clone()
            } else {
                other.subresource(subresource)?.gvk.clone()
            };
            Some((other.gvr.clone(), kind))
        })
        .collect()
    }

    fn resource_of(&self, kind: &GroupVersionKind) -> Option<(GroupVersionResource, bool)> {
        self.kinds.by_gvk(kind).map(|found| (found.gvr.clone(), found.namespaced))
    }

    fn shape(&self, kind: &GroupVersionKind) -> Option<Arc<dyn Shape>> {
        self.kinds.by_gvk(kind).map(|resource| Arc::new(ShapeOf(resource)) as Arc<dyn Shape>)
    }

    fn convert<'a>(
        &'a self,
        object: Value,
        to: &'a GroupVersionKind,
    ) -> BoxFuture<'a, Result<Value, Status>> {
        Box::pin(self.convert_to(object, to))
    }

    fn settle(&self, kind: &GroupVersionKind, object: &mut Value) -> Result<(), Status> {
        match self.kinds.by_gvk(kind) {
            Some(resource) => decode::settle(&resource, object),
            None => Ok(()),
        }
    }
}

/// The type of a resource's objects, kept alive with the resource.
struct ShapeOf(Arc<Resource>);

impl ShapeOf {
    fn shape(&self) -> Option<&dyn Shape> {
        crate::rules::shape(&self.0)
    }
}

impl Shape for ShapeOf {
    fn field(&self, name: &str) -> Option<&dyn Shape> {
        self.shape()?.field(name)
    }

    fn item(&self) -> Option<&dyn Shape> {
        self.shape()?.item()
    }

    fn declares(&self, name: &str) -> bool {
        self.shape().is_some_and(|shape| shape.declares(name))
    }

    fn is_open(&self) -> bool {
        self.shape().is_none_or(Shape::is_open)
    }

    fn is_atomic_map(&self) -> bool {
        self.shape().is_some_and(Shape::is_atomic_map)
    }
}

/// The kind that an object says it is.
pub(crate) fn gvk_of(object: &Value) -> GroupVersionKind {
    let text = |name: &str| object.get(name).and_then(Value::as_str).unwrap_or_default();
    GroupVersionKind::of(text("apiVersion"), text("kind"))
}

/// Says of an object which kind it is.
pub(crate) fn set_type(object: &mut Value, gvk: &GroupVersionKind) {
    if let Some(fields) = object.as_object_mut() {
        fields.insert("kind".to_owned(), json!(gvk.kind));
        fields.insert("apiVersion".to_owned(), json!(gvk.api_version()));
    }
}

/// A `Status` of success about an object.
pub(crate) fn success(resource: &GroupResource, name: &str, uid: &str) -> Value {
    let mut details = json!({"name": name, "kind": resource.resource});
    if let Some(details) = details.as_object_mut() {
        for (name, value) in [("group", resource.group.as_str()), ("uid", uid)] {
            if !value.is_empty() {
                details.insert(name.to_owned(), json!(value));
            }
        }
    }
    json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "details": details})
}

/// The kind of [`success`].
pub(crate) fn status_kind() -> GroupVersionKind {
    GroupVersionKind::new("", "v1", "Status")
}

/// Upstream's words for a lost race.
pub(crate) const MODIFIED: &str =
    "the object has been modified; please apply your changes to the latest version and try again";

/// Objects of a list that are decoded at the same time.
const DECODED_MAX: usize = 500;
