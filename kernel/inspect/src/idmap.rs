//! `uid_map` and `gid_map` of a user namespace: `user_namespaces(7)`.

use serde::Serialize;

use crate::error::{Error, Malformed};
use crate::procfs::Process;
use crate::sourced::Sourced;

/// A line: `count` ids from `inside` are `outside` and following.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Range {
    /// First id as the process sees it.
    pub inside: u32,
    /// First id as the reader's user namespace sees it.
    pub outside: u32,
    /// How many.
    pub count: u32,
}

/// The whole map; empty while nothing was written to it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct IdMap(pub Vec<Range>);

impl IdMap {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let range = |(index, line): (usize, &str)| {
            let words: Vec<u32> = line.split_ascii_whitespace().map_while(|word| word.parse().ok()).collect();
            match words.as_slice() {
                [inside, outside, count] => Ok(Range { inside: *inside, outside: *outside, count: *count }),
                _ => {
                    Err(Malformed { line: index + 1, what: "expected three numbers: inside, outside, count" })
                }
            }
        };
        let lines = text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
        lines.map(range).collect::<Result<_, _>>().map(Self)
    }

    /// Every id is itself: the initial namespace, or one that changes nothing.
    pub fn is_identity(&self) -> bool {
        matches!(self.0.as_slice(), [Range { inside: 0, outside: 0, count: u32::MAX }])
    }

    /// What `id` of the process is outside.
    pub fn outside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.inside).filter(|offset| *offset < range.count)?;
            range.outside.checked_add(offset)
        })
    }

    /// What the host's `id` is called inside.
    pub fn inside(&self, id: u32) -> Option<u32> {
        self.0.iter().find_map(|range| {
            let offset = id.checked_sub(range.outside).filter(|offset| *offset < range.count)?;
            range.inside.checked_add(offset)
        })
    }
}

impl Process {
    /// `/proc/PID/uid_map`.
    pub fn uid_map(&self) -> Result<Sourced<IdMap>, Error> {
        self.parsed("uid_map", IdMap::parse)
    }

    /// `/proc/PID/gid_map`.
    pub fn gid_map(&self) -> Result<Sourced<IdMap>, Error> {
        self.parsed("gid_map", IdMap::parse)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn maps_both_ways() {
        let map =
            IdMap::parse("         0     100000      65536\n     70000          5          1\n").unwrap();
        let cases =
            [(0, Some(100000)), (65535, Some(165535)), (65536, None), (70000, Some(5)), (70001, None)];
        for (inside, outside) in cases {
            assert_eq!(map.outside(inside), outside, "{inside}");
            if let Some(outside) = outside {
                assert_eq!(map.inside(outside), Some(inside));
            }
        }
        assert!(!map.is_identity());
    }

    #[test]
    fn knows_the_host() {
        assert!(IdMap::parse("         0          0 4294967295\n").unwrap().is_identity());
        assert!(!IdMap::parse("").unwrap().is_identity());
    }

    #[test]
    fn refuses_what_is_no_map() {
        for bad in ["1", "1 2", "a b c", "1 2 3 4", "-1 0 1", "0 0 4294967296"] {
            assert!(IdMap::parse(bad).is_err(), "{bad:?}");
        }
        let edge = IdMap::parse("4294967295 4294967295 4294967295").unwrap();
        assert_eq!(edge.outside(u32::MAX), Some(u32::MAX));
    }
}
