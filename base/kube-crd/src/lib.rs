//! Custom resource definitions: structural schemas, pruning, defaulting, validation, conversion, publication.
//!
//! Pure: no clock, no randomness, no I/O. The server asks, this crate answers.

pub mod check;
pub mod columns;
pub mod convert;
pub mod definition;
pub mod json_path;
mod path;
pub mod publish;
pub mod rules;
pub mod schema;
pub mod status;
pub mod validate;
pub mod value;

pub use check::{validate_crd, validate_crd_status, validate_crd_with, warnings};
pub use definition::{CompileError, Definition, Version, compare_versions, default_crd};
pub use schema::Structural;
pub use status::{CrdStatus, status_plan};
