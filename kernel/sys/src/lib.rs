//! Safe system calls: what rustix lacks or what needs more than one call to be
//! safe. One subject per file. `unsafe` lives in this crate only, and in `memcpy`.
//!
//! It knows nothing of containers: no specification, no policy, no state on disk.

#[cfg(feature = "mimalloc")]
pub mod allocator;
pub mod arena;
pub mod bpf;
pub mod capability;
pub mod clone;
pub mod exe;
pub mod fd;
pub mod fdpass;
pub mod features;
pub mod file;
pub mod idmap;
pub mod keyring;
pub mod lock;
pub mod memory;
pub mod mount;
pub mod namespace;
pub mod netlink_options;
pub mod pidfd;
pub mod prctl;
pub mod process;
pub mod procfs;
pub mod quota;
pub mod rlimit;
pub mod root;
pub mod scheduling;
pub mod seccomp;
pub mod signal;
pub mod tty;
pub mod tun;
pub mod usage;
pub mod user;
pub mod uts;
pub mod xtables;

pub use capability::CapSet;
pub use namespace::{Namespace, NamespaceId, NamespaceSet};
pub use process::ExitStatus;
pub use signal::Signal;
