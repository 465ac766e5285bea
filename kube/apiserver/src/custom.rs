//! Custom resources: what a CustomResourceDefinition says about the objects of one version.

use kube_object::field_error::FieldError;
use kube_object::shape::Shape;
use serde_json::Value;

/// One version of a custom kind.
#[derive(Debug)]
pub struct CustomKind {
    /// The name of the definition, `plural.group`.
    pub definition: String,
}

impl CustomKind {
    pub(crate) fn unknown_fields(&self, _object: &Value) -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn settle(&self, _object: &mut Value) {}

    pub(crate) fn shape(&self) -> Option<&dyn Shape> {
        None
    }

    pub(crate) fn prepare_create(&self, _object: &mut Value) {}

    pub(crate) fn prepare_update(&self, _subresource: &str, _new: &mut Value, _old: &Value) {}

    pub(crate) fn validate(&self, _new: &Value, _old: Option<&Value>) -> Vec<FieldError> {
        Vec::new()
    }

    pub(crate) fn scale(&self) -> Option<&kube_crd::definition::ScalePaths> {
        None
    }

    pub(crate) fn warnings(&self) -> Vec<String> {
        Vec::new()
    }

    pub(crate) fn selectable(&self, _object: &Value) -> Vec<(String, String)> {
        Vec::new()
    }

    pub(crate) fn is_selectable(&self, _name: &str) -> bool {
        false
    }
}
