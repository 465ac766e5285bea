//! Containers, images, volumes and networks as one state owner on disk.
//!
//! No daemon: every process that opens an [`Engine`] on the same roots works on the
//! same state, with one lock per container and one over the names. What a container
//! shall be is decided in [`spec`] by pure functions of image, request and defaults;
//! what is done with it is in [`Engine`]'s methods, a file an operation.
//!
//! This crate knows no command line, no environment variable and nothing of
//! Kubernetes.

mod companions;
mod engine;
mod error;
pub mod images;
pub mod request;

pub use companions::{Companion, Companions};
pub use engine::{Engine, Paths};
pub use error::Error;
