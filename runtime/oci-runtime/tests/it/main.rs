//! The runtime on a real kernel: each test is PID 1 of its own namespaces.

// What a test cannot do fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod bundle;
mod crashes;
mod criu;
mod cves;
mod drop_in;
mod execs;
mod hooks;
mod inside;
mod kept;
mod kills;
mod lifecycle;
mod mounts;
mod namespaces;
mod network;
mod process;
mod races;
mod rootless;
mod scheduling;
mod seccomp;
mod systemd;
mod terminals;
