//! The node's agent: runs the pods that the API has for this node, and tells what became of them.
//!
//! ```text
//! API ──watch──▶ pods ─▶ worker per pod ─┬─▶ plan (pure) ─▶ jobs ─▶ CRI, volumes, probes
//! CRI ──events─▶ observed ───────────────┘        └─▶ status (pure) ─▶ API
//! ```
//!
//! [`Config`] says with what a [`Kubelet`] runs: an API (in this process or over HTTP) and a runtime
//! by its CRI traits (in this process or behind a socket). It knows no engine. A pod's worker wakes by
//! changes of its object, by the runtime's events, by the ends of its own jobs and by timers; nothing
//! polls. What is remembered beyond the runtime's and the API's knowledge is back-offs and the
//! answers of probes, so that a kubelet may be killed at any time: the next one finds the
//! containers as they run, and their numbers of restarts in the runtime's metadata.

mod config;
mod events;
mod handle;
mod images;
mod jobs;
mod kubelet;
pub mod model;
mod node;
mod objects;
pub mod plan;
mod pods;
mod probes;
mod read;
pub mod resources;
mod runtime;
pub mod server;
pub mod spec;
mod static_pods;
pub mod status;
mod traffic;
mod volumes;
mod worker;

pub use config::{Config, Eviction, ImageCollection, LogRotation, NodeConfig, Paths, ShutdownGrace};
pub use handle::{ContainerRef, Handle, Stored};
pub use kubelet::Kubelet;
pub use traffic::{NoTraffic, PodRef, Traffic};
