//! Containers, images, volumes and networks as one state owner on disk.
//!
//! No daemon: every process that opens an [`Engine`] on the same roots works on the
//! same state, with one lock per container and one over the names. What a container
//! shall be is decided in [`spec`] by pure functions of image, request and defaults;
//! what is done with it is in [`Engine`]'s methods, a file an operation.
//!
//! This crate knows no command line, no environment variable and nothing of
//! Kubernetes.

mod apparmor;
mod companions;
pub mod container;
mod engine;
mod error;
pub mod events;
pub mod files;
mod host;
pub mod images;
mod ops;
pub mod request;
mod selinux;
pub mod spec;
mod tools_image;
mod volumes;

pub use apparmor::{APPARMOR_PROFILE, apparmor_is_on};
pub use attach::{PortMapping, PublishPolicy, Publishing};
pub use companions::{Companions, SHIM};
pub use container::{Lifecycle, Record};
pub use engine::{Engine, Paths};
pub use error::{Error, chain as error_chain};
pub use ops::{
    Attachment, BroughtBack, DiskUsage, ExecRequest, FAILPOINTS, Flaw, FlawKind, Fsck, Identity, ImageSource,
    InspectOptions, Listed, NetCounters, Network, Part, PruneFilter, Pruned, ReachedPort, Reconciled,
    RemoveOptions, ResourceUpdate, RunningExec, Sample, StartOptions, Started, Top, all_failpoints,
    exposed_ports, host_ports,
};
pub use selinux::{SelinuxHost, selinux_is_on};
pub use tools_image::{TOOLS_IMAGE, ToolsImageError};
pub use volumes::{DeviceMount, NewVolume, Volume};
