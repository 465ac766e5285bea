//! What is particular to a kind, built-in or custom, behind one door.
//!
//! The registry asks here and never looks whether a kind is built in.

use kube_object::field_error::FieldError;
use kube_object::resource::{GroupResource, GroupVersionKind};
use kube_object::schema_shape;
use kube_object::shape::Shape;
use kube_object::strict;
use serde_json::{Value, json};

use crate::custom;
use crate::kinds::{Model, Resource};
use kube_api::Garbage;
use kube_crd::definition::prepare;

/// The version and kind that the store keeps for a built-in kind.
pub(crate) fn storage_version(gvk: &GroupVersionKind) -> GroupVersionKind {
    kube_api::storage_version(&gvk.group_kind()).unwrap_or_else(|| gvk.clone())
}

/// The words in which Go's decoder refuses a value of the wrong type.
pub(crate) fn type_errors(resource: &Resource, object: &Value) -> Option<String> {
    match &resource.model {
        Model::BuiltIn(_) => schema_shape::type_errors(&resource.gvk, object),
        Model::Custom(custom) => custom.type_errors(object),
    }
}

/// As [`type_errors`], of a tree of values that is not decoded from text. Custom kinds have no
/// types that trees are converted into.
pub(crate) fn conversion_error(resource: &Resource, object: &Value) -> Option<String> {
    match &resource.model {
        Model::BuiltIn(_) => schema_shape::conversion_error(&resource.gvk, object),
        Model::Custom(_) => None,
    }
}

/// Paths of fields that the type does not know.
pub(crate) fn unknown_fields(resource: &Resource, object: &Value) -> Vec<String> {
    match &resource.model {
        Model::BuiltIn(_) => {
            shape(resource).map(|shape| strict::unknown_fields(object, shape)).unwrap_or_default()
        }
        Model::Custom(custom) => custom.unknown_fields(object),
    }
}

/// Brings an object that was just read into the form in which it is kept: known fields only,
/// canonical spellings, defaults.
pub(crate) fn settle(resource: &Resource, object: &mut Value) {
    match &resource.model {
        Model::BuiltIn(_) => {
            schema_shape::normalize(&resource.gvk, object);
            kube_api::decode(&resource.gvk, object);
            kube_api::default(&resource.gvk, object);
            if custom::is_definition(&resource.gvk) {
                kube_crd::default_crd(object);
            }
        }
        Model::Custom(custom) => custom.settle(object),
    }
}

/// The type of the objects.
pub(crate) fn shape(resource: &Resource) -> Option<&dyn Shape> {
    match &resource.model {
        Model::BuiltIn(_) => schema_shape::of(&resource.gvk),
        Model::Custom(custom) => custom.shape(),
    }
}

/// Readies an object in its storage version to be created.
pub(crate) fn prepare_create(resource: &Resource, object: &mut Value) {
    match &resource.model {
        Model::BuiltIn(_) if custom::is_definition(&resource.gvk) => prepare::crd_create(object),
        Model::BuiltIn(_) => {
            let strategy = kube_api::strategy(&resource.storage.group_kind());
            strategy.prepare_create(&resource.storage, object);
        }
        Model::Custom(custom) => custom.prepare_create(object),
    }
}

/// Readies an object in its storage version to replace another; `subresource` is empty for all of it.
pub(crate) fn prepare_update(resource: &Resource, subresource: &str, new: &mut Value, old: &Value) {
    match (&resource.model, subresource) {
        (Model::BuiltIn(_), "") if custom::is_definition(&resource.gvk) => prepare::crd_update(new, old),
        (Model::BuiltIn(_), _) if custom::is_definition(&resource.gvk) => prepare::crd_status(new, old),
        (Model::BuiltIn(_), "") => {
            kube_api::strategy(&resource.storage.group_kind()).prepare_update(&resource.storage, new, old);
        }
        (Model::BuiltIn(_), subresource) => {
            let strategy = kube_api::strategy(&resource.storage.group_kind());
            strategy.prepare_subresource(&resource.storage, subresource, new, old);
        }
        (Model::Custom(custom), subresource) => custom.prepare_update(subresource, new, old),
    }
}

/// What is wrong with an object that is to be created.
pub(crate) fn validate_create(resource: &Resource, object: &Value) -> Vec<FieldError> {
    match &resource.model {
        Model::BuiltIn(_) => {
            let mut errors = kube_api::validate_create(checked_as(resource), object);
            if custom::is_definition(&resource.gvk) {
                errors.extend(kube_crd::validate_crd_with(object, None, custom::rule_compiler()));
            }
            errors.extend(admission::expressions::faults(&resource.gvk, object, None));
            errors
        }
        Model::Custom(custom) => custom.validate(object, None),
    }
}

