//! From the resources of a runtime-spec to what is written where: OCI runtime-spec
//! config-linux.md, "Control groups". Pure.

mod cpu;
mod io;
mod memory;
mod others;

use std::collections::BTreeMap;

use base::{Classified, ErrorClass};
use oci_spec::runtime::LinuxResources;

use crate::devices::DevicePolicy;
use crate::layout::Layout;
use crate::setting::{Place, Plan, Setting, Warning};

/// The resources cannot be had on this machine, or contradict each other.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PlanError {
    /// The controller is neither in v1 nor in v2.
    #[error(
        "{resource} needs the {controller} cgroup controller, which this machine does not have: enable it (kernel option cgroup_enable={controller}, or mount it), or leave {resource} out"
    )]
    NoController {
        /// As the runtime-spec names it.
        resource: String,
        /// Which controller.
        controller: String,
    },
    /// Names of v2's files where there is no v2 for them.
    #[error(
        "invalid configuration: unified {key} is a file of cgroup v2, whose {controller} controller this machine does not have: use the resource of the runtime-spec that is not in unified"
    )]
    UnifiedWithoutV2 {
        /// The key.
        key: String,
        /// Which controller.
        controller: String,
    },
    /// A value is out of range or contradicts another one.
    #[error("{resource} is {value}: {why}")]
    Value {
        /// As the runtime-spec names it.
        resource: String,
        /// The value.
        value: String,
        /// What is wrong and what would be right.
        why: &'static str,
    },
    /// `unified` names a file that cannot be one.
    #[error(
        "unified key {key:?} is not a cgroup v2 file: it is written as controller.name, as in memory.high"
    )]
    UnifiedKey {
        /// The key.
        key: String,
    },
}

impl Classified for PlanError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NoController { .. } | Self::UnifiedWithoutV2 { .. } => ErrorClass::Unsupported,
            _ => ErrorClass::Invalid,
        }
    }
}

/// What a new container's cgroup gets. Without device rules in `resources` nothing but the
/// default devices may be used, as runc has it.
pub fn plan(resources: &LinuxResources, layout: &Layout) -> Result<Plan, PlanError> {
    let mut plan = plan_update(resources, layout)?;
    let rules = resources.devices().as_deref().unwrap_or_default();
    plan.devices = Some(DevicePolicy::for_container(rules));
    Ok(plan)
}

/// What changes for a container that runs: only what `resources` names; device rules stay.
pub fn plan_update(resources: &LinuxResources, layout: &Layout) -> Result<Plan, PlanError> {
    let mut planner = Planner { layout, plan: Plan::default() };
    if let Some(memory) = resources.memory() {
        memory::plan(&mut planner, memory)?;
    }
    if let Some(cpu) = resources.cpu() {
        cpu::plan(&mut planner, cpu)?;
    }
    if let Some(pids) = resources.pids() {
        others::pids(&mut planner, pids.limit())?;
    }
    if let Some(block_io) = resources.block_io() {
        io::plan(&mut planner, block_io)?;
    }
    for limit in resources.hugepage_limits().iter().flatten() {
        others::hugepages(&mut planner, limit)?;
    }
    if let Some(network) = resources.network() {
        others::network(&mut planner, network)?;
    }
    let rdma: BTreeMap<_, _> = resources.rdma().iter().flatten().collect();
    for (device, limits) in rdma {
        others::rdma(&mut planner, device, limits)?;
    }
    let unified: BTreeMap<_, _> = resources.unified().iter().flatten().collect();
    for (file, value) in unified {
        others::unified(&mut planner, file, value)?;
    }
    Ok(planner.plan)
}

/// The plan while it is made.
struct Planner<'a> {
    layout: &'a Layout,
    plan: Plan,
}

impl Planner<'_> {
    /// Where `controller`'s files are. v1 comes first: a controller is in one place only.
    fn place(&self, resource: &str, controller: &str) -> Result<Place, PlanError> {
        if self.layout.v1(controller).is_some() {
            return Ok(Place::V1(controller.to_owned()));
        }
        if self.layout.v2_has(controller) {
            return Ok(Place::V2);
        }
        Err(PlanError::NoController { resource: resource.to_owned(), controller: controller.to_owned() })
    }

    fn push(&mut self, setting: Setting) {
        self.plan.settings.push(setting);
    }

    fn warn(&mut self, what: &str, why: &str) {
        self.plan.warnings.push(Warning { what: what.to_owned(), why: why.to_owned() });
    }
}

#[expect(clippy::needless_pass_by_value, reason = "takes numbers and texts as they come")]
fn invalid(resource: &str, value: impl ToString, why: &'static str) -> PlanError {
    PlanError::Value { resource: resource.to_owned(), value: value.to_string(), why }
}

#[cfg(test)]
mod tests;
