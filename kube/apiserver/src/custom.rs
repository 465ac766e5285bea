//! Custom resources: what a CustomResourceDefinition says about the objects of one version.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use admission::callout::Callout;
use bytes::Bytes;
use client::Item;
use kube_api::PathRef;
use kube_crd::convert::{self, ConversionError};
use kube_crd::definition::{Conversion, ScalePaths, Scope};
use kube_crd::rules::RuleCompiler;
use kube_crd::value::Malformed;
use kube_crd::{Definition, Version};
use kube_object::cluster::Cluster;
use kube_object::field_error::FieldError;
use kube_object::names;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::shape::Shape;
use kube_object::status::Status;
use serde_json::Value;

use crate::kinds::{Model, Resource, SubresourceFacts};
use crate::registry::random;

/// One version of a custom kind.
pub struct CustomKind {
    /// The definition's object, for what is published of it.
    pub source: Arc<Item>,
    definition: Arc<Definition>,
    /// Which of the definition's versions this is.
    at: usize,
    /// Whether the definition has changed since it was made: objects may have been written under
    /// another schema then, or in another version.
    changed: bool,
    /// The way to the webhook that converts.
    callout: OnceLock<Callout>,
}

impl CustomKind {
    /// The definition.
    pub fn definition(&self) -> &Arc<Definition> {
        &self.definition
    }

    /// The version; none only if the definition were not the one that this was made of.
    pub fn version(&self) -> Option<&Version> {
        self.definition.versions().get(self.at)
    }

    /// Whether stored objects must be looked at before they are shown.
    pub(crate) fn reads_with_care(&self) -> bool {
        self.changed
    }

    /// An object in another version of the kind.
    pub(crate) async fn convert(
        &self,
        cluster: &dyn Cluster,
        object: Value,
        version: &str,
    ) -> Result<Value, Status> {
        let objects = self.convert_all(cluster, vec![object], version).await?;
        objects.into_iter().next().ok_or_else(|| Status::internal("a conversion gave nothing"))
    }

    /// Objects in another version of the kind, in their order; a webhook is asked once for all.
    pub(crate) async fn convert_all(
        &self,
        cluster: &dyn Cluster,
        objects: Vec<Value>,
        version: &str,
    ) -> Result<Vec<Value>, Status> {
        // Upstream gives these errors no reason, and its clients show the sentence as it is.
        let failed = |error: ConversionError| Status::new(500, "", error.to_string());
        match convert::plan(&self.definition, objects, version, &random::uid()).map_err(failed)? {
            convert::Plan::Done(objects) => Ok(objects),
            convert::Plan::Ask(review) => {
                let answer = self.ask(cluster, &review).await;
                let answer = answer.map_err(|why| failed(review.unreachable(&why)))?;
                review.finish(&answer).map_err(failed)
            }
        }
    }

    async fn ask(&self, cluster: &dyn Cluster, review: &convert::Review) -> Result<Value, String> {
        let Conversion::Webhook { client_config, .. } = self.definition.conversion() else {
            return Err("there is no webhook".to_owned());
        };
        let callout = match self.callout.get() {
            Some(callout) => callout,
            None => {
                let made = Callout::new(client_config, &[]).map_err(|error| error.to_string())?;
                self.callout.get_or_init(|| made)
            }
        };
        let body = Bytes::from(review.request().to_string());
        let answer = callout.post(cluster, body, WEBHOOK_MAX).await.map_err(|error| error.to_string())?;
        serde_json::from_slice(&answer).map_err(|error| error.to_string())
    }

    pub(crate) fn type_errors(&self, object: &Value) -> Option<String> {
        let schema = &self.version()?.schema;
        let admitted = schema.admit(&mut object.clone(), Malformed::Refuse);
        admitted.err().map(|error| error.to_string())
    }

    pub(crate) fn unknown_fields(&self, object: &Value) -> Vec<String> {
        self.version().map(|version| version.schema.unknown_fields(object)).unwrap_or_default()
    }

    pub(crate) fn settle(&self, object: &mut Value) {
        let Some(version) = self.version() else { return };
        // What is refused has been refused before.
        drop(version.schema.admit(object, Malformed::Drop));
        version.schema.default(object);
    }

    pub(crate) fn shape(&self) -> Option<&dyn Shape> {
        self.version().map(|version| &*version.schema as &dyn Shape)
    }

    pub(crate) fn prepare_create(&self, object: &mut Value) {
        if let Some(version) = self.version() {
            version.prepare_create(object);
        }
    }

    pub(crate) fn prepare_update(&self, subresource: &str, new: &mut Value, old: &Value) {
        match (self.version(), subresource) {
            (Some(version), "status") => version.prepare_status(new, old),
            (Some(version), _) => version.prepare_update(new, old),
            (None, _) => {}
        }
    }

