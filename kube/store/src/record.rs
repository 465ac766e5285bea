//! One change of one key as bytes, with a checksum over it and its place in the history.

use std::time::Duration;

use bytes::Bytes;

use crate::error::Error;
use crate::types::{KeyValue, LeaseId, Position, Revision};

/// What the store holds at a [`Position`].
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

impl Record {
    /// The number of bytes that [`Self::encode`] adds.
    pub(crate) fn encoded_len(&self) -> usize {
        HEAD + self.key.len() + self.value.len() + TRAILER
    }

    /// Adds the record's bytes to `out`; returns their checksum.
    pub(crate) fn encode(&self, at: Position, out: &mut Vec<u8>) -> u32 {
        let start = out.len();
        let mut head = [0; HEAD];
        head[0] = FORMAT;
        head[1] = u8::from(self.deleted);
        head[2..6].copy_from_slice(&(self.key.len() as u32).to_le_bytes());
        head[6..14].copy_from_slice(&self.created.to_le_bytes());
        head[14..22].copy_from_slice(&self.version.to_le_bytes());
        head[22..].copy_from_slice(&self.lease.to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.key);
        out.extend_from_slice(&self.value);
        let crc = checksum(at, &out[start..]);
        out.extend_from_slice(&crc.to_le_bytes());
        crc
    }

    /// Reads what [`Self::encode`] wrote at the same place; key and value share its memory.
    pub(crate) fn decode(at: Position, bytes: &Bytes) -> Result<Self, Error> {
        let row = Row::read(at, bytes)?;
        Ok(Self {
            key: bytes.slice_ref(row.key),
            value: bytes.slice_ref(row.value),
            created: row.created,
            version: row.version,
            lease: row.lease,
            deleted: row.deleted,
        })
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
    pub crc: u32,
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
        let (created, version, lease) = (le_u64(&head[6..]), le_u64(&head[14..]), le_u64(&head[22..]) as i64);
        Ok(Self { key, value, created, version, lease, deleted: head[1] == 1, crc })
    }
}

/// A lease's time as a row; without one it ends there.
pub(crate) fn encode_lease(id: LeaseId, ttl: Option<Duration>, out: &mut Vec<u8>) -> u32 {
    let start = out.len();
    if let Some(ttl) = ttl {
        let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
        out.extend_from_slice(&millis.to_le_bytes());
    }
    let crc = checksum(lease_position(id), &out[start..]);
    out.extend_from_slice(&crc.to_le_bytes());
    crc
}

/// Reads what [`encode_lease`] wrote for the same lease.
pub(crate) fn decode_lease(id: LeaseId, row: &[u8]) -> Result<(Option<Duration>, u32), Error> {
    let at = lease_position(id);
    let damaged = || Error::Damaged { what: "a lease's checksum is wrong", at };
    let (body, crc) = row.split_last_chunk::<TRAILER>().ok_or_else(damaged)?;
    let crc = u32::from_le_bytes(*crc);
    if crc != checksum(at, body) {
        return Err(damaged());
    }
    let millis = body.first_chunk::<8>().map(|millis| u64::from_le_bytes(*millis));
    Ok((millis.map(Duration::from_millis), crc))
}

/// Where a lease's row stands: no record does.
pub(crate) fn lease_position(id: LeaseId) -> Position {
    Position { revision: id.0 as u64, sub: LEASE }
}

/// The lease, when `at` is the place of one.
pub(crate) fn lease_at(at: Position) -> Option<LeaseId> {
    (at.sub == LEASE).then_some(LeaseId(at.revision as i64))
}

fn checksum(at: Position, body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    let mut place = [0; 12];
    place[..8].copy_from_slice(&at.revision.to_le_bytes());
    place[8..].copy_from_slice(&at.sub.to_le_bytes());
    hasher.update(&place);
    hasher.update(body);
    hasher.finalize()
}

/// Spreads a checksum over 64 bits, so that the sum over all rows tells a lost or foreign row.
pub(crate) fn digest(at: Position, crc: u32) -> u64 {
    let mut mixed = (at.revision << 20) ^ (u64::from(at.sub) << 52) ^ u64::from(crc).rotate_left(32);
    for factor in [0xff51_afd7_ed55_8ccd_u64, 0xc4ce_b9fe_1a85_ec53] {
        mixed = (mixed ^ (mixed >> 33)).wrapping_mul(factor);
    }
    mixed ^ (mixed >> 33)
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

const FORMAT: u8 = 1;
const HEAD: usize = 30;
const TRAILER: usize = 4;
/// The place within a transaction that marks a lease's row: no transaction is that long.
const LEASE: u32 = u32::MAX;

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

    fn encoded(record: &Record, at: Position) -> Bytes {
        let mut bytes = Vec::new();
        record.encode(at, &mut bytes);
        assert_eq!(bytes.len(), record.encoded_len());
        bytes.into()
    }

    #[test]
    fn a_record_comes_back() {
        let (at, record) = sample();
        assert_eq!(Record::decode(at, &encoded(&record, at)).unwrap(), record);
    }

    #[test]
    fn every_bit_flip_truncation_and_move_is_noticed() {
        let (at, record) = sample();
        let bytes = encoded(&record, at);
        for bit in 0..bytes.len() * 8 {
            let mut flipped = bytes.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            assert!(Record::decode(at, &flipped.into()).is_err(), "bit {bit}");
        }
        for len in 0..bytes.len() {
            assert!(Record::decode(at, &bytes.slice(..len)).is_err(), "length {len}");
        }
        assert!(Record::decode(Position { revision: 10, sub: 1 }, &bytes).is_err());
    }

    #[test]
    fn leases_come_back_and_belong_to_their_id() {
        for ttl in [Some(Duration::from_millis(61_001)), None] {
            let mut row = Vec::new();
            let crc = encode_lease(LeaseId(-7), ttl, &mut row);
            assert_eq!(decode_lease(LeaseId(-7), &row).unwrap(), (ttl, crc));
            decode_lease(LeaseId(7), &row).unwrap_err();
            row[0] ^= 1;
            decode_lease(LeaseId(-7), &row).unwrap_err();
        }
    }
}
