//! One change of one key as bytes, with a checksum over it and its place.

use bytes::Bytes;

use crate::crc::crc32c;
use crate::error::Error;
use crate::types::{KeyValue, LeaseId, Position, Revision};

/// What the table holds at a [`Position`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The key.
    pub key: Bytes,
    /// The value; empty for a deletion.
    pub value: Bytes,
    /// The revision that created the key.
    pub created: u64,
    /// The number of puts since then; 0 for a deletion.
    pub version: u64,
    /// The lease, 0 for none.
    pub lease: i64,
    /// Whether the key was deleted here.
    pub deleted: bool,
}

/// A record's bytes and what it adds to the file's digest.
pub(crate) struct Encoded {
    pub bytes: Vec<u8>,
    pub digest: u64,
}

impl Record {
    pub(crate) fn encode(&self, at: Position) -> Encoded {
        let mut bytes = Vec::with_capacity(HEAD + self.key.len() + self.value.len() + TRAILER);
        bytes.push(FORMAT);
        bytes.push(u8::from(self.deleted));
        bytes.extend_from_slice(&(self.key.len() as u32).to_le_bytes());
        bytes.extend_from_slice(&self.created.to_le_bytes());
        bytes.extend_from_slice(&self.version.to_le_bytes());
        bytes.extend_from_slice(&self.lease.to_le_bytes());
        bytes.extend_from_slice(&self.key);
        bytes.extend_from_slice(&self.value);
        let crc = checksum(at, &bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        Encoded { bytes, digest: digest(at, crc) }
    }

    /// Reads what [`Self::encode`] wrote at the same place.
    pub(crate) fn decode(at: Position, bytes: &[u8]) -> Result<(Self, u64), Error> {
        let row = Row::read(at, bytes)?;
        let record = Self {
            key: Bytes::copy_from_slice(row.key),
            value: Bytes::copy_from_slice(row.value),
            created: row.created,
            version: row.version,
            lease: row.lease,
            deleted: row.deleted,
        };
        Ok((record, row.digest))
    }

    /// The key and value as callers see them.
    pub fn key_value(&self, at: Position) -> KeyValue {
        KeyValue {
            key: self.key.clone(),
            value: self.value.clone(),
            create_revision: Revision(self.created),
            mod_revision: Revision(at.revision),
            version: self.version,
            lease: (self.lease != 0).then_some(LeaseId(self.lease)),
        }
    }
}

/// A record where it lies, checked.
pub(crate) struct Row<'a> {
    pub key: &'a [u8],
    pub value: &'a [u8],
    pub created: u64,
    pub version: u64,
    pub lease: i64,
    pub deleted: bool,
    pub digest: u64,
}

impl<'a> Row<'a> {
    /// Reads what [`Record::encode`] wrote at the same place.
    pub(crate) fn read(at: Position, bytes: &'a [u8]) -> Result<Self, Error> {
        let damaged = |what| Error::Damaged { what, at };
        let (body, crc) = bytes.split_last_chunk::<TRAILER>().ok_or(damaged("a record is too short"))?;
        let crc = u32::from_le_bytes(*crc);
        if crc != checksum(at, body) {
            return Err(damaged("a record's checksum is wrong"));
        }
        let (head, rest) = body.split_first_chunk::<HEAD>().ok_or(damaged("a record is too short"))?;
        if head[0] != FORMAT {
            return Err(damaged("a record has an unknown format"));
        }
        let key_len = u32::from_le_bytes([head[2], head[3], head[4], head[5]]) as usize;
        let (key, value) = rest.split_at_checked(key_len).ok_or(damaged("a record's key is cut off"))?;
        let number = |from: usize| {
            let mut raw = [0; 8];
            raw.copy_from_slice(&head[from..from + 8]);
            u64::from_le_bytes(raw)
        };
        Ok(Self {
            key,
            value,
            created: number(6),
            version: number(14),
            lease: number(22) as i64,
            deleted: head[1] == 1,
            digest: digest(at, crc),
        })
    }
}

fn checksum(at: Position, body: &[u8]) -> u32 {
    crc32c(&[&at.revision.to_le_bytes(), &at.sub.to_le_bytes(), body])
}

/// Spreads a checksum over 64 bits, so that the sum over all rows tells a lost or foreign row.
pub(crate) fn digest(at: Position, crc: u32) -> u64 {
    let mut mixed = (at.revision << 20) ^ (u64::from(at.sub) << 52) ^ u64::from(crc).rotate_left(32);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

const FORMAT: u8 = 1;
const HEAD: usize = 30;
const TRAILER: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> (Position, Record) {
        let record = Record {
            key: Bytes::from_static(b"/registry/pods/a"),
            value: Bytes::from_static(b"value"),
            created: 7,
            version: 3,
            lease: -5,
            deleted: false,
        };
        (Position { revision: 9, sub: 1 }, record)
    }

    #[test]
    fn a_record_comes_back() {
        let (at, record) = sample();
        let encoded = record.encode(at);
        assert_eq!(Record::decode(at, &encoded.bytes).unwrap(), (record, encoded.digest));
    }

    #[test]
    fn every_bit_flip_truncation_and_move_is_noticed() {
        let (at, record) = sample();
        let bytes = record.encode(at).bytes;
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(at, &flipped).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(at, &bytes[..len]).is_err(), "length {len}");
        }
        assert!(Record::decode(Position { revision: 10, sub: 1 }, &bytes).is_err());
    }
}
