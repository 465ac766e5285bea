//! The OCI runtime: a bundle becomes a container (OCI runtime-spec 1.3).
//!
//! ```text
//! Spec ──plan──▶ Plan (pure data) ──executor──▶ clone3 ──▶ init: mounts, pivot, limits ──▶ gate ──▶ exec
//!                                     │                                                   ▲
//!                                     └── state.json ── start ────────────────────────────┘
//! ```
//!
//! Synchronous, one thread, no re-exec: init is a fork of the caller made by one
//! `clone3` with every namespace. It knows no async runtime, no images, no network,
//! and reads no environment variable.

pub mod bundle;
mod channel;
mod create;
pub mod criu;
pub mod error;
mod exec;
pub mod features;
mod gate;
mod held;
pub mod hooks;
mod init;
mod kept;
mod listener;
pub mod network;
pub mod options;
pub mod plan;
pub mod rdt;
pub mod runtime;
pub mod seccomp;
mod sources;
mod spawn;
pub mod state;
mod store;

pub use create::FAILPOINTS;
pub use criu::CriuError;
pub use error::{Error, Unmade};
pub use held::Held;
pub use options::{ConsoleSize, CreateOptions, Created, ExecOptions, Rootfs, Stdio};
pub use runtime::{Container, Runtime};
pub use state::{ContainerRecord, ContainerStatus, OciState, StepRecord};
