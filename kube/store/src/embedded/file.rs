//! The tables in the file, and the state row that vouches for them.
//!
//! `records`: (revision, sub) → [`Record`]; `leases`: id → time; `meta`: one row, [`State`],
//! rewritten with every commit. The state counts all rows and sums up their checksums, so that
//! a lost row is noticed as well as a changed one.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase, StorageBackend, TableDefinition};

use crate::crc::crc32c;
use crate::error::Error;
use crate::record::{Record, digest};
use crate::types::{LeaseId, Position};

pub(crate) const RECORDS: TableDefinition<'_, (u64, u32), &[u8]> = TableDefinition::new("records");
pub(crate) const LEASES: TableDefinition<'_, i64, &[u8]> = TableDefinition::new("leases");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// What the file says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub revision: u64,
    pub compacted: u64,
    pub rows: u64,
    pub digest: u64,
}

impl Default for State {
    fn default() -> Self {
        Self { revision: 1, compacted: 0, rows: 0, digest: 0 }
    }
}

/// What one commit changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub records: Vec<(Position, Record)>,
    pub leases: Vec<(LeaseId, Option<Duration>)>,
    pub compact: Option<u64>,
    pub dropped: Vec<Position>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.leases.is_empty() && self.compact.is_none() && self.dropped.is_empty()
    }
}

/// Opens or makes the database on a backend.
pub(crate) fn database(backend: impl StorageBackend, cache_bytes: usize) -> Result<Database, redb::Error> {
    Ok(Database::builder().set_cache_size(cache_bytes).create_with_backend(backend)?)
}

/// Makes changes durable with one sync; returns the new state.
pub(crate) fn commit(db: &Database, state: State, changes: &Changes) -> Result<State, redb::Error> {
    let mut state = state;
    let txn = db.begin_write()?;
    {
        let mut table = txn.open_table(RECORDS)?;
        for (at, record) in &changes.records {
            let encoded = record.encode(*at);
            table.insert((at.revision, at.sub), &encoded.bytes[..])?;
            state.revision = at.revision;
            state.rows += 1;
            state.digest ^= encoded.digest;
        }
        for at in &changes.dropped {
            let Some(row) = table.remove((at.revision, at.sub))? else { continue };
            state.rows = state.rows.wrapping_sub(1);
            state.digest ^= digest(*at, trailer(row.value()));
        }
        base::failpoint::hit("store.commit.recorded");
        let mut leases = txn.open_table(LEASES)?;
        for (id, ttl) in &changes.leases {
            match ttl {
                Some(ttl) => {
                    let (row, crc) = encode_lease(*id, *ttl);
                    leases.insert(id.0, &row[..])?;
                    state.rows += 1;
                    state.digest ^= digest(lease_position(*id), crc);
                }
                None => {
                    let Some(row) = leases.remove(id.0)? else { continue };
                    state.rows = state.rows.wrapping_sub(1);
                    state.digest ^= digest(lease_position(*id), trailer(row.value()));
                }
            }
        }
        state.compacted = changes.compact.unwrap_or(state.compacted);
        txn.open_table(META)?.insert(STATE, &state.encode()[..])?;
    }
    base::failpoint::hit("store.commit.filled");
    txn.commit()?;
    Ok(state)
}

/// The state row; `None` in a file that was never written to.
pub(crate) fn read_state(txn: &ReadTransaction) -> Result<Option<State>, Error> {
    let meta = match txn.open_table(META) {
        Ok(meta) => meta,
        Err(redb::TableError::TableDoesNotExist(_)) => return no_state(txn),
        Err(error) => return Err(Error::read(error)),
    };
    let row = meta.get(STATE).map_err(Error::read)?.ok_or(NO_STATE)?;
    State::decode(row.value()).map(Some)
}

/// Without a state there must be nothing at all.
fn no_state(txn: &ReadTransaction) -> Result<Option<State>, Error> {
    let mut tables = txn.list_tables().map_err(Error::read)?;
    if tables.next().is_some() { Err(NO_STATE) } else { Ok(None) }
}

impl State {
    pub(crate) fn encode(&self) -> [u8; STATE_LEN] {
        let mut row = [0; STATE_LEN];
        row[..4].copy_from_slice(&FORMAT.to_le_bytes());
        for (at, number) in [self.revision, self.compacted, self.rows, self.digest].iter().enumerate() {
            row[4 + at * 8..12 + at * 8].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c(&[&row[..STATE_LEN - 4]]);
        row[STATE_LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        row
    }

    pub(crate) fn decode(row: &[u8]) -> Result<Self, Error> {
        if row.len() != STATE_LEN || trailer(row) != crc32c(&[&row[..STATE_LEN - 4]]) {
            return Err(Error::Damaged { what: "the state's checksum is wrong", at: NOWHERE });
        }
        let found = trailer(&row[..4]);
        if found != FORMAT {
            return Err(Error::Format { found, known: FORMAT });
        }
        let number = |at: usize| le_u64(&row[4 + at * 8..12 + at * 8]);
        Ok(Self { revision: number(0), compacted: number(1), rows: number(2), digest: number(3) })
    }
}

fn encode_lease(id: LeaseId, ttl: Duration) -> ([u8; LEASE_LEN], u32) {
    let mut row = [0; LEASE_LEN];
    let millis = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
    row[..8].copy_from_slice(&millis.to_le_bytes());
    let crc = crc32c(&[&id.0.to_le_bytes(), &row[..8]]);
    row[8..].copy_from_slice(&crc.to_le_bytes());
    (row, crc)
}

pub(crate) fn decode_lease(id: LeaseId, row: &[u8]) -> Result<(Duration, u32), Error> {
    let right = row.len() == LEASE_LEN && trailer(row) == crc32c(&[&id.0.to_le_bytes(), &row[..8]]);
    if !right {
        return Err(Error::Damaged { what: "a lease's checksum is wrong", at: NOWHERE });
    }
    Ok((Duration::from_millis(le_u64(&row[..8])), trailer(row)))
}

/// A lease's row as a change that writes it again.
pub(crate) fn lease(id: i64, row: &[u8]) -> Result<(LeaseId, Option<Duration>), Error> {
    let id = LeaseId(id);
    decode_lease(id, row).map(|(ttl, _)| (id, Some(ttl)))
}

/// A place in the digest that no record has.
pub(crate) fn lease_position(id: LeaseId) -> Position {
    Position { revision: id.0 as u64, sub: u32::MAX }
}

/// The last four bytes; 0 when there are fewer, which no checksum survives.
fn trailer(row: &[u8]) -> u32 {
    row.last_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes))
}

fn le_u64(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

pub(crate) fn file_error(doing: &'static str, path: &Path, cause: redb::Error) -> Error {
    Error::File { doing, path: path.to_owned(), cause: Arc::new(cause) }
}

/// Begins a read of what is committed.
pub(crate) fn begin_read(db: &Database) -> Result<ReadTransaction, Error> {
    db.begin_read().map_err(Error::read)
}

const FORMAT: u32 = 1;
const STATE: &str = "state";
const STATE_LEN: usize = 40;
const LEASE_LEN: usize = 12;
const NOWHERE: Position = Position { revision: 0, sub: 0 };
const NO_STATE: Error = Error::Damaged { what: "the state is missing", at: NOWHERE };
