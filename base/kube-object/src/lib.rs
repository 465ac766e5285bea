//! Objects of the Kubernetes API, and pure functions over them.
//!
//! Reading them with limits, the names and selectors that point at them, the four ways to patch
//! one, and server-side apply. What a field's type says about lists and merge
//! keys comes in through the `Shape` trait.
//!
//! Data only: nothing here knows HTTP, the store, a clock or randomness.

pub mod apply;
pub mod cbor;
pub mod cluster;
pub mod field_error;
pub mod field_selector;
pub mod go_text;
pub mod json;
pub mod json_patch;
pub mod label_selector;
pub mod merge_patch;
pub mod names;
pub mod pointer;
pub mod protobuf;
pub mod quantity;
pub mod resource;
pub mod schema_shape;
pub mod shape;
pub mod status;
pub mod strategic;
pub mod strict;
pub mod time;
pub mod user;
pub mod yaml;
