//! The operations of the specification on one state directory.

use std::path::{Path, PathBuf};

use base::ContainerId;
use oci_spec::runtime::Spec;
use sys::Signal;

use crate::error::Error;
use crate::options::{CreateOptions, Created, ExecOptions};
use crate::state::{ContainerRecord, ContainerStatus};

/// A runtime over one state directory. Cheap to make.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
    systemd_cgroup: bool,
}

impl Runtime {
    /// The runtime whose state is under `root` (made when needed).
    pub fn new(root: PathBuf) -> Self {
        Self { root, systemd_cgroup: false }
    }

    /// Lets systemd make the cgroups.
    #[must_use]
    pub fn with_systemd_cgroup(mut self, on: bool) -> Self {
        self.systemd_cgroup = on;
        self
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Makes the container; its init waits at the start gate.
    ///
    /// The caller has one thread, becomes init's parent and reaps it.
    pub fn create(&self, _id: &ContainerId, _spec: &Spec, _options: CreateOptions) -> Result<Created, Error> {
        todo!()
    }

    /// Lets init run the user's program. Returns once the program runs, or with the
    /// reason why it could not be executed.
    pub fn start(&self, _id: &ContainerId) -> Result<(), Error> {
        todo!()
    }

    /// The record and the present status.
    pub fn state(&self, _id: &ContainerId) -> Result<(ContainerRecord, ContainerStatus), Error> {
        todo!()
    }

    /// Sends a signal to init, or with `all` to every process of the container.
    pub fn kill(&self, _id: &ContainerId, _signal: Signal, _all: bool) -> Result<(), Error> {
        todo!()
    }

    /// Removes what is left of a stopped container; with `force` kills it first and
    /// takes a missing one for done.
    pub fn delete(&self, _id: &ContainerId, _force: bool) -> Result<(), Error> {
        todo!()
    }

    /// Runs a further process in the container. The caller becomes its parent.
    pub fn exec(&self, _id: &ContainerId, _options: ExecOptions) -> Result<Created, Error> {
        todo!()
    }

    /// Freezes all processes of the container.
    pub fn pause(&self, _id: &ContainerId) -> Result<(), Error> {
        todo!()
    }

    /// Lets a paused container go on.
    pub fn resume(&self, _id: &ContainerId) -> Result<(), Error> {
        todo!()
    }

    /// The ids of the container's processes in the caller's PID namespace.
    pub fn pids(&self, _id: &ContainerId) -> Result<Vec<i32>, Error> {
        todo!()
    }

    /// All containers of this state directory, by id.
    pub fn list(&self) -> Result<Vec<(ContainerRecord, ContainerStatus)>, Error> {
        todo!()
    }
}
