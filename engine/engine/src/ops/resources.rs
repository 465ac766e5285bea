//! What a container uses, and changing what it may use while it runs.

use std::net::IpAddr;

use base::ContainerId;
use cgroup::{Cgroup, CgroupPath, Driver, Layout, Stats};

use crate::container::{Locked, Record};
use crate::engine::Engine;
use crate::error::Error;
use crate::request::{NetworkMode, ResourceRequest};

impl Engine {
    /// Changes what a container may use: at once when it runs, else from its next start on.
    /// What `wanted` leaves open stays as the control group has it.
    ///
    /// The record follows the kernel: when a limit is refused the old ones are recorded.
    pub fn update_resources(&self, id: &ContainerId, wanted: ResourceRequest) -> Result<Vec<String>, Error> {
        let locked = self.settled(id)?;
        self.update_locked(locked, wanted)
    }

    pub(super) fn update_locked(
        &self,
        mut locked: Locked,
        wanted: ResourceRequest,
    ) -> Result<Vec<String>, Error> {
        need_cgroups("limit", &locked.record)?;
        let mut warnings = Vec::new();
        let host = crate::host::facts(false, &wanted)?;
        let resources = crate::spec::resources(&wanted, Vec::new(), &host, &mut warnings)?;
        if locked.record.lifecycle.is_running() {
            let name = &locked.record.name;
            let layout = Layout::detect().map_err(Error::cgroup(name))?;
            let plan = cgroup::plan_update(&resources, &layout)
                .map_err(|source| Error::CgroupPlan { name: name.clone(), source })?;
            let applied = self.cgroup_of(&locked.record, &layout)?.apply(&plan);
            let refused = applied.map_err(Error::cgroup(name))?;
            warnings.extend(refused.iter().map(ToString::to_string));
        }
        locked.record.request.resources = wanted;
        locked.write()?;
        self.tell(&locked.record, "update", &[]);
        Ok(warnings)
    }

    /// What a running container uses now.
    pub fn stats(&self, record: &Record) -> Result<Stats, Error> {
        need_cgroups("measure", record)?;
        let layout = Layout::detect().map_err(Error::cgroup(&record.name))?;
        Ok(self.cgroup_of(record, &layout)?.stats())
    }

    /// What all of a sandbox uses: the control group that its containers share. Without one,
    /// what its holder uses.
    pub fn stats_of_parent(&self, record: &Record) -> Result<Stats, Error> {
        let layout = Layout::detect().map_err(Error::cgroup(&record.name))?;
        let Some(parent) = &record.request.resources.cgroup_parent else { return self.stats(record) };
        let path = CgroupPath::parse(Some(parent), record.id.as_str(), Driver::Cgroupfs)
            .map_err(|source| Error::CgroupPath { name: record.name.clone(), source })?;
        Ok(Cgroup::locate(&path, &layout).stats())
    }

    /// The addresses of a running container's own network, the main one first.
    pub fn addresses(&self, record: &Record) -> Result<Vec<IpAddr>, Error> {
        if record.request.network.mode == NetworkMode::Pod {
            // From the records: the network itself is open only once the node's range is known.
            for state in self.paths().pod_networks() {
                let found = attach::described_in(&state, &record.id);
                if let Some(attachment) = found.map_err(Error::network(&record.name))? {
                    return Ok(attachment.addresses);
                }
            }
            return Ok(Vec::new());
        }
        Ok(self.attachment(record)?.map(|attachment| attachment.address.into()).into_iter().collect())
    }

    pub(super) fn cgroup_of(&self, record: &Record, layout: &Layout) -> Result<Cgroup, Error> {
        let path = self.cgroup_path(record);
        let path = CgroupPath::parse(path.as_deref(), record.id.as_str(), Driver::Cgroupfs)
            .map_err(|source| Error::CgroupPath { name: record.name.clone(), source })?;
        Ok(Cgroup::locate(&path, layout))
    }
}

/// An ordinary user's containers have a control group only where that user was given a part of them.
pub(crate) fn need_cgroups(operation: &'static str, record: &Record) -> Result<(), Error> {
    let has_one = sys::user::mapped().is_none()
        || record.cgroup.is_some()
        || (!record.lifecycle.is_running() && crate::host::delegated().is_some());
    if has_one { Ok(()) } else { Err(Error::NoControlGroup { operation, name: record.name.clone() }) }
}
