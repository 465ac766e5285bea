//! Handing a v2 cgroup to the user whose processes are in it: cgroups(7), "Cgroups delegation:
//! delegating a hierarchy to a less privileged user".

use std::fs;
use std::io;
use std::os::unix::fs::chown;
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::error::Error;

impl Cgroup {
    /// Makes `uid` the owner of the directory and of the files by which processes and controllers
    /// are shared out among cgroups below it. Its own limits stay ours.
    ///
    /// Where there are v1 hierarchies nothing changes: they are no border for their owners.
    pub fn delegate(&self, uid: u32) -> Result<(), Error> {
        let Some(dir) = self.v2_dir().filter(|_| self.v1().is_empty()) else { return Ok(()) };
        let own = |path: &Path| match chown(path, Some(uid), None) {
            // Not every cgroup has every file.
            Err(error) if error.kind() == io::ErrorKind::NotFound && path != dir => Ok(()),
            result => result.map_err(|source| Error::Own { path: path.to_owned(), uid, source }),
        };
        own(dir)?;
        // Since Linux 4.15 the kernel says which.
        let listed = fs::read_to_string("/sys/kernel/cgroup/delegate");
        let listed = listed.as_deref().unwrap_or(DELEGATED);
        listed
            .lines()
            .filter(|name| !name.is_empty() && !name.contains('/'))
            .try_for_each(|name| own(&dir.join(name)))
    }
}

/// What the runtime-spec names for kernels that say nothing.
const DELEGATED: &str = "cgroup.procs\ncgroup.subtree_control\ncgroup.threads";
