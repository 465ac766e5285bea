//! `check`, `backup`, `restore` and `history KEY` as functions.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use base::failpoint::hit;
use redb::{Database, ReadTransaction, ReadableTable};

use super::disk::{Disk, Frozen, sync_directory_of};
use super::file::{self, Changes, LEASES, RECORDS, State, begin_read, commit, file_error, read_state};
use super::scan::scan;
use crate::error::Error;
use crate::index::Version;
use crate::machine::{Values, load};
use crate::record::Record;
use crate::types::{KeyValue, Position, Revision};

/// What a checked file holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Where the store stands.
    pub revision: Revision,
    /// The oldest revision that can be read.
    pub compacted: Revision,
    /// Records and leases.
    pub rows: u64,
    /// Keys that exist.
    pub keys: usize,
    /// Leases.
    pub leases: usize,
}

/// One version of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The revision that made it.
    pub revision: Revision,
    /// What it was set to; `None` when it was deleted.
    pub kv: Option<KeyValue>,
}

/// Checks the pages and every record of a file that no store has open. Changes nothing.
pub fn check(path: &Path) -> Result<Report, Error> {
    let mut db = frozen(path)?;
    // A file that was not closed is repaired in memory here; only what stays wrong is an error.
    db.check_integrity().map_err(|error| file_error("check store", path, error.into()))?;
    verified(&begin_read(&db)?)
}

/// Every kept version of a key in a file that no store has open, oldest first.
pub fn history(path: &Path, key: &[u8]) -> Result<Vec<Change>, Error> {
    let db = frozen(path)?;
    let txn = begin_read(&db)?;
    let loaded = scan(&txn, Instant::now())?;
    let versions = loaded.machine.history(key);
    if versions.is_empty() {
        return Ok(Vec::new());
    }
    changes(key, versions, &Table(txn.open_table(RECORDS).map_err(Error::read)?))
}

/// Makes a new store from a backup; `target` must not exist. Returns what it holds.
pub fn restore(backup: &Path, target: &Path) -> Result<Report, Error> {
    let db = frozen(backup)?;
    copy(&begin_read(&db)?, target)
}

/// Makes an empty store: there at once as a whole, or not at all.
///
/// redb writes its header last; a file that it was making when the power went is no database.
pub(crate) fn create(path: &Path) -> Result<(), Error> {
    let partial = partial_of(path)?;
    hit("store.create.begun");
    let failed = |cause| file_error("make store", &partial, cause);
    let db = file::database(Disk::open(&partial)?, COPY_CACHE_BYTES).map_err(failed)?;
    commit(&db, State::default(), &Changes::default()).map_err(failed)?;
    hit("store.create.filled");
    // A link does not replace what another process has made meanwhile.
    match fs::hard_link(&partial, path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
            return Err(Error::io("put into place", path, error));
        }
        _ => {}
    }
    hit("store.create.linked");
    drop(db);
    fs::remove_file(&partial).map_err(|error| Error::io("remove", &partial, error))?;
    hit("store.create.removed");
    sync_directory_of(path)
}

/// The name of an unfinished file beside `path`; what an earlier attempt left there is removed.
fn partial_of(path: &Path) -> Result<PathBuf, Error> {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    match fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(Error::io("remove unfinished", partial, error))
        }
        _ => Ok(partial),
    }
}

/// Writes what `txn` sees to a new file: complete, checked and durable, or not there.
pub(crate) fn copy(txn: &ReadTransaction, target: &Path) -> Result<Report, Error> {
    let partial = begin(target)?;
    let report = verified(txn)?;
    hit("store.backup.begun");
    fill(txn, &partial)?;
    install(&partial, target)?;
    Ok(report)
}

/// Refuses a target that exists; the name of the unfinished file beside it.
pub(crate) fn begin(target: &Path) -> Result<PathBuf, Error> {
    if fs::exists(target).map_err(|error| Error::io("look for", target, error))? {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(Error::io("refuse to overwrite", target, exists));
    }
    partial_of(target)
}

/// Puts a finished file into its place.
pub(crate) fn install(partial: &Path, target: &Path) -> Result<(), Error> {
    hit("store.backup.synced");
    fs::rename(partial, target).map_err(|error| Error::io("put into place", target, error))?;
    sync_directory_of(target)?;
    hit("store.backup.renamed");
    Ok(())
}

fn fill(txn: &ReadTransaction, partial: &Path) -> Result<(), Error> {
    let mut filling = Filling::begin(partial, read_state(txn)?.unwrap_or_default())?;
    rows(txn, |row| filling.take(&row))?;
    filling.finish()
}

