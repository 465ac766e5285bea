//! Everything that a file holds, read and checked once: at a start, for `check` and for a copy.
//!
//! ```text
//! chunks of revisions ─▶ readers: rows checked, values left behind ─▶ in order ─▶ the machine
//! ```
//!
//! The checksums of a large store would make a start wait, so all processors share them.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Instant;

use bytes::Bytes;
use redb::{ReadOnlyTable, ReadTransaction, ReadableTable};

use super::file::{LEASES, RECORDS, State, decode_lease, lease_position, read_state};
use crate::error::Error;
use crate::index::Version;
use crate::machine::Machine;
use crate::record::{Row, digest};
use crate::types::{LeaseId, Position};

/// What a file holds.
pub(crate) struct Loaded {
    pub machine: Machine,
    pub state: State,
    pub garbage: Vec<Position>,
}

/// Reads and checks the whole file. An empty file is an empty store.
pub(crate) fn scan(txn: &ReadTransaction, now: Instant) -> Result<Loaded, Error> {
    let mut machine = Machine::default();
    let Some(state) = read_state(txn)? else {
        return Ok(Loaded { machine, state: State::default(), garbage: Vec::new() });
    };
    let mut seen = State { rows: 0, digest: 0, ..state };
    let records = txn.open_table(RECORDS).map_err(Error::read)?;
    scan_records(&records, state, |chunk| {
        seen.rows += chunk.versions.len() as u64;
        seen.digest ^= chunk.digest;
        chunk.versions.into_iter().for_each(|(key, version)| machine.replay(key, version));
    })?;
    let leases = txn.open_table(LEASES).map_err(Error::read)?;
    for row in leases.iter().map_err(Error::read)? {
        let (id, value) = row.map_err(Error::read)?;
        let id = LeaseId(id.value());
        let (ttl, crc) = decode_lease(id, value.value())?;
        machine.grant(id, ttl, now)?;
        seen.rows += 1;
        seen.digest ^= digest(lease_position(id), crc);
    }
    if seen != state {
        let at = Position { revision: state.revision, sub: 0 };
        return Err(Error::Damaged { what: "records are missing or foreign", at });
    }
    let garbage = machine.replayed(state.revision, state.compacted);
    Ok(Loaded { machine, state, garbage })
}

type Records = ReadOnlyTable<(u64, u32), &'static [u8]>;

/// The records of some revisions without their values.
#[derive(Default)]
struct Chunk {
    versions: Vec<(Bytes, Version)>,
    digest: u64,
}

/// Hands all records to `take`, ascending.
fn scan_records(records: &Records, state: State, mut take: impl FnMut(Chunk)) -> Result<(), Error> {
    let first = records.first().map_err(Error::read)?.map_or(0, |(key, _)| key.value().0);
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX);
    if state.rows < ROWS_ALONE || readers == 1 {
        take(read(records, first, u64::MAX, state)?);
        return Ok(());
    }
    let span = state.revision.saturating_sub(first) + 1;
    let step = span.div_ceil(CHUNKS_MAX).max(CHUNK_MIN);
    let chunks = span.div_ceil(step);
    let read = |number: u64| {
        let from = first + number * step;
        // The last one looks for what is newer than the store, too.
        let end = if number + 1 == chunks { u64::MAX } else { from + step };
        read(records, from, end, state)
    };
    thread::scope(|scope| {
        let inboxes: Vec<Receiver<Result<Chunk, Error>>> = (0..readers as u64)
            .map(|reader| {
                let (send, inbox) = sync_channel(CHUNKS_AHEAD);
                scope.spawn(move || hand_over((reader..chunks).step_by(readers).map(read), &send));
                inbox
            })
            .collect();
        for number in 0..chunks {
            let chunk = inboxes[number as usize % readers].recv();
            // A reader that panics has said so; the scope passes it on.
            take(chunk.unwrap_or(Err(Error::Closed))?);
        }
        Ok(())
    })
}

/// Sends chunks until one is an error, or nobody takes them any more.
fn hand_over(chunks: impl Iterator<Item = Result<Chunk, Error>>, send: &SyncSender<Result<Chunk, Error>>) {
    for chunk in chunks {
        let ends = chunk.is_err();
        if send.send(chunk).is_err() || ends {
            return;
        }
    }
}

/// Reads and checks the records from one revision up to another.
fn read(records: &Records, from: u64, end: u64, state: State) -> Result<Chunk, Error> {
    let mut chunk = Chunk::default();
    for row in records.range((from, 0)..(end, 0)).map_err(Error::read)? {
        let (key, value) = row.map_err(Error::read)?;
        let (revision, sub) = key.value();
        let at = Position { revision, sub };
        if revision > state.revision {
            return Err(Error::Damaged { what: "a record is newer than the store", at });
        }
        let row = Row::read(at, value.value())?;
        chunk.versions.push((Bytes::copy_from_slice(row.key), Version::of_row(at, &row)));
        chunk.digest ^= row.digest;
    }
    Ok(chunk)
}

/// Checksums wait for memory more than for processors beyond that.
const READERS_MAX: usize = 4;
/// Fewer rows than that are read before a thread has started.
const ROWS_ALONE: u64 = 4096;
/// Revisions in a chunk of a store that was never compacted: a few MiB of records.
const CHUNK_MIN: u64 = 2048;
/// More chunks would be empty ones: most revisions of an old store are compacted away.
const CHUNKS_MAX: u64 = 4096;
/// Chunks that a reader may be ahead.
const CHUNKS_AHEAD: usize = 2;
