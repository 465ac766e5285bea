//! Defaults: what an object has where its author said nothing.

use kube_object::resource::GroupVersionKind;
use serde_json::Value;

/// Fills in what upstream fills in on decode and on reading from storage.
pub fn default(_gvk: &GroupVersionKind, _object: &mut Value) {}
