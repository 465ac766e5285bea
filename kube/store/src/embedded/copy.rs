//! `check`, `backup`, `restore` and `history KEY` as functions.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use base::failpoint::hit;

use super::disk::{Disk, sync_directory_of};
use super::log::build::Builder;
use super::log::frame::RawRow;
use super::log::recover::{Recovered, recover};
use super::log::segment::Table;
use crate::error::Error;
use crate::index::Version;
use crate::machine::{Machine, Values, load};
use crate::record::{Record, Row, decode_lease, digest, encode_lease, lease_at, lease_position};
use crate::types::{KeyValue, LeaseId, Place, Position, Revision};

/// What a checked store holds.
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

/// A store as it was at one moment, for as long as this is held.
#[derive(Debug)]
pub(crate) struct Frozen {
    pub report: Report,
    table: Arc<Table>,
    /// Where its records lie, in the order of the log.
    places: Vec<Place>,
    leases: Vec<(LeaseId, Duration)>,
}

impl Frozen {
    /// What `machine` holds up to `newest`.
    pub(crate) fn new(
        machine: &Machine,
        table: Arc<Table>,
        newest: Revision,
        leases: Vec<(LeaseId, Duration)>,
    ) -> Self {
        let mut places = machine.places(newest);
        // Within a segment offsets ascend with the history, and so do segments by their rank.
        places.sort_unstable_by_key(|place| (table.rank(place.slot), place.offset));
        let report = Report {
            revision: newest,
            compacted: machine.compacted(),
            rows: (places.len() + leases.len()) as u64,
            keys: machine.keys_live(newest),
            leases: leases.len(),
        };
        Self { report, table, places, leases }
    }

    /// Hands out every row, each of them checked: leases first, then records in their order.
    pub(crate) fn rows(&self, mut take: impl FnMut(RawRow<'_>) -> Result<(), Error>) -> Result<Sum, Error> {
        let mut sum = Sum::default();
        let mut bytes = Vec::new();
        for (id, ttl) in &self.leases {
            bytes.clear();
            encode_lease(*id, Some(*ttl), &mut bytes);
            let row = RawRow { at: lease_position(*id), content: &bytes };
            sum.add(&row)?;
            take(row)?;
        }
        let mut reading = self.table.reading();
        for place in &self.places {
            reading.row(*place, |segment, row| {
                sum.add(&row).map_err(|error| segment.located(error, place.offset))?;
                take(row)
            })?;
        }
        Ok(sum)
    }

    /// Reads and checks every record.
    pub(crate) fn check(&self) -> Result<Report, Error> {
        self.rows(|_| Ok(()))?;
        Ok(self.report.clone())
    }

    /// Copies it to a new store: complete, checked and durable, or not there.
    pub(crate) fn copy(&self, target: &Path) -> Result<Report, Error> {
        let partial = begin(target)?;
        hit("store.backup.begun");
        let mut filling = Filling::begin(&partial)?;
        let sum = self.rows(|row| filling.take(row))?;
        filling.finish(&self.report, sum)?;
        install(&partial, target)?;
        Ok(self.report.clone())
    }
}

/// How many rows there were, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sum {
    pub rows: u64,
    pub digest: u64,
}

impl Sum {
    /// Checks a row and counts it.
    fn add(&mut self, row: &RawRow<'_>) -> Result<(), Error> {
        let crc = match lease_at(row.at) {
            Some(id) => decode_lease(id, row.content)?.1,
            None => Row::read(row.at, row.content)?.crc,
        };
        self.rows += 1;
        self.digest ^= digest(row.at, crc);
        Ok(())
    }
}

/// Checks every frame and record of a store that no process has open. Changes nothing.
pub fn check(path: &Path) -> Result<Report, Error> {
    Ok(frozen(path)?.report)
}

/// Every kept version of a key in a store that no process has open, oldest first.
pub fn history(path: &Path, key: &[u8]) -> Result<Vec<Change>, Error> {
    let Recovered { machine, table, .. } = looked_at(path)?;
    changes(key, &machine.history(key), &table)
}

/// Makes a new store from a backup; `target` must not exist. Returns what it holds.
pub fn restore(backup: &Path, target: &Path) -> Result<Report, Error> {
    frozen(backup)?.copy(target)
}

fn frozen(path: &Path) -> Result<Frozen, Error> {
    let Recovered { machine, table, .. } = looked_at(path)?;
    let (newest, leases) = (machine.revision(), machine.granted());
    Ok(Frozen::new(&machine, Arc::new(table), newest, leases))
}

fn looked_at(path: &Path) -> Result<Recovered, Error> {
    let disk = Disk::open_read_only(path)?;
    let found = recover(&disk, Instant::now())?;
    found.ok_or_else(|| Error::DamagedFile {
        what: "it holds no store",
        file: path.display().to_string(),
        offset: 0,
    })
}

