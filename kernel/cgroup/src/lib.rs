//! Control groups: what a container may use, and what it uses.
//!
//! ```text
//! /proc/self/mountinfo ─▶ Layout ─┐
//! LinuxResources ─────────────────┴─▶ plan (pure) ─▶ Plan ─▶ Cgroup::apply
//! ```
//!
//! v1 (a hierarchy per controller), v2 (one for all) and hybrid (v1 controllers beside an
//! empty v2) are equals. Which one this machine has is read from the mounts, never assumed:
//! `cpu` and `cpuacct` may be mounted together or apart, controllers may be missing, and
//! systemd's named hierarchy is joined where it exists.
//!
//! Nothing here knows containers: a [`Cgroup`] is a path in every hierarchy. It never
//! removes, kills or limits anything but its own path and what is below it.

mod cgroup;
mod delegation;
mod details;
mod devices;
mod ebpf;
mod entrance;
mod error;
mod kernel_log;
mod layout;
mod oom;
mod ownership;
mod path;
mod plan;
mod processes;
mod removal;
mod setting;
mod stats;
mod systemd;
mod tree;
mod write;

pub use cgroup::Cgroup;
pub use delegation::Delegated;
pub use details::{Details, HugetlbStats, KernelMemory, Pressure};
pub use devices::{Access, DeviceKind, DevicePolicy, DeviceRule, default_device_rules};
pub use ebpf::program as device_program;
pub use entrance::Entrance;
pub use error::Error;
pub use kernel_log::Victim;
pub use layout::{Hierarchy, Layout, Mode, Unified, is_version_2};
pub use oom::{OomEvents, OomWatch};
pub use path::{CgroupPath, Driver, PathError, SystemdUnit};
pub use plan::{PlanError, plan, plan_update};
pub use processes::FreezerState;
pub use setting::{IfRefused, Place, Plan, Setting, Warning};
pub use stats::{CpuStats, IoStats, MemoryStats, PidsStats, Stats};
pub use systemd::{
    BusError, Properties, Systemd, SystemdBus, SystemdError, Value, resource_properties, transient_properties,
};
pub use tree::{Node, tree};
