//! What privileged and end-to-end tests share: isolation, clean-up, fixtures.
//!
//! Everything here leaves the machine as it was: what a test makes is named after the
//! test's process and removed when its handle is dropped, also when the test panics.

// A fixture that cannot be made fails its test: that is a panic, and its place to speak is stderr.
#![allow(clippy::panic, clippy::print_stderr)]

mod bin;
mod cgroup_subtree;
pub mod cluster;
mod crash;
mod docker;
mod documented;
mod fixture;
pub mod images;
mod isolated;
pub mod kube;
mod netns;
mod output;
pub mod registry;
mod strake;
mod temp_dir;
mod terminal;
mod wait;

pub use bin::bin;
pub use cgroup_subtree::CgroupSubtree;
pub use crash::Dying;
pub use docker::docker_seccomp_profile;
pub use documented::Documented;
pub use fixture::{Needs, cached};
pub use isolated::{MARK as ISOLATED, isolated};
pub use netns::{Netns, ask, ask_udp, run_inside, sh};
pub use output::{Output, run};
pub use strake::{Background, Strake};
pub use temp_dir::TempDir;
pub use terminal::Terminal;
pub use wait::{wait_for, wait_until};
