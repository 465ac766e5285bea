//! A key and its newest version, packed: there is one for each key, so every byte counts.
//!
//! ```text
//! key's length │ revision │ since created │ version │ lease │ sub │ slot │ offset │ length │ key
//! ```
//!
//! Numbers are in groups of seven bits, the lowest first; all but the last have the high bit set.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::fmt;

use super::Version;
use crate::types::Place;

/// Ordered by the key alone.
pub(crate) struct Entry(Box<[u8]>);

impl Entry {
    pub(crate) fn new(key: &[u8], version: Version) -> Self {
        let Version { revision, created, version, lease, sub, place } = version;
        let numbers = [
            key.len() as u64,
            revision,
            // A deletion has no creation.
            revision.wrapping_sub(created),
            version,
            lease as u64,
            u64::from(sub),
            u64::from(place.slot),
            u64::from(place.offset),
            u64::from(place.len),
        ];
        let mut head = [0; HEAD_MAX];
        let mut len = 0;
        for mut number in numbers {
            while number > 0x7f {
                head[len] = number as u8 | 0x80;
                number >>= 7;
                len += 1;
            }
            head[len] = number as u8;
            len += 1;
        }
        let mut bytes = Vec::with_capacity(len + key.len());
        bytes.extend_from_slice(&head[..len]);
        bytes.extend_from_slice(key);
        Self(bytes.into_boxed_slice())
    }

    pub(crate) fn key(&self) -> &[u8] {
        let len = number(&mut &*self.0) as usize;
        &self.0[self.0.len() - len..]
    }

    pub(crate) fn version(&self) -> Version {
        let bytes = &mut &*self.0;
        let _key = number(bytes);
        let revision = number(bytes);
        Version {
            revision,
            created: revision.wrapping_sub(number(bytes)),
            version: number(bytes),
            lease: number(bytes) as i64,
            sub: number(bytes) as u32,
            place: Place {
                slot: number(bytes) as u32,
                offset: number(bytes) as u32,
                len: number(bytes) as u32,
            },
        }
    }
}

/// Takes a number from the front; what is packed here has all that are asked for.
fn number(bytes: &mut &[u8]) -> u64 {
    let (mut out, mut shift) = (0, 0);
    while let Some((&byte, rest)) = bytes.split_first() {
        *bytes = rest;
        out |= u64::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            break;
        }
        shift += 7;
    }
    out
}

/// Nine numbers of at most ten bytes.
const HEAD_MAX: usize = 90;

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Entry").field(&self.key()).field(&self.version()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_comes_back() {
        let most = Version {
            revision: u64::MAX,
            created: 0,
            version: u64::MAX,
            lease: i64::MIN,
            sub: u32::MAX,
            place: Place { slot: u32::MAX, offset: u32::MAX, len: u32::MAX },
        };
        let deletion =
            Version { revision: 9, created: 0, version: 0, lease: 0, sub: 1, place: Place::default() };
        let ordinary = Version {
            revision: 1 << 20,
            created: (1 << 20) - 3,
            version: 2,
            place: Place { slot: 3, offset: 1 << 26, len: 4000 },
            ..deletion
        };
        let long = vec![0xff; 70_000];
        for version in [most, deletion, ordinary, Version { lease: -1, created: u64::MAX, ..ordinary }] {
            for key in [&b""[..], b"/registry/pods/default/web", &[0x80, 0, 0xff], &long] {
                let entry = Entry::new(key, version);
                assert_eq!((entry.key(), entry.version()), (key, version));
            }
        }
        assert!(Entry::new(b"b", deletion) > Entry::new(b"a", most));
        // What the documentation counts on: an ordinary key with its version fits into 64 bytes.
        assert!(Entry::new(b"/registry/pods/namespace-12/pod-123456", ordinary).0.len() <= 64);
    }
}
