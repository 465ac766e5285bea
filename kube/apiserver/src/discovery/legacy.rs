//! The old form: a document for each level of the path.

use base64::Engine as _;
use serde_json::{Map, Value, json};
use sha2::{Digest as _, Sha256};

use super::Group;
use crate::kinds::{Resource, SubresourceFacts, Table};

pub(super) fn core_versions(server_address: &str) -> Value {
    json!({
        "kind": "APIVersions", "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    })
}

pub(super) fn group_list(groups: &[Group]) -> Value {
    let groups: Vec<Value> = groups.iter().map(group_fields).collect();
    json!({"kind": "APIGroupList", "apiVersion": "v1", "groups": groups})
}

pub(super) fn group(group: &Group) -> Value {
    let mut value = group_fields(group);
    if let Some(fields) = value.as_object_mut() {
        fields.insert("kind".to_owned(), json!("APIGroup"));
        fields.insert("apiVersion".to_owned(), json!("v1"));
    }
    value
}

fn group_fields(group: &Group) -> Value {
    let version =
        |version: &String| json!({"groupVersion": format!("{}/{version}", group.name), "version": version});
    let versions: Vec<Value> = group.versions.iter().map(version).collect();
    let preferred = versions.first().cloned().unwrap_or_default();
    json!({"name": group.name, "versions": versions, "preferredVersion": preferred})
}

/// The `APIResourceList` of a group's version.
pub(crate) fn resources(table: &Table, group: &str, version: &str) -> Option<Value> {
    let served = |resource: &Resource| resource.gvr.group == group && resource.gvr.version == version;
    let mut found: Vec<_> = table.resources().iter().filter(|resource| served(resource)).collect();
    let first = found.first()?;
    let group_version = first.gvr.api_version();
    found.sort_by(|a, b| a.gvr.resource.cmp(&b.gvr.resource));
    let mut resources = Vec::new();
    for resource in found {
        resources.push(resource_entry(resource));
        let parts = resource.subresources.iter().map(|part| subresource_entry(resource, part));
        resources.extend(parts);
    }
    let mut list = json!({"kind": "APIResourceList", "groupVersion": group_version, "resources": resources});
    // Upstream's core list has no apiVersion.
    if let (false, Some(fields)) = (group.is_empty(), list.as_object_mut()) {
        fields.insert("apiVersion".to_owned(), json!("v1"));
    }
    Some(list)
}

fn resource_entry(resource: &Resource) -> Value {
    let mut entry = Map::new();
    entry.insert("name".to_owned(), json!(resource.gvr.resource));
    entry.insert("singularName".to_owned(), json!(resource.singular));
    entry.insert("namespaced".to_owned(), json!(resource.namespaced));
    entry.insert("kind".to_owned(), json!(resource.gvk.kind));
    entry.insert("verbs".to_owned(), json!(resource.verbs));
    if !resource.short_names.is_empty() {
        entry.insert("shortNames".to_owned(), json!(resource.short_names));
    }
    if !resource.categories.is_empty() {
        entry.insert("categories".to_owned(), json!(resource.categories));
    }
    if resource.is_stored() {
        let storage = &resource.storage;
        let hash = storage_version_hash(&storage.group, &storage.version, &storage.kind);
        entry.insert("storageVersionHash".to_owned(), json!(hash));
    }
    Value::Object(entry)
}

fn subresource_entry(resource: &Resource, part: &SubresourceFacts) -> Value {
    let mut entry = json!({
        "name": format!("{}/{}", resource.gvr.resource, part.name), "singularName": "",
        "namespaced": resource.namespaced, "kind": part.gvk.kind, "verbs": part.verbs,
    });
    let same = part.gvk.group == resource.gvk.group && part.gvk.version == resource.gvk.version;
    if let (false, Some(fields)) = (same, entry.as_object_mut()) {
        fields.insert("group".to_owned(), json!(part.gvk.group));
        fields.insert("version".to_owned(), json!(part.gvk.version));
    }
    entry
}

/// Upstream's fingerprint of the version that the store keeps.
pub(super) fn storage_version_hash(group: &str, version: &str, kind: &str) -> String {
    let digest = Sha256::digest(format!("{group}/{version}/{kind}"));
    base64::engine::general_purpose::STANDARD.encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_as_upstream() {
        assert_eq!(storage_version_hash("", "v1", "Pod"), "xPOwRZ+Yhw8=");
        assert_eq!(storage_version_hash("", "v1", "ConfigMap"), "qFsyl6wFWjQ=");
        assert_eq!(storage_version_hash("apps", "v1", "Deployment"), "8aSe+NMegvE=");
    }
}