/// What is wrong with an object that is to replace another.
pub(crate) fn validate_update(
    resource: &Resource,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    match (&resource.model, subresource) {
        (Model::BuiltIn(_), "") => {
            let mut errors = kube_api::validate_update(checked_as(resource), new, old);
            if custom::is_definition(&resource.gvk) {
                errors.extend(kube_crd::validate_crd_with(new, Some(old), custom::rule_compiler()));
            }
            errors.extend(admission::expressions::faults(&resource.gvk, new, Some(old)));
            errors
        }
        (Model::BuiltIn(_), subresource) => {
            kube_api::validate_status_update(&resource.storage, subresource, new, old)
        }
        (Model::Custom(custom), _) => custom.validate(new, Some(old)),
    }
}

/// The kind whose rules hold: the stored one's, but an event is judged by the group that the client speaks.
fn checked_as(resource: &Resource) -> &GroupVersionKind {
    if resource.gvk.group == resource.storage.group { &resource.storage } else { &resource.gvk }
}

/// What a client should know of a write that succeeds.
pub(crate) fn warnings(resource: &Resource, new: &Value, old: Option<&Value>) -> Vec<String> {
    match &resource.model {
        Model::BuiltIn(_) if custom::is_definition(&resource.gvk) => kube_crd::warnings(new, old),
        Model::BuiltIn(_) => kube_api::warnings(&resource.gvk, new, old),
        Model::Custom(custom) => custom.warnings(),
    }
}

/// Whether an update of what does not exist creates it.
pub(crate) fn creates_on_update(resource: &Resource) -> bool {
    let built_in = matches!(resource.model, Model::BuiltIn(_));
    built_in && kube_api::strategy(&resource.storage.group_kind()).allows_create_on_update()
}

/// Whether an update may leave out the resource version.
pub(crate) fn updates_unconditionally(resource: &Resource) -> bool {
    let built_in = matches!(resource.model, Model::BuiltIn(_));
    built_in && kube_api::strategy(&resource.storage.group_kind()).allows_unconditional_update()
}

/// The seconds that an object gets to end, if its kind ends gracefully.
pub(crate) fn grace(resource: &Resource, object: &Value, asked: Option<i64>) -> Option<i64> {
    let options = asked.map_or_else(|| json!({}), |seconds| json!({"gracePeriodSeconds": seconds}));
    match &resource.model {
        Model::BuiltIn(_) => {
            kube_api::strategy(&resource.storage.group_kind()).graceful_deletion(object, &options)
        }
        Model::Custom(_) => None,
    }
}

/// What becomes of dependents where a deletion does not say.
pub(crate) fn garbage(resource: &Resource) -> Garbage {
    match &resource.model {
        Model::BuiltIn(_) => kube_api::strategy(&resource.storage.group_kind()).default_garbage_collection(),
        Model::Custom(_) => Garbage::Delete,
    }
}

/// Names and values of the fields that selectors may name, beside those of the metadata; under the
/// names of every resource that shows the same stored object.
pub(crate) fn selectable(resource: &Resource, object: &Value) -> Vec<(String, String)> {
    match &resource.model {
        Model::BuiltIn(_) => kube_api::selectable_values(&resource.group_kind(), object),
        Model::Custom(custom) => custom.selectable(object),
    }
}

/// Whether selectors may name a field.
pub(crate) fn is_selectable(resource: &Resource, name: &str) -> bool {
    if name == "metadata.name" || (name == "metadata.namespace" && resource.namespaced) {
        return true;
    }
    match &resource.model {
        Model::BuiltIn(_) => kube_api::selectable_fields(&resource.group_kind()).contains(&name),
        Model::Custom(custom) => custom.is_selectable(name),
    }
}

/// What a client is told of a selector over an unknown field.
pub(crate) fn unsupported_field(resource: &Resource, name: &str) -> String {
    kube_api::unsupported_field(&resource.group_kind(), name)
}

/// Whether a deletion is answered with the object instead of a `Status`.
pub(crate) fn returns_deleted(resource: &GroupResource) -> bool {
    const CORE: [&str; 7] = [
        "persistentvolumes",
        "persistentvolumeclaims",
        "pods",
        "podtemplates",
        "resourcequotas",
        "services",
        "serviceaccounts",
    ];
    const STORAGE: [&str; 4] = ["csidrivers", "csinodes", "storageclasses", "volumeattachments"];
    match resource.group.as_str() {
        "" => CORE.contains(&resource.resource.as_str()),
        "storage.k8s.io" => STORAGE.contains(&resource.resource.as_str()),
        _ => false,
    }
}
