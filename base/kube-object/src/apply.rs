//! Server-side apply: who owns which field, and what an applied configuration
//! changes.
//!
//! [`FieldSet`] is what a manager owns, [`typed`] relates sets to objects by
//! their [`Shape`](crate::shape::Shape), [`managers`] keeps `managedFields`, and
//! [`update`] is the two operations: apply, and any other write.

pub mod field_set;
pub mod managers;
pub mod typed;
pub mod unfit;
pub mod update;

pub use field_set::{FieldSet, InvalidFieldSet, PathElement};
pub use managers::{Managed, Managers, Operation};
pub use update::{Applied, ApplyError, ApplyOptions, Conflict, Writer, apply, record_write};
