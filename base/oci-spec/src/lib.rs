//! Types of the OCI specifications: runtime, image and distribution.
//!
//! All of them are our own. Of images a digest is over raw bytes, so manifests and configs
//! keep what they were read from, and fields that we do not know survive a round trip.

pub mod defaults;
pub mod image;
pub mod reference;
pub mod runtime;

pub use reference::{InvalidReference, Reference};
