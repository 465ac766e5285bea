//! Moving into v1's hierarchies without waiting.
//!
//! Writing a process id to `cgroup.procs` makes the kernel keep all processes of the machine
//! from forking and exiting for a moment. After a quiet while it first waits for an RCU grace
//! period: 8 to 17 ms measured, many times what a container's start takes otherwise. A
//! thread that moves *itself* needs none of this (since Linux 5.16): it writes `0` to
//! `tasks`, which takes some 10 µs a hierarchy.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use rustix::fs::{Mode, OFlags};

use crate::cgroup::Cgroup;
use crate::error::Error;

/// Open `tasks` files of a cgroup, one for each v1 hierarchy. Opened by the one who may, and
/// used by the one who moves: the kernel checks the opener's rights, so a process that is
/// already in a user namespace or in another root can still enter.
#[derive(Debug)]
pub struct Entrance {
    files: Vec<(PathBuf, OwnedFd)>,
}

impl Cgroup {
    /// Opens the way into its v1 hierarchies. (v2's is `CLONE_INTO_CGROUP`, see
    /// [`Cgroup::fd_for_clone_into`].) The descriptors are close-on-exec.
    pub fn entrance(&self) -> Result<Entrance, Error> {
        let files = self.v1().iter().map(|v1| {
            let path = v1.dir.join("tasks");
            let file = rustix::fs::open(&path, OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty());
            match file {
                Ok(file) => Ok((path, file)),
                Err(errno) => Err(Error::Read { path, source: errno.into() }),
            }
        });
        Ok(Entrance { files: files.collect::<Result<_, _>>()? })
    }

    /// Moves the calling thread into its v1 hierarchies: all of a process that has one
    /// thread. As [`Cgroup::join_v1`], before the cgroup namespace is unshared.
    pub fn enter_v1(&self) -> Result<(), Error> {
        self.entrance()?.enter()
    }
}

impl Entrance {
    /// Moves the calling thread: all of a process that has one thread.
    pub fn enter(&self) -> Result<(), Error> {
        for (path, file) in &self.files {
            rustix::io::retry_on_intr(|| rustix::io::write(file, b"0")).map_err(|errno| Error::Join {
                pid: rustix::process::getpid().as_raw_nonzero().get(),
                path: path.clone(),
                source: errno.into(),
            })?;
        }
        Ok(())
    }
}
