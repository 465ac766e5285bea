//! A virtual machine with a kernel of its own, for what this machine's kernel does not have or must not suffer: cgroup
//! v2 alone, AppArmor, a panic.
//!
//! ```text
//! Debian's cloud kernel ─▶ vmlinux, modules ─┐
//! init/initramfs.sh ─▶ cpio ─────────────────┼─▶ QEMU (no KVM) ─▶ console, exit status
//! binaries, init/system.sh ─▶ ext4 disk ─────┘
//! ```
//!
//! The tests that run in it are `tests/inside`; `cargo xtask guest` builds and boots them.

// What cannot be made fails its test: that is a panic, and its place to speak is stderr.
#![allow(clippy::panic, clippy::print_stderr)]

mod cpio;
mod kernel;
mod machine;

pub use kernel::{Kernel, kernel};
pub use machine::{Ended, Machine};
