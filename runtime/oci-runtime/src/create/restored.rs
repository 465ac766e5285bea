//! What a container that is brought back from images shares with one that is made.

use std::os::fd::{AsFd, OwnedFd};

use super::Ready;
use crate::error::Error;
use crate::options::{CreateOptions, Stdio};
use crate::plan::Plan;

impl Ready<'_> {
    /// For each mount its source, as its options want it, if it is a bind mount.
    pub(crate) fn sources(&self) -> &[Option<OwnedFd>] {
        &self.sources
    }

    /// Gives up what was opened for init.
    pub(crate) fn close_sources(&mut self) {
        self.root = None;
        self.sources.clear();
        self.device_sources.clear();
        self.joins.clear();
    }

    /// Moves a process into the cgroup and the shares of cache that the container has.
    pub(crate) fn join_cgroup(&self, pid: i32) -> Result<(), Error> {
        if let (Some(cgroup), Some(_)) = (&self.record.cgroup, &self.cgroup_path) {
            cgroup.join(pid)?;
        }
        self.join_rdt(pid)
    }

    /// The latter alone, where systemd has done the former.
    pub(crate) fn join_rdt(&self, pid: i32) -> Result<(), Error> {
        if let (Some(group), Some(plan)) = (&self.record.rdt, &self.plan.rdt) {
            group.enter(plan, pid)?;
        }
        Ok(())
    }
}

/// Those of the streams that are pipes, which a restore must know again. None of a terminal is.
pub(super) fn pipes_of(plan: &Plan, options: &CreateOptions) -> Vec<String> {
    if plan.process.terminal.is_some() {
        return Vec::new();
    }
    let standard = |number| sys::fd::standard(number);
    let streams = match &options.stdio {
        Stdio::Inherit => [standard(0), standard(1), standard(2)],
        Stdio::Fds { stdin, stdout, stderr } => [stdin, stdout, stderr].map(|fd| Some(fd.as_fd())),
    };
    let names = streams.map(|stream| {
        let stat = stream.and_then(|fd| rustix::fs::fstat(fd).ok());
        let is_pipe = |stat: &rustix::fs::Stat| {
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo
        };
        stat.filter(is_pipe).map(|stat| format!("pipe:[{}]", stat.st_ino)).unwrap_or_default()
    });
    if names.iter().all(String::is_empty) { Vec::new() } else { names.into() }
}
