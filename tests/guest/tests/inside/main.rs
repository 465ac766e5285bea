//! What only a kernel of our own can show: cgroup v2 alone, AppArmor, SELinux. `cargo xtask guest` builds this, boots
//! a machine and runs it there as root; nothing else runs meanwhile. The module `selinux` has a boot of its own.

// What a test cannot do fails it.
#![allow(clippy::unwrap_used, clippy::panic)]

mod apparmor;
mod container;
mod delegation;
mod devices;
mod engine;
mod io;
mod limits;
mod processes;
mod selinux;
mod storage;
mod systemd;
