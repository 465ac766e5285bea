//! The aggregated form: `apidiscovery.k8s.io` APIGroupDiscoveryList.

use serde_json::{Map, Value, json};

use super::{Foreign, groups};
use crate::kinds::{Resource, Table};

/// A version of the document; both say the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// `v2`.
    V2,
    /// `v2beta1`.
    V2Beta1,
}

impl Version {
    /// As in `apiVersion`.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::V2 => "apidiscovery.k8s.io/v2",
            Self::V2Beta1 => "apidiscovery.k8s.io/v2beta1",
        }
    }

    /// The `Content-Type` of the document.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::V2 => "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList",
            Self::V2Beta1 => "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList",
        }
    }
}

pub(super) fn document(table: &Table, core: bool, version: Version, foreign: &[Foreign]) -> Value {
    let items: Vec<Value> = if core {
        vec![json!({"metadata": {"creationTimestamp": null}, "versions": [entry(table, "", "v1")]})]
    } else {
        let groups = groups::sorted(table, foreign);
        let group = |group: &super::Group| {
            let versions: Vec<Value> = group
                .versions
                .iter()
                .map(|version| {
                    let other = |it: &&Foreign| it.group == group.name && it.version == *version;
                    match foreign.iter().find(other) {
                        Some(other) => foreign_entry(other),
                        None => entry(table, &group.name, version),
                    }
                })
                .collect();
            json!({"metadata": {"name": group.name, "creationTimestamp": null}, "versions": versions})
        };
        groups.iter().map(group).collect()
    };
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": version.api_version(), "metadata": {}, "items": items,
    })
}

fn foreign_entry(other: &Foreign) -> Value {
    match &other.resources {
        Some(value) => value.clone(),
        None => json!({"version": other.version, "freshness": "Stale"}),
    }
}

/// A group's version with its resources.
pub(crate) fn entry(table: &Table, group: &str, version: &str) -> Value {
    let served = |resource: &Resource| resource.gvr.group == group && resource.gvr.version == version;
    let mut found: Vec<_> = table.resources().iter().filter(|resource| served(resource)).collect();
    found.sort_by(|a, b| a.gvr.resource.cmp(&b.gvr.resource));
    let resources: Vec<Value> = found.iter().map(|resource| resource_entry(resource)).collect();
    json!({"version": version, "freshness": "Current", "resources": resources})
}

fn resource_entry(resource: &Resource) -> Value {
    let scope = if resource.namespaced { "Namespaced" } else { "Cluster" };
    let mut entry = Map::new();
    entry.insert("resource".to_owned(), json!(resource.gvr.resource));
    entry.insert("responseKind".to_owned(), kind(&resource.gvk));
    entry.insert("scope".to_owned(), json!(scope));
    entry.insert("singularResource".to_owned(), json!(resource.singular));
    entry.insert("verbs".to_owned(), json!(resource.verbs));
    if !resource.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(resource.short_names));
    }
    if !resource.categories.is_empty() {
        entry.insert("categories".to_owned(), json!(resource.categories));
    }
    if !resource.subresources.is_empty() {
        let parts: Vec<Value> = resource
            .subresources
            .iter()
            .map(|part| json!({"subresource": part.name, "responseKind": kind(&part.gvk), "verbs": part.verbs}))
            .collect();
        entry.insert("subresources".to_owned(), Value::Array(parts));
    }
    Value::Object(entry)
}

fn kind(gvk: &kube_object::resource::GroupVersionKind) -> Value {
    json!({"group": gvk.group, "version": gvk.version, "kind": gvk.kind})
}
