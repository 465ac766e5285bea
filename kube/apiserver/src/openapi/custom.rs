//! What tables and documents need of a custom kind.

use kube_crd::columns::Column;
use kube_crd::publish::{self, Flavour, Words};
use kube_docs::Docs;
use serde_json::Value;

use crate::custom::CustomKind;
use crate::kinds::Resource;

impl CustomKind {
    /// Columns of tables, without the name.
    pub(crate) fn columns(&self) -> &[Column] {
        self.version().map(|version| version.columns.as_slice()).unwrap_or_default()
    }

    /// What changes when the published schema does.
    pub(crate) fn fingerprint(&self) -> String {
        format!("{}@{}", self.source.uid(), self.source.revision())
    }
}

/// The definitions of a custom resource's objects and of their lists.
pub(super) fn definitions(resource: &Resource, kind: &CustomKind, flavour: Flavour) -> Vec<Value> {
    let mut docs = Docs::new();
    let map = docs.schema("io.k8s.api.core.v1.ConfigMap").unwrap_or_default();
    let word = |name: &str| {
        let path = format!("/properties/{name}/description");
        map.pointer(&path).and_then(Value::as_str).unwrap_or_default()
    };
    let words = Words {
        api_version: word("apiVersion"),
        kind: word("kind"),
        metadata: word("metadata"),
        list_metadata: "Standard list metadata.",
    };
    let crd = kind.source.value();
    let version = &resource.gvr.version;
    let object = publish::schema(&crd, version, flavour, &words);
    let list = publish::list_schema(&crd, version, flavour, &words);
    [object, list].into_iter().flatten().collect()
}
