//! The first sector of a segment: whose it is, which part of the log it holds, and what is before it. Pure.

use super::frame::{SECTOR, u32_at, u64_at};
use crate::error::Error;

/// The end of a segment, as the next one remembers it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Link {
    /// Where its last frame ends.
    pub end: u32,
    /// The checksum of that frame's head.
    pub chain: u32,
}

/// A segment's head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHead {
    /// Of the store; no two have the same.
    pub identity: u64,
    /// The parts of the log that it holds: one, or several that were put together.
    pub first: u32,
    pub last: u32,
    /// The length of its file.
    pub len: u32,
    /// Where the store stood when it began; in one that was put together, where its last part ended.
    pub revision: u64,
    pub compacted: u64,
    /// The end of the part before.
    pub before: Link,
    /// Only of one that was written as a whole, from older ones: its own end.
    pub whole: Option<Whole>,
}

/// What is known of a segment that was written as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Whole {
    /// Where its frames end.
    pub own: Link,
    /// The end that the part after it remembers.
    pub shown: Link,
}

impl SegmentHead {
    /// Where its frames begin.
    pub(crate) const LEN: usize = SECTOR;

    /// The name of its file.
    pub(crate) fn name(first: u32) -> String {
        format!("{first:08x}.log")
    }

    /// What [`Self::name`] says.
    pub(crate) fn number(name: &str) -> Option<u32> {
        let digits = name.strip_suffix(".log").filter(|digits| digits.len() == 8)?;
        u32::from_str_radix(digits, 16).ok()
    }

    /// The bytes, and their checksum: the chain of its frames begins with it.
    pub(crate) fn encode(&self) -> ([u8; SECTOR], u32) {
        let mut bytes = [0; SECTOR];
        bytes[..8].copy_from_slice(MAGIC);
        let whole = self.whole.unwrap_or(Whole { own: Link::default(), shown: Link::default() });
        let numbers = [
            FORMAT,
            u32::from(self.whole.is_some()),
            self.first,
            self.last,
            self.len,
            self.before.end,
            self.before.chain,
            whole.own.end,
            whole.own.chain,
            whole.shown.end,
            whole.shown.chain,
        ];
        for (at, number) in numbers.iter().enumerate() {
            bytes[8 + at * 4..12 + at * 4].copy_from_slice(&number.to_le_bytes());
        }
        for (at, number) in [self.identity, self.revision, self.compacted].iter().enumerate() {
            bytes[LONG_AT + at * 8..LONG_AT + 8 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32fast::hash(&bytes[..CRC_AT]);
        bytes[CRC_AT..].copy_from_slice(&crc.to_le_bytes());
        (bytes, crc)
    }

    /// Reads what [`Self::encode`] wrote; `Ok(None)` when it is none, or a changed one.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Option<(Self, u32)>, Error> {
        if bytes.len() < SECTOR || &bytes[..8] != MAGIC {
            return Ok(None);
        }
        let crc = u32_at(bytes, CRC_AT);
        if crc != crc32fast::hash(&bytes[..CRC_AT]) {
            return Ok(None);
        }
        let number = |at: usize| u32_at(bytes, 8 + at * 4);
        let long = |at: usize| u64_at(bytes, LONG_AT + at * 8);
        if number(0) != FORMAT {
            return Err(Error::Format { found: number(0), known: FORMAT });
        }
        let link = |at: usize| Link { end: number(at), chain: number(at + 1) };
        let head = Self {
            identity: long(0),
            first: number(2),
            last: number(3),
            len: number(4),
            revision: long(1),
            compacted: long(2),
            before: link(5),
            whole: (number(1) == 1).then(|| Whole { own: link(7), shown: link(9) }),
        };
        Ok(Some((head, crc)))
    }
}

const MAGIC: &[u8; 8] = b"strake\0l";
/// 1 was a B-tree in one file.
const FORMAT: u32 = 2;
const LONG_AT: usize = 56;
const CRC_AT: usize = SECTOR - 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_come_back_and_changed_ones_are_none() {
        let plain = SegmentHead {
            identity: u64::MAX - 3,
            first: 5,
            last: 5,
            len: 1 << 20,
            revision: 99,
            compacted: 40,
            before: Link { end: 4096, chain: 0xdead_beef },
            whole: None,
        };
        let link = |end| Link { end, chain: end + 1 };
        let whole = SegmentHead { last: 9, whole: Some(Whole { own: link(70), shown: link(80) }), ..plain };
        for head in [plain, whole] {
            let (bytes, crc) = head.encode();
            assert_eq!(SegmentHead::decode(&bytes).unwrap(), Some((head, crc)));
            for bit in 0..bytes.len() * 8 {
                let mut flipped = bytes;
                flipped[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(SegmentHead::decode(&flipped).unwrap(), None, "bit {bit}");
            }
            assert_eq!(SegmentHead::decode(&bytes[..511]).unwrap(), None);
        }
    }

    #[test]
    fn names_are_numbers() {
        assert_eq!(SegmentHead::number(&SegmentHead::name(0xabc)), Some(0xabc));
        for other in ["abc.log", "0000000g.log", "00000001.part", "00000001.log.part", ""] {
            assert_eq!(SegmentHead::number(other), None, "{other}");
        }
    }
}
