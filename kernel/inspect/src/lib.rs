//! Reads back what the kernel really holds of a process.
//!
//! The source of `strake explain` and the oracle of our tests: whatever the engine
//! believes it has set is read here from procfs, cgroupfs and system calls, by code
//! that knows nothing of the code that set it.
//!
//! Two halves: *parsers* are pure functions over text (`parse`), which refuse bad
//! input with the line and never panic; *readers* are methods of [`Process`] that
//! open a file, hand the text to a parser and return a [`Sourced`] value, so that
//! whoever prints it can say where it was read.
//!
//! What this crate does not do: it changes nothing (one reader, [`filter`], stops the
//! process for a moment; [`host`] tries things in processes that it throws away), keeps nothing, follows no path
//! below a process's root except by descriptor, and knows no container.

pub mod capabilities;
pub mod cgroups;
pub mod elf;
pub mod error;
pub mod filter;
pub mod host;
pub mod identity;
pub mod idmap;
pub mod kernel;
pub mod kmsg;
pub mod lsm;
pub mod mounts;
pub mod namespaces;
pub mod net;
pub mod procfs;
pub mod rootfs;
pub mod signals;
pub mod sourced;
pub mod status;
pub mod system;
pub mod upper;

pub use capabilities::CapSet;
pub use error::{Error, Malformed};
pub use namespaces::{Census, Namespace, NamespaceKind};
pub use procfs::{Proc, Process};
pub use signals::SignalSet;
pub use sourced::Sourced;
pub use status::Status;
