//! OpenAPI: what every kind looks like, and what can be done with it, in versions 2 and 3.
//!
//! Documents are made when they are asked for and kept as compressed bytes only: most servers
//! are asked rarely, and the documents are many times larger than what they are made from.

mod custom;
mod document;
mod paths;
mod protobuf;
mod schema;
mod serve;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use sha2::{Digest as _, Sha256};

pub(crate) use serve::serve;

use crate::kinds::{Kinds, Model, Resource, Table};

/// Makes and keeps the documents.
pub struct OpenApi {
    kinds: Arc<Kinds>,
    /// What the server answers besides.
    others: Vec<Arc<Resource>>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    change: u64,
    hashes: HashMap<String, Arc<str>>,
    documents: HashMap<String, Made>,
}

/// A document as it is kept: compressed.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) gzip: Bytes,
    pub(crate) hash: Arc<str>,
}

/// The version 2 document among the others.
const V2: &str = "v2";
/// The same in protobuf.
const V2_PROTOBUF: &str = "v2.pb";

impl OpenApi {
    /// Over a live table of kinds, and others that stay as they are.
    pub fn new(kinds: Arc<Kinds>, others: Vec<Arc<Resource>>) -> Self {
        Self { kinds, others, kept: Mutex::default() }
    }

    fn table(&self) -> Table {
        Table::new(self.kinds.table().resources().iter().chain(&self.others).cloned())
    }

    /// The version 3 documents: their names, such as `apis/apps/v1`, and their hashes.
    fn index(&self) -> Vec<(String, Arc<str>)> {
        let table = self.table();
        let mut names = Vec::new();
        for (group, versions) in table.groups() {
            names.extend(versions.iter().map(|version| name_of(&group, version)));
        }
        names.sort();
        names.into_iter().map(|name| (name.clone(), self.hash(&table, &name))).collect()
    }

    /// The hash of a document, from what it is made of: no document is made for it.
    fn hash(&self, table: &Table, name: &str) -> Arc<str> {
        let change = *self.kinds.changes().borrow();
        let mut kept = self.kept(change);
        let made = || hash_of(table, name);
        Arc::clone(kept.hashes.entry(name.to_owned()).or_insert_with(made))
    }

    fn document(&self, name: &str) -> Option<Made> {
        let change = *self.kinds.changes().borrow();
        if let Some(made) = self.kept(change).documents.get(name) {
            return Some(made.clone());
        }
        let table = self.table();
        let gzip = match (name, group_version(name)) {
            (V2, _) => document::v2(&table)?,
            (V2_PROTOBUF, _) => document::v2_protobuf(&table)?,
            (_, Some((group, version))) => document::v3(&table, group, version)?,
            (_, None) => return None,
        };
        let made = Made { gzip: gzip.into(), hash: self.hash(&table, name) };
        self.kept(change).documents.insert(name.to_owned(), made.clone());
        Some(made)
    }

    fn kept(&self, change: u64) -> std::sync::MutexGuard<'_, Kept> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.change != change {
            // Hashes of what did not change come out the same; only custom kinds change.
            kept.change = change;
            kept.hashes.clear();
            kept.documents.clear();
        }
        kept
    }
}

/// `api/v1`, `apis/apps/v1`.
fn name_of(group: &str, version: &str) -> String {
    if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") }
}

fn group_version(name: &str) -> Option<(&str, &str)> {
    match name.split('/').collect::<Vec<_>>().as_slice() {
        ["api", version] => Some(("", version)),
        ["apis", group, version] => Some((group, version)),
        _ => None,
    }
}

fn hash_of(table: &Table, name: &str) -> Arc<str> {
    let mut hasher = Sha256::new();
    hasher.update(env!("CARGO_PKG_VERSION"));
    hasher.update(kube_schema::Schema::builtin().release());
    let group_version = group_version(name);
    let part = |resource: &&Arc<Resource>| {
        group_version
            .is_none_or(|(group, version)| resource.gvr.group == group && resource.gvr.version == version)
    };
    for resource in table.resources().iter().filter(part) {
        hasher.update(&resource.gvr.resource);
        hasher.update([0]);
        hasher.update(&resource.gvr.version);
        if let Model::Custom(kind) = &resource.model {
            hasher.update(kind.fingerprint());
        }
    }
    let text: String = hasher.finalize().iter().map(|byte| format!("{byte:02X}")).collect();
    text.into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::io::Read as _;

    use serde_json::Value;

    use super::*;

    fn document(openapi: &OpenApi, name: &str) -> Value {
        let made = openapi.document(name).unwrap();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&made.gzip[..]).read_to_string(&mut text).unwrap();
        serde_json::from_str(&text).unwrap()
    }

    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(fields) => {
                if let Some(Value::String(reference)) = fields.get("$ref") {
                    found.insert(reference.clone());
                }
                fields.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }

    /// All references lead somewhere.
    fn check(document: &Value) {
        let mut found = BTreeSet::new();
        references(document, &mut found);
        for reference in found {
            let pointer = reference.strip_prefix('#').unwrap();
            let target = document.pointer(pointer);
            // JSONSchemaProps has fields of the names `$ref` and `$schema`.
            assert!(target.is_some(), "{reference}");
        }
    }

    #[test]
    fn documents_are_whole() {
        let openapi = OpenApi::new(Arc::new(Kinds::new()), Vec::new());
        for (name, _) in openapi.index() {
            check(&document(&openapi, &name));
        }
        let v2 = document(&openapi, V2);
        check(&v2);
        let kinds = openapi.kinds.table();
        let definitions = v2["definitions"].as_object().unwrap();
        for resource in kinds.resources() {
            let has = |definition: &Value| {
                let kinds = definition["x-kubernetes-group-version-kind"].as_array();
                kinds.into_iter().flatten().any(|kind| {
                    kind["kind"] == *resource.gvk.kind
                        && kind["group"] == *resource.gvk.group
                        && kind["version"] == *resource.gvk.version
                })
            };
            assert!(definitions.values().any(has), "{:?}", resource.gvk);
        }
    }

    #[test]
    fn says_what_clients_look_for() {
        let openapi = OpenApi::new(Arc::new(Kinds::new()), Vec::new());
        let core = document(&openapi, "api/v1");
        let patch = &core["paths"]["/api/v1/namespaces/{namespace}/pods/{name}"]["patch"];
        let parameters = patch["parameters"].as_array().unwrap();
        assert!(parameters.iter().any(|parameter| parameter["name"] == "fieldValidation"));
        assert_eq!(patch["x-kubernetes-group-version-kind"]["kind"], "Pod");
        let spec = &core["components"]["schemas"]["io.k8s.api.core.v1.PodSpec"];
        assert_eq!(spec["required"], serde_json::json!(["containers"]));
        let containers = &spec["properties"]["containers"];
        assert_eq!(containers["x-kubernetes-patch-merge-key"], "name");
        assert_eq!(containers["x-kubernetes-list-type"], "map");
        assert!(containers["description"].as_str().unwrap().contains("containers belonging to the pod"));
        assert!(openapi.document("api/v2").is_none());
        assert!(openapi.document("nonsense").is_none());
        let index = openapi.index();
        assert!(index.iter().any(|(name, _)| name == "apis/apps/v1"));
    }
}
