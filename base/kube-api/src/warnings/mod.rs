//! What a client should know of a write that succeeds.

use kube_object::resource::GroupVersionKind;
use serde_json::Value;

/// Sentences for `Warning` headers: deprecated versions and fields of a new object.
pub fn warnings(_gvk: &GroupVersionKind, _new: &Value, _old: Option<&Value>) -> Vec<String> {
    Vec::new()
}
