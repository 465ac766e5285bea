//! The shim on a real kernel: containers from a busybox root filesystem, each test PID 1
//! of its own namespaces.

#![allow(clippy::panic, clippy::unwrap_used, unreachable_pub)]

mod adopt;
mod attach;
mod chaos;
mod exec;
mod failpoints;
mod footprint;
mod frozen;
mod hostile;
mod init;
mod lifecycle;
mod logs;
mod memory;
mod restart;
mod rig;
mod stop;
mod terminal;
