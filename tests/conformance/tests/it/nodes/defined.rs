//! Custom resources of a test's own.

use serde_json::{Value, json};

use super::Shared;
use crate::rig::{Rig, unique, wait_for};

const DEFINITIONS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// A definition of a kind in a group of its own; it ends with this.
pub(crate) struct Defined<'a> {
    rig: &'a Rig,
    group: String,
    plural: String,
    kind: String,
}

impl<'a> Defined<'a> {
    /// Makes it, its first version the stored one, and waits until all are served; `more` goes into the
    /// specification.
    pub(crate) fn new(cluster: &'a Shared, versions: &[(&str, Value)], more: Value) -> Self {
        Self::with(cluster.rig(), versions, more)
    }

    /// The same at any server.
    pub(crate) fn with(rig: &'a Rig, versions: &[(&str, Value)], more: Value) -> Self {
        let name = unique("e2e").replace('-', "");
        let (group, plural) = (format!("{name}.example.com"), format!("{name}s"));
        let kind = format!("E2e{}", name.trim_start_matches("e2e"));
        let list: Vec<Value> = versions
            .iter()
            .enumerate()
            .map(|(at, (version, schema))| {
                json!({ "name": version, "served": true, "storage": at == 0,
                    "schema": { "openAPIV3Schema": schema } })
            })
            .collect();
        let mut object = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": { "name": format!("{plural}.{group}") },
            "spec": { "group": group, "scope": "Namespaced", "versions": list,
                "names": { "plural": plural, "singular": name, "kind": kind, "listKind": format!("{kind}List") } },
        });
        for (name, value) in more.as_object().into_iter().flatten() {
            object["spec"][name] = value.clone();
        }
        rig.create(DEFINITIONS, &object).ok();
        let made = Self { rig, group, plural, kind };
        for (version, _) in versions {
            let path = format!("/apis/{}/{version}/{}", made.group, made.plural);
            wait_for(&path, || rig.get(&path).code == 200);
        }
        made
    }

    /// The definition's own path.
    pub(crate) fn path(&self) -> String {
        format!("{DEFINITIONS}/{}.{}", self.plural, self.group)
    }

    pub(crate) fn group(&self) -> &str {
        &self.group
    }

    pub(crate) fn plural(&self) -> &str {
        &self.plural
    }

    pub(crate) fn kind(&self) -> &str {
        &self.kind
    }

    /// Where its objects of a namespace are.
    pub(crate) fn objects(&self, version: &str, namespace: &str) -> String {
        format!("/apis/{}/{version}/namespaces/{namespace}/{}", self.group, self.plural)
    }

    pub(crate) fn object(&self, version: &str, name: &str) -> Value {
        json!({ "apiVersion": format!("{}/{version}", self.group), "kind": self.kind, "metadata": { "name": name } })
    }
}

impl Drop for Defined<'_> {
    fn drop(&mut self) {
        drop(self.rig.delete(&self.path()));
    }
}