/// A row of a file as it lies there.
pub(crate) enum RawRow<'a> {
    Lease(i64, &'a [u8]),
    Record(Position, &'a [u8]),
}

/// Hands out every row but the state, leases first.
pub(crate) fn rows(
    txn: &ReadTransaction,
    mut take: impl FnMut(RawRow<'_>) -> Result<(), Error>,
) -> Result<(), Error> {
    if read_state(txn)?.is_none() {
        return Ok(());
    }
    let leases = txn.open_table(LEASES).map_err(Error::read)?;
    for row in leases.iter().map_err(Error::read)? {
        let (id, value) = row.map_err(Error::read)?;
        take(RawRow::Lease(id.value(), value.value()))?;
    }
    let records = txn.open_table(RECORDS).map_err(Error::read)?;
    for row in records.iter().map_err(Error::read)? {
        let (key, value) = row.map_err(Error::read)?;
        let (revision, sub) = key.value();
        take(RawRow::Record(Position { revision, sub }, value.value()))?;
    }
    Ok(())
}

/// A file that is being filled with another one's rows, each of them checked.
pub(crate) struct Filling<'a> {
    partial: &'a Path,
    db: Database,
    source: State,
    state: State,
    changes: Changes,
    bytes: usize,
}

impl<'a> Filling<'a> {
    pub(crate) fn begin(partial: &'a Path, source: State) -> Result<Self, Error> {
        let disk = Disk::open(partial)?;
        let db = file::database(disk, COPY_CACHE_BYTES);
        let db = db.map_err(|cause| file_error("write", partial, cause))?;
        hit("store.backup.opened");
        let changes = Changes { compact: Some(source.compacted), ..Changes::default() };
        Ok(Self { partial, db, source, state: State::default(), changes, bytes: 0 })
    }

    pub(crate) fn take(&mut self, row: &RawRow<'_>) -> Result<(), Error> {
        match row {
            RawRow::Lease(id, row) => self.changes.leases.push(file::lease(*id, row)?),
            RawRow::Record(at, row) => {
                self.bytes += row.len();
                self.changes.records.push((*at, Record::decode(*at, row)?.0));
            }
        }
        if self.bytes >= COPY_BATCH_BYTES { self.commit() } else { Ok(()) }
    }

    /// Makes the file durable and says of it what the source says of itself.
    pub(crate) fn finish(mut self) -> Result<(), Error> {
        hit("store.backup.filled");
        self.commit()?;
        let counted = (self.state.rows, self.state.digest) == (self.source.rows, self.source.digest);
        if !counted {
            let at = Position { revision: self.source.revision, sub: 0 };
            return Err(Error::Damaged { what: "the copy differs from the source", at });
        }
        // The newest records may be compacted away; the revision never goes back all the same.
        self.state = self.source;
        self.commit()
    }

    fn commit(&mut self) -> Result<(), Error> {
        let changes = std::mem::take(&mut self.changes);
        self.bytes = 0;
        let committed = commit(&self.db, self.state, &changes);
        self.state = committed.map_err(|cause| file_error("write", self.partial, cause))?;
        hit("store.backup.committed");
        Ok(())
    }
}

/// Checks all rows.
pub(crate) fn verified(txn: &ReadTransaction) -> Result<Report, Error> {
    let loaded = scan(txn, Instant::now())?;
    Ok(Report {
        revision: loaded.machine.revision(),
        compacted: loaded.machine.compacted(),
        rows: loaded.state.rows,
        keys: loaded.machine.keys_live(),
        leases: loaded.machine.lease_ids().len(),
    })
}

fn frozen(path: &Path) -> Result<Database, Error> {
    let disk = Disk::open_read_only(path)?;
    let view = Frozen::new(Arc::new(disk)).map_err(|error| Error::io("read", path, error))?;
    file::database(view, COPY_CACHE_BYTES).map_err(|cause| file_error("open store", path, cause))
}

/// Loads the versions of a key.
pub(crate) fn changes(key: &[u8], versions: &[Version], values: &dyn Values) -> Result<Vec<Change>, Error> {
    let key = bytes::Bytes::copy_from_slice(key);
    let change = |version: &Version| {
        let kv = load(values, &key, *version)?;
        let kv = (!version.deleted).then_some(kv);
        Ok(Change { revision: Revision(version.at.revision), kv })
    };
    versions.iter().map(change).collect()
}

/// The records of a file that is only read.
struct Table(redb::ReadOnlyTable<(u64, u32), &'static [u8]>);

impl Values for Table {
    fn load(&self, at: Position) -> Result<Record, Error> {
        let row = self.0.get((at.revision, at.sub)).map_err(Error::read)?;
        let row = row.ok_or(Error::Damaged { what: "a record is missing", at })?;
        Record::decode(at, row.value()).map(|(record, _)| record)
    }
}

const COPY_CACHE_BYTES: usize = 16 << 20;
/// Bytes that one commit of a copy holds in memory.
const COPY_BATCH_BYTES: usize = 8 << 20;
