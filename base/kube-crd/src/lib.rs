//! Custom resource definitions: structural schemas, pruning, defaulting, validation, conversion, publication.
//!
//! Pure: no clock, no randomness, no I/O. The server asks, this crate answers.
//!
//! A definition on its way in: [`default_crd`], [`definition::prepare`], [`validate_crd_with`],
//! [`warnings`]; then [`status_plan`] says whether it is served, and [`Definition::compile_with`]
//! makes what serving needs. When it is deleted, [`status::mark_deleted`] and
//! [`status::cleanup_plan`] see its objects off.
//!
//! An object on its way in, in the version of the request: [`Structural::admit`] (refusing
//! malformed metadata; its paths are what strict validation reports), [`Structural::default`],
//! [`Version::prepare_create`] and its like, [`Version::validate_create`] and its like, then
//! [`convert::plan`] to the storage version. On its way out: `convert::plan` back, `admit`
//! (dropping malformed metadata) and `default` again, since the schema may have changed.
//! Merges see the schema as a [`Shape`](kube_object::shape::Shape); strategic merge patch is
//! not for custom resources.
//!
//! CEL comes in through [`rules::RuleCompiler`]; without one, rules are not checked.

pub mod cel;
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
