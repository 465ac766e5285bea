//! Writable layers of limited size: each one's files are counted to a quota project of their own.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use base::ContainerId;
use content::Lock;
use serde::{Deserialize, Serialize};
use sys::quota;

use crate::active::{Active, RECORD};
use crate::files::read_json;
use crate::{Error, Snapshots, tree};

/// The most that a writable layer may take of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// In bytes; the kernel counts whole KiB.
    pub bytes: u64,
    /// The project that the layer's files are counted to.
    pub project: u32,
}

/// A limit that is not imposed yet, and what for. Nobody else chooses a project meanwhile.
pub(crate) struct Limiting {
    pub(crate) limit: Limit,
    directories: [OwnedFd; 2],
    _lock: Lock,
}

impl Limiting {
    pub(crate) fn finish(self) -> Result<(), Error> {
        let Self { limit, directories, .. } = self;
        directories
            .iter()
            .try_for_each(|directory| limit.impose(directory.as_fd()))
            .map_err(|source| Error::Limit { bytes: limit.bytes, source })
    }
}

impl Snapshots {
    /// Chooses the project for what is made in the empty directories.
    pub(crate) fn start_limiting(
        &self,
        key: &ContainerId,
        bytes: u64,
        upper: OwnedFd,
        work: OwnedFd,
    ) -> Result<Limiting, Error> {
        let lock = Lock::exclusive(&self.path("projects"))?;
        let limit =
            Limit::choose(key, bytes, upper.as_fd()).map_err(|source| Error::Limit { bytes, source })?;
        Ok(Limiting { limit, directories: [upper, work], _lock: lock })
    }
}

/// Gives back the project of a snapshot that is about to be deleted.
pub(crate) fn give_back(snapshot: &Path) -> Result<(), Error> {
    let found: Option<Active> = read_json(&snapshot.join(RECORD)).unwrap_or_default();
    let Some(limit) = found.and_then(|found| found.limit) else { return Ok(()) };
    let lift = || limit.lift(tree::open_directory(snapshot)?);
    lift().map_err(Error::io("take away the limit of", snapshot))
}

impl Limit {
    /// A limit with a project that nobody has on the file system of `place`.
    fn choose(key: &ContainerId, bytes: u64, place: BorrowedFd<'_>) -> io::Result<Self> {
        for project in candidates(key) {
            if quota::quota(place, project)? == quota::Quota::default() {
                return Ok(Self { bytes, project });
            }
        }
        Err(io::Error::other("every project tried has files already"))
    }

    /// Counts all that will be made in this empty directory, and limits it.
    fn impose(&self, directory: BorrowedFd<'_>) -> io::Result<()> {
        quota::set_project(directory, self.project)?;
        quota::set_limit(directory, self.project, Some(self.bytes))?;
        // The kernel shows such a directory as a disk of this size where it enforces what it counts.
        let disk = rustix::fs::fstatvfs(directory)?;
        if disk.f_blocks.saturating_mul(disk.f_frsize) > self.bytes.next_multiple_of(disk.f_frsize) {
            return Err(io::Error::new(io::ErrorKind::Unsupported, NOT_ENFORCED));
        }
        Ok(())
    }

    /// Lets a full layer grow a little until the guard goes: for each mount the kernel makes a directory in `work`, and
    /// what it cannot make that for can only be read.
    pub(crate) fn make_room(self, upper: &Path) -> Result<Room, Error> {
        let failed = |source| Error::Limit { bytes: self.bytes, source };
        let upper = tree::open_directory(upper).map_err(failed)?;
        let used = quota::quota(&upper, self.project).map_err(failed)?.used_bytes;
        let roomy = self.bytes.max(used).saturating_add(ROOM_BYTES);
        quota::set_limit(&upper, self.project, Some(roomy)).map_err(failed)?;
        Ok(Room { limit: self, upper })
    }

    fn lift<Fd: AsFd>(&self, place: Fd) -> io::Result<()> {
        quota::set_limit(place, self.project, None)
    }
}

/// The limit is back when this goes. A crash leaves it for the next mount.
pub(crate) struct Room {
    limit: Limit,
    upper: OwnedFd,
}

impl Drop for Room {
    fn drop(&mut self) {
        // What could be set a moment ago can be set again.
        let _ = quota::set_limit(&self.upper, self.limit.project, Some(self.limit.bytes));
    }
}

/// Projects for a container: spread over the upper half of the numbers that all kernels know, far from those which
/// people give out by hand.
fn candidates(key: &ContainerId) -> impl Iterator<Item = u32> {
    let start = u32::from_str_radix(&key.as_str()[..8], 16).unwrap_or_default();
    (0..ATTEMPTS).map(move |attempt| FIRST | (start.wrapping_add(attempt) & (FIRST - 1)))
}

const FIRST: u32 = 1 << 30;
const ATTEMPTS: u32 = 64;
/// Several directories, on any file system.
const ROOM_BYTES: u64 = 1 << 20;
const NOT_ENFORCED: &str = "the file system counts projects but does not enforce their limits";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn projects_are_spread_and_never_those_of_people() {
        let key = |text: &str| ContainerId::parse(&text.repeat(16)).unwrap();
        let of = |text: &str| candidates(&key(text)).next().unwrap();
        assert_ne!(of("1f2e"), of("1f2f"));
        for text in ["0000", "ffff", "7abc"] {
            let all: Vec<u32> = candidates(&key(text)).collect();
            assert!(all.iter().all(|project| (FIRST..2 * FIRST).contains(project)), "{all:?}");
            assert_eq!(all.len(), all.iter().collect::<std::collections::BTreeSet<_>>().len());
        }
    }

    #[test]
    fn a_disk_without_quotas_is_refused() {
        let memory = rustix::fs::memfd_create("disk", rustix::fs::MemfdFlags::CLOEXEC).unwrap();
        let key = ContainerId::parse(&"ab".repeat(32)).unwrap();
        assert!(Limit::choose(&key, 1 << 20, memory.as_fd()).is_err());
    }
}
