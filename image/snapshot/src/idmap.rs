//! Which ids on disk are which ids of the host.

use std::os::fd::OwnedFd;

use sys::idmap::outside;
pub use sys::idmap::{IdMaps as IdMap, IdRange};

use crate::Error;

/// Checks that the ranges are not empty, do not wrap and map id 0.
pub(crate) fn validate(map: &IdMap) -> Result<(), Error> {
    for ranges in [&map.uids, &map.gids] {
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
pub(crate) fn user_namespace(map: &IdMap) -> Result<OwnedFd, Error> {
    sys::idmap::user_namespace(map).map_err(Error::io("make a user namespace for", "an idmapped mount"))
}

/// Which id of the namespace the host's id `outside` is.
pub(crate) fn inside(ranges: &[IdRange], outside: u32) -> Option<u32> {
    let range =
        ranges.iter().find(|range| outside >= range.outside && outside - range.outside < range.count)?;
    range.inside.checked_add(outside - range.outside)
}

/// The kernel takes at most 340 lines in a map: `user_namespaces(7)`.
const RANGES_MAX: usize = 340;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_back() {
        let map = IdMap::contiguous(100_000, 65_536);
        for (host, id) in [(100_000, Some(0)), (165_535, Some(65_535)), (165_536, None), (99_999, None)] {
            assert_eq!(inside(&map.uids, host), id, "{host}");
        }
    }

    #[test]
    fn refuses_useless_maps() {
        let map = |inside, outside, count| IdMap {
            uids: vec![IdRange { inside, outside, count }],
            gids: vec![IdRange { inside: 0, outside: 0, count: 1 }],
        };
        assert!(validate(&map(0, 1000, 10)).is_ok());
        for bad in [map(1, 1000, 10), map(0, 1000, 0), map(0, u32::MAX, 2), IdMap::default()] {
            assert!(validate(&bad).is_err(), "{bad:?}");
        }
    }
}
