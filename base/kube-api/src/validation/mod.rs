//! What is wrong with an object, field by field, in the API's words.
//!
//! Every object passes the rules of its metadata, then those of its kind. A kind's rules
//! are a [`Rules`] found by group and kind; they hold for all its versions.

mod certificates;
mod cluster;
mod common;
mod config;
mod device;
mod endpoints;
mod event;
mod flow_control;
mod ingress;
mod limits;
pub(crate) mod metadata;
mod networking;
mod path;
mod pod;
mod pod_group;
mod policy;
mod rbac;
mod registration;
mod review;
mod scheduling;
mod schema;
mod service;
mod storage;
mod table;
mod volume;
mod webhook;
mod workload;

#[cfg(test)]
mod sound;
#[cfg(test)]
mod tests;

use kube_object::field_error::FieldError;
use kube_object::resource::GroupVersionKind;
use serde_json::Value;

pub use metadata::{validate_metadata, validate_metadata_update};
pub use path::PathRef;

/// Where rules put what is wrong.
pub(crate) type Errors = Vec<FieldError>;

/// What a name of a kind must be; the flag says that it is a prefix to be completed.
pub(crate) type NameRule = fn(&str, bool) -> Vec<String>;

/// The rules of one kind.
#[derive(Clone, Copy)]
pub(crate) struct Rules {
    /// What its names must be.
    pub(crate) name: NameRule,
    /// An object on its own: on create, and again on every update unless [`Rules::update`]
    /// has a narrower look.
    pub(crate) create: fn(&GroupVersionKind, &Value, &mut Errors),
    /// The change from the third to the second argument: beside nothing that `create` says;
    /// who wants that too calls it.
    pub(crate) update: fn(&GroupVersionKind, &Value, &Value, &mut Errors),
    /// The change that a subresource makes.
    pub(crate) subresource: fn(&GroupVersionKind, &str, &Value, &Value, &mut Errors),
}

/// What is wrong with an object that is to be created.
pub fn validate_create(gvk: &GroupVersionKind, object: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let rules = table::rules(gvk);
    if !review::is_review(gvk) {
        metadata::check(gvk, object, rules.name, &mut errors);
    }
    (rules.create)(gvk, object, &mut errors);
    if table::needs_schema(gvk) {
        schema::check(gvk, object, &mut errors);
    }
    errors
}

/// What is wrong with an object that is to replace another.
pub fn validate_update(gvk: &GroupVersionKind, new: &Value, old: &Value) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let rules = table::rules(gvk);
    metadata::check_update(new, old, &mut errors);
    (rules.update)(gvk, new, old, &mut errors);
    errors
}

/// What is wrong with what a subresource, such as `status`, makes of an object.
pub fn validate_status_update(
    gvk: &GroupVersionKind,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let mut errors = Errors::new();
    let rules = table::rules(gvk);
    metadata::check_update(new, old, &mut errors);
    (rules.subresource)(gvk, subresource, new, old, &mut errors);
    errors
}
