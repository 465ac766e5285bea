//! What is particular to the built-in kinds of Kubernetes and no table can say.
//!
//! Beside the facts of `kube-schema` stand here the strategies (what a write may
//! change), defaults that depend on other fields, validation in the API's words,
//! selectable fields, printed columns, and conversion between versions. All of it is
//! pure: objects are JSON values, the time is an argument, and no value, however
//! wrong, makes a function panic.

mod columns;
mod convert;
pub mod cron;
mod defaults;
#[cfg(test)]
mod exercise;
mod fields;
mod qos;
pub mod quantity;
pub mod quota;
mod strategy;
mod time_zones;
mod validation;
mod value;
mod warnings;

pub use columns::{Column, cells, columns, human_duration, human_seconds};
pub use convert::{convert, served_versions, storage_version};
pub use defaults::default;
pub use fields::{
    IndexedField, indexed_field, selectable_field, selectable_fields, selectable_values, unsupported_field,
};
pub use qos::class as qos_class;
pub use strategy::{Garbage, Strategy, csr_condition_times, csr_requester, decode, strategy};
pub use validation::{
    PathRef, validate_create, validate_metadata, validate_metadata_update, validate_status_update,
    validate_update,
};
pub use warnings::{deprecated_version, warnings};
