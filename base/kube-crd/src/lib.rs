//! Custom resource definitions: structural schemas, pruning, defaulting, validation, conversion, publication.
//!
//! Pure: no clock, no randomness, no I/O. The server asks, this crate answers.

mod path;
pub mod schema;
pub mod validate;
pub mod value;

pub use schema::Structural;
