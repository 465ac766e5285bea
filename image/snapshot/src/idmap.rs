//! Which ids on disk are which ids of the host.

use std::os::fd::OwnedFd;

use serde::{Deserialize, Serialize};

use crate::Error;

/// A run of consecutive ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The first id inside: as the container and the image's files have it.
    pub inside: u32,
    /// The first id outside: as the host has it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The maps of a private user namespace, as `/proc/PID/uid_map` and `gid_map` have them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdMap {
    /// User ids.
    pub uids: Vec<IdRange>,
    /// Group ids.
    pub gids: Vec<IdRange>,
}

impl IdMap {
    /// `--userns private:BASE:SIZE`: ids from 0 on stand for host ids from `base` on.
    pub fn shifted(base: u32, size: u32) -> Self {
        let range = vec![IdRange { inside: 0, outside: base, count: size }];
        Self { uids: range.clone(), gids: range }
    }

    /// The host's id of the user id `inside`.
    pub fn host_uid(&self, inside: u32) -> Option<u32> {
        outside(&self.uids, inside)
    }

    /// The host's id of the group id `inside`.
    pub fn host_gid(&self, inside: u32) -> Option<u32> {
        outside(&self.gids, inside)
    }

    /// The container's id of the host's user id `outside`.
    pub fn inside_uid(&self, outside: u32) -> Option<u32> {
        inside(&self.uids, outside)
    }

    /// The container's id of the host's group id `outside`.
    pub fn inside_gid(&self, outside: u32) -> Option<u32> {
        inside(&self.gids, outside)
    }

    /// Checks that the ranges are not empty, do not wrap and map id 0.
    pub fn validate(&self) -> Result<(), Error> {
        for ranges in [&self.uids, &self.gids] {
            if ranges.is_empty() || ranges.len() > RANGES_MAX {
                return Err(Error::InvalidIdMap { why: "it needs 1 to 340 ranges" });
            }
            let wraps = |start: u32, count: u32| start.checked_add(count).is_none();
            if ranges.iter().any(|r| r.count == 0 || wraps(r.inside, r.count) || wraps(r.outside, r.count)) {
                return Err(Error::InvalidIdMap { why: "a range is empty or goes beyond the last id" });
            }
            if outside(ranges, 0).is_none() {
                return Err(Error::InvalidIdMap { why: "it does not map id 0" });
            }
        }
        Ok(())
    }

    /// A user namespace with these maps, for `mount_setattr(2)`.
    pub(crate) fn user_namespace(&self) -> Result<OwnedFd, Error> {
        todo!()
    }
}

fn outside(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| id >= range.inside && id - range.inside < range.count)?;
    range.outside.checked_add(id - range.inside)
}

fn inside(ranges: &[IdRange], id: u32) -> Option<u32> {
    let range = ranges.iter().find(|range| id >= range.outside && id - range.outside < range.count)?;
    range.inside.checked_add(id - range.outside)
}

/// The kernel takes at most 340 lines in a map: `user_namespaces(7)`.
const RANGES_MAX: usize = 340;
