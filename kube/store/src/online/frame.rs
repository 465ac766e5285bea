//! What goes over the socket: a byte for the kind, a length, and that many bytes.

use std::io::{self, Read, Write};

use crate::embedded::Report;
use crate::embedded::copy::Sum;
use crate::types::{Position, Revision};

/// The first bytes of every command; the last one counts the versions.
pub(super) const HELLO: &[u8] = b"strake store 2";

/// Kinds of frames.
pub(super) mod kind {
    /// Commands.
    pub(crate) const BACKUP: u8 = b'B';
    pub(crate) const CHECK: u8 = b'C';
    pub(crate) const HISTORY: u8 = b'H';
    /// Answers.
    /// A record, or a lease.
    pub(crate) const RECORD: u8 = b'D';
    /// How many there were, after them.
    pub(crate) const SUM: u8 = b'S';
    pub(crate) const REPORT: u8 = b'R';
    pub(crate) const ERROR: u8 = b'E';
    pub(crate) const END: u8 = b'.';
}

pub(super) fn write(out: &mut impl Write, kind: u8, parts: &[&[u8]]) -> io::Result<()> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let len = u32::try_from(len).map_err(|_| io::ErrorKind::InvalidInput)?;
    out.write_all(&[kind])?;
    out.write_all(&len.to_le_bytes())?;
    parts.iter().try_for_each(|part| out.write_all(part))
}

/// Reads a frame into `payload`; returns its kind.
pub(super) fn read(from: &mut impl Read, payload: &mut Vec<u8>) -> io::Result<u8> {
    let mut head = [0; 5];
    from.read_exact(&mut head)?;
    let len = u32::from_le_bytes([head[1], head[2], head[3], head[4]]) as usize;
    if len > FRAME_MAX {
        return Err(io::ErrorKind::InvalidData.into());
    }
    payload.resize(len, 0);
    from.read_exact(payload)?;
    Ok(head[0])
}

/// A record's place before its bytes.
pub(super) fn place(at: Position) -> [u8; PLACE] {
    let mut place = [0; PLACE];
    place[..8].copy_from_slice(&at.revision.to_le_bytes());
    place[8..].copy_from_slice(&at.sub.to_le_bytes());
    place
}

/// Splits off what [`place`] wrote.
pub(super) fn placed(payload: &[u8]) -> Option<(Position, &[u8])> {
    let (place, row) = payload.split_first_chunk::<PLACE>()?;
    let (revision, sub) = place.split_first_chunk::<8>()?;
    let sub = u32::from_le_bytes(*sub.first_chunk()?);
    Some((Position { revision: u64::from_le_bytes(*revision), sub }, row))
}

pub(super) fn report(report: &Report) -> Vec<u8> {
    let Report { revision, compacted, rows, keys, leases } = report;
    let numbers = [revision.0, compacted.0, *rows, *keys as u64, *leases as u64];
    numbers.iter().flat_map(|number| number.to_le_bytes()).collect()
}

pub(super) fn reported(payload: &[u8]) -> Option<Report> {
    let (numbers, rest) = payload.as_chunks::<8>();
    let [revision, compacted, rows, keys, leases] = numbers else { return None };
    let number = |raw: &[u8; 8]| u64::from_le_bytes(*raw);
    let report = Report {
        revision: Revision(number(revision)),
        compacted: Revision(number(compacted)),
        rows: number(rows),
        keys: usize::try_from(number(keys)).ok()?,
        leases: usize::try_from(number(leases)).ok()?,
    };
    rest.is_empty().then_some(report)
}

pub(super) fn sum(sum: Sum) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&sum.rows.to_le_bytes());
    bytes[8..].copy_from_slice(&sum.digest.to_le_bytes());
    bytes
}

pub(super) fn summed(payload: &[u8]) -> Option<Sum> {
    let [rows, digest] = payload.as_chunks::<8>().0 else { return None };
    let sum = Sum { rows: u64::from_le_bytes(*rows), digest: u64::from_le_bytes(*digest) };
    (payload.len() == 16).then_some(sum)
}

const PLACE: usize = 12;
/// The largest record, and room for its head.
const FRAME_MAX: usize = crate::txn::TXN_BYTES_MAX + (1 << 20);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        let mut wire = Vec::new();
        write(&mut wire, kind::RECORD, &[&place(Position { revision: 7, sub: 2 }), b"row"]).unwrap();
        write(&mut wire, kind::END, &[]).unwrap();
        let (mut from, mut payload) = (&wire[..], Vec::new());
        assert_eq!(read(&mut from, &mut payload).unwrap(), kind::RECORD);
        assert_eq!(placed(&payload), Some((Position { revision: 7, sub: 2 }, &b"row"[..])));
        assert_eq!(read(&mut from, &mut payload).unwrap(), kind::END);
        assert!(payload.is_empty());
        assert!(read(&mut from, &mut payload).is_err(), "nothing follows");
        assert!(read(&mut &b"D\xff\xff\xff\xff"[..], &mut payload).is_err(), "too long");
        assert_eq!(placed(b"short"), None);
    }

    #[test]
    fn reports_come_back() {
        let sent = Report { revision: Revision(5), compacted: Revision(2), rows: 9, keys: 4, leases: 1 };
        assert_eq!(reported(&report(&sent)), Some(sent.clone()));
        assert_eq!(reported(&report(&sent)[1..]), None);
        let sent = Sum { rows: 3, digest: u64::MAX - 1 };
        assert_eq!(summed(&sum(sent)), Some(sent));
        assert_eq!(summed(&sum(sent)[1..]), None);
    }
}
