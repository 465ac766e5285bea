//! What tables and documents need of a custom kind.

use kube_crd::columns::Column;
use serde_json::Value;

use crate::custom::CustomKind;

impl CustomKind {
    /// Columns of tables, without the name.
    pub(crate) fn columns(&self) -> &[Column] {
        &[]
    }

    /// The schema as it is published.
    pub(crate) fn openapi(&self, _v2: bool) -> Value {
        serde_json::json!({"type": "object"})
    }

    /// What changes when the published schema does.
    pub(crate) fn fingerprint(&self) -> String {
        String::new()
    }
}
