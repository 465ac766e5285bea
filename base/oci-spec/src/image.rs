//! OCI image-spec 1.1: descriptors, manifests, indexes, configurations, platforms.
//!
//! Docker's schema 2 documents have the same shape under other media types, so one
//! set of types reads both.

mod config;
mod descriptor;
mod manifest;
mod media_type;
mod platform;

pub use config::{ContainerConfig, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use manifest::{Document, Index, InvalidDocument, Manifest};
pub use media_type::{Compression, MediaType};
pub use platform::{InvalidPlatform, Platform};
