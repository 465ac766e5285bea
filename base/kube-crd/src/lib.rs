//! Custom resource definitions: structural schemas, pruning, defaulting, validation, conversion, publication.
//!
//! Pure: no clock, no randomness, no I/O. The server asks, this crate answers.

pub mod columns;
pub mod definition;
pub mod json_path;
mod path;
pub mod rules;
pub mod schema;
pub mod validate;
pub mod value;

pub use definition::{CompileError, Definition, Version, compare_versions, default_crd};
pub use schema::Structural;
