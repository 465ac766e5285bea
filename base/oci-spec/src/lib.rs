//! Types of the OCI specifications: runtime, image and distribution.
//!
//! The runtime types are the `oci-spec` crate's. Image types are our own: a digest
//! is over raw bytes, so manifests and configs keep what they were read from, and
//! fields that we do not know survive a round trip.

pub mod defaults;
pub mod image;
pub mod reference;

/// OCI runtime-spec: `config.json`, state and features.
pub use oci_spec_upstream::runtime;

pub use reference::{InvalidReference, Reference};
