//! The Container Runtime Interface over the engine.
//!
//! [`Cri`] is the engine as [`rpc::cri::RuntimeService`] and [`rpc::cri::ImageService`]: a kubelet
//! in the same process calls it directly, anybody else through [`serve`] on a unix socket.
//!
//! A pod's sandbox is a container of the engine that holds the namespaces and sleeps; the pod's
//! containers join them. Each has a shim of its own, so that none takes another down. What a
//! caller must get back (metadata, labels, annotations) is kept in the engine's records, which
//! are the only state: whoever opens the same roots sees the same sandboxes, and a SIGKILL of
//! this process costs nothing but the calls under way.
//!
//! Decisions are pure and in [`plan`]: from a message to the engine's request. What happens to
//! containers is heard from their shims and told to [`events`].
//!
//! This crate knows the interface and not what drives it.

mod error;
mod events;
mod exec;
mod images;
mod index;
mod kept;
pub mod plan;
mod runtime;
mod server;
mod stats;
mod status;
mod streams;
mod work;

pub use plan::SandboxNetwork;
pub use runtime::{Config, Cri, MakePodNetwork};
pub use server::serve;
pub use streams::{Streams, open_streams};