/// Makes an empty store: there at once as a whole, or not at all. Returns it locked.
pub(crate) fn create(path: &Path, segment_bytes: u32) -> Result<Disk, Error> {
    let earlier = path.with_extension("redb");
    if fs::exists(&earlier).map_err(|error| Error::io("look for", &earlier, error))? {
        return Err(Error::Earlier { path: earlier });
    }
    let partial = partial_of(path);
    let disk = Disk::make(&partial)?;
    hit("store.create.begun");
    let built = Builder::new(identity(), segment_bytes).finish(&disk, 1, 0, &[]);
    built.map_err(|error| Error::io("make store", &partial, error))?;
    hit("store.create.filled");
    match fs::rename(&partial, path) {
        // Another process has made one meanwhile.
        Err(error) if error.kind() == std::io::ErrorKind::DirectoryNotEmpty => {
            fs::remove_dir_all(&partial).map_err(|error| Error::io("remove", &partial, error))?;
            return Disk::open(path);
        }
        done => done.map_err(|error| Error::io("put into place", path, error))?,
    }
    hit("store.create.renamed");
    sync_directory_of(path)?;
    Ok(disk.renamed(path))
}

/// A number that no other store has.
pub(crate) fn identity() -> u64 {
    // What the standard library draws for its hash maps.
    RandomState::new().hash_one("store")
}

/// The name of an unfinished directory beside `path`.
fn partial_of(path: &Path) -> PathBuf {
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    PathBuf::from(partial)
}

/// Refuses a target that exists; the name of the unfinished directory beside it.
pub(crate) fn begin(target: &Path) -> Result<PathBuf, Error> {
    if fs::exists(target).map_err(|error| Error::io("look for", target, error))? {
        let exists = std::io::ErrorKind::AlreadyExists.into();
        return Err(Error::io("refuse to overwrite", target, exists));
    }
    Ok(partial_of(target))
}

/// Puts a finished store into its place.
pub(crate) fn install(partial: &Path, target: &Path) -> Result<(), Error> {
    hit("store.backup.synced");
    fs::rename(partial, target).map_err(|error| Error::io("put into place", target, error))?;
    hit("store.backup.renamed");
    sync_directory_of(target)
}

/// A store that is being filled with another one's rows, each of them checked. Dropped before it is
/// finished, nothing of it stays.
#[derive(Debug)]
pub(crate) struct Filling {
    disk: Disk,
    partial: PathBuf,
    sum: Sum,
    leases: Vec<(LeaseId, Duration)>,
    builder: Builder,
    finished: bool,
}

impl Drop for Filling {
    fn drop(&mut self) {
        if !self.finished {
            // Half a copy is of no use, and the error that led here is the one to tell.
            drop(fs::remove_dir_all(&self.partial));
        }
    }
}

impl Filling {
    pub(crate) fn begin(partial: &Path) -> Result<Self, Error> {
        let disk = Disk::make(partial)?;
        hit("store.backup.opened");
        let builder = Builder::new(identity(), COPY_SEGMENT_BYTES);
        let (partial, sum, leases) = (partial.to_owned(), Sum::default(), Vec::new());
        Ok(Self { disk, partial, sum, leases, builder, finished: false })
    }

    pub(crate) fn take(&mut self, row: RawRow<'_>) -> Result<(), Error> {
        self.sum.add(&row)?;
        if let Some(id) = lease_at(row.at) {
            self.leases.extend(decode_lease(id, row.content)?.0.map(|ttl| (id, ttl)));
            return Ok(());
        }
        let taken = self.builder.row(&self.disk, row);
        taken.map_err(|error| Error::io("write", &self.partial, error))
    }

    /// Makes the store durable, when it holds what the source has.
    pub(crate) fn finish(mut self, source: &Report, sum: Sum) -> Result<(), Error> {
        hit("store.backup.filled");
        if self.sum != sum || sum.rows != source.rows {
            let at = Position { revision: source.revision.0, sub: 0 };
            return Err(Error::Damaged { what: "the copy differs from the source", at });
        }
        // The newest records may be compacted away; the revision never goes back all the same.
        let (revision, compacted) = (source.revision.0, source.compacted.0);
        let finished = self.builder.finish(&self.disk, revision, compacted, &self.leases);
        finished.map_err(|error| Error::io("write", &self.partial, error))?;
        self.finished = true;
        Ok(())
    }
}

/// Loads the versions of a key.
pub(crate) fn changes(key: &[u8], versions: &[Version], values: &dyn Values) -> Result<Vec<Change>, Error> {
    let key = bytes::Bytes::copy_from_slice(key);
    let change = |version: &Version| {
        let kv = load(values, &key, *version)?;
        let kv = (!version.is_deletion()).then_some(kv);
        Ok(Change { revision: Revision(version.revision), kv })
    };
    versions.iter().map(change).collect()
}

impl Values for Table {
    fn load(&self, at: Position, place: Place) -> Result<Record, Error> {
        self.record(at, place)
    }
}

/// The segments of a copy.
const COPY_SEGMENT_BYTES: u32 = 16 << 20;