    pub(crate) fn validate(&self, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
        let Some(version) = self.version() else { return Vec::new() };
        let none = Value::Null;
        let metadata = new.get("metadata").unwrap_or(&none);
        let path = PathRef::Root("metadata");
        let namespaced = self.definition.scope() == Scope::Namespaced;
        let mut errors = match old.and_then(|old| old.get("metadata")) {
            Some(old) => kube_api::validate_metadata_update(metadata, old, &path),
            None => kube_api::validate_metadata(metadata, namespaced, object_name, &path),
        };
        errors.extend(version.schema.validate(new, old, ""));
        errors.extend(version.schema.check_embedded(new));
        errors.extend(version.schema.check_lists(new));
        if let Some(scale) = &version.scale {
            errors.extend(scale.check(new));
        }
        if let Some(rules) = version.rules.as_ref().filter(|_| errors.is_empty()) {
            let mut budget = kube_crd::rules::OBJECT_BUDGET;
            errors.extend(rules.validate(new, old, &mut budget));
        }
        errors
    }

    pub(crate) fn scale(&self) -> Option<&ScalePaths> {
        self.version()?.scale.as_ref()
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        self.version().and_then(Version::warning).map(str::to_owned).into_iter().collect()
    }

    /// Of all versions: what is read of an object is kept for those who ask in another one.
    pub(crate) fn selectable(&self, object: &Value) -> Vec<(String, String)> {
        let mut values: Vec<(String, String)> = Vec::new();
        for field in self.definition.versions().iter().flat_map(|version| &version.selectable_fields) {
            if values.iter().all(|(name, _)| *name != field.name) {
                values.push((field.name.clone(), field.value(object)));
            }
        }
        values
    }

    pub(crate) fn is_selectable(&self, name: &str) -> bool {
        let fields = self.version().map_or(&[][..], |version| &version.selectable_fields);
        fields.iter().any(|field| field.name == name)
    }
}

/// The served resources of a definition, the best version first.
pub(crate) fn resources(
    source: &Arc<Item>,
    definition: &Arc<Definition>,
    changed: bool,
) -> Vec<Arc<Resource>> {
    let storage = definition.storage_version().map_or("", |version| version.name.as_str());
    let at = |served: &&Version| definition.versions().iter().position(|version| version.name == served.name);
    let served = definition.served_versions();
    let made = served.iter().filter_map(|version| Some((at(version)?, *version))).map(|(at, version)| {
        let gvk = GroupVersionKind::new(definition.group(), &version.name, &definition.names().kind);
        let custom = CustomKind {
            source: Arc::clone(source),
            definition: Arc::clone(definition),
            at,
            callout: OnceLock::new(),
            changed: changed || version.name != storage || definition.versions().len() > 1,
        };
        Arc::new(resource(definition, version, gvk, storage, custom))
    });
    made.collect()
}

fn resource(
    definition: &Definition,
    version: &Version,
    gvk: GroupVersionKind,
    storage: &str,
    custom: CustomKind,
) -> Resource {
    let names = definition.names();
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let part = |name: &str, gvk: GroupVersionKind| SubresourceFacts {
        name: name.to_owned(),
        gvk,
        verbs: owned(&["get", "patch", "update"]),
    };
    let mut subresources = Vec::new();
    if version.status {
        subresources.push(part("status", gvk.clone()));
    }
    if version.scale.is_some() {
        subresources.push(part("scale", GroupVersionKind::new("autoscaling", "v1", "Scale")));
    }
    Resource {
        gvr: GroupVersionResource::new(definition.group(), &version.name, &names.plural),
        list_kind: names.list_kind.clone(),
        singular: names.singular.clone(),
        short_names: names.short_names.clone(),
        categories: names.categories.clone(),
        verbs: owned(&["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]),
        namespaced: definition.scope() == Scope::Namespaced,
        subresources,
        storage: GroupVersionKind { version: storage.to_owned(), ..gvk.clone() },
        stored_as: GroupResource::new(definition.group(), &names.plural),
        gvk,
        model: Model::Custom(Arc::new(custom)),
    }
}

/// What compiles the rules of definitions.
pub(crate) fn rule_compiler() -> Option<&'static dyn RuleCompiler> {
    Some(&kube_crd::cel::CelCompiler)
}

/// Whether an object's JSON says that it is of a kind.
pub(crate) fn is_of(item: &Item, gvk: &GroupVersionKind) -> bool {
    let says = |member, word: &str| item.part(&[member]) == format!("\"{word}\"").as_bytes();
    says("kind", &gvk.kind) && says("apiVersion", &gvk.api_version())
}

fn object_name(name: &str, prefix: bool) -> Vec<String> {
    if prefix {
        names::dns1123_subdomain(&names::mask_trailing_dash(name))
    } else {
        names::dns1123_subdomain(name)
    }
}

/// Whether a kind is that of definitions, whose rules are not in the table of built-in kinds.
pub(crate) fn is_definition(gvk: &GroupVersionKind) -> bool {
    gvk.group == "apiextensions.k8s.io" && gvk.kind == "CustomResourceDefinition"
}

impl std::fmt::Debug for CustomKind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CustomKind")
            .field("source", &self.source)
            .field("at", &self.at)
            .finish_non_exhaustive()
    }
}

/// Upstream's patience with webhooks that convert.
const WEBHOOK_MAX: Duration = Duration::from_secs(30);
