//! The log: one frame, one write and one sync for each commit.
//!
//! ```text
//! 00000000.log   put together from parts 0 to 6: what is still needed of them
//! 00000007.log   a closed part, sealed: the log goes on in 8
//! 00000008.log   the newest part: frames, then zeros
//! 00000009.log   the next part, made ready: zeros only
//! ```
//!
//! Blocks are written with zeros before the log comes to them, on another thread and in another
//! file: so a commit's sync has data to write and nothing of the file system's own, and a disk
//! that is full is noticed before a commit begins. The format is in `docs/design/store.md`.

mod ahead;
pub(crate) mod build;
pub(crate) mod frame;
pub(crate) mod head;
pub(crate) mod merge;
pub(crate) mod recover;
mod scan;
pub(crate) mod segment;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::failpoint::hit;

pub(crate) use self::ahead::Ahead;
use self::frame::{Frame, HEAD, Head, Kind, ROW_HEAD};
use self::head::{Link, SegmentHead};
use self::segment::{Mark, Segment};
use crate::embedded::disk::StorageFile;
use crate::record::{Record, encode_lease, lease_position};
use crate::types::{LeaseId, Place, Position};

/// What one commit changes.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub records: Vec<(Position, Record)>,
    pub leases: Vec<(LeaseId, Option<Duration>)>,
    pub compact: Option<u64>,
}

impl Changes {
    pub(crate) fn is_empty(&self) -> bool {
        self.records.is_empty() && self.leases.is_empty() && self.compact.is_none()
    }

    /// Bytes of its frame, with so many leases before it.
    fn frame_bytes(&self, leases: usize) -> u64 {
        let records = self.records.iter().map(|(_, record)| ROW_HEAD + record.encoded_len());
        let leases = (self.leases.len() + leases) * (ROW_HEAD + LEASE_MAX);
        frame::align(HEAD + leases + records.sum::<usize>()) as u64
    }
}

/// Where the log ends, and where the store stands there.
#[derive(Clone, Debug)]
pub(crate) struct Tip {
    pub active: Arc<Segment>,
    pub link: Link,
    /// Frames of the active segment.
    pub frames: u32,
    pub revision: u64,
    pub compacted: u64,
}

/// Why a commit is not durable.
#[derive(Debug)]
pub(crate) enum Failed {
    /// It was not written, or not as a whole.
    Write(io::Error),
    /// It was written, and what became of it nobody knows.
    Sync(io::Error),
}

/// What a segment begins with.
#[derive(Debug)]
pub(crate) struct Beginning {
    /// Its name in this process.
    pub slot: u32,
    /// All leases that there are after the commit.
    pub leases: Vec<(LeaseId, Duration)>,
}

/// What a commit has done.
#[derive(Debug)]
pub(crate) struct Written {
    /// Where the records lie, in their order.
    pub places: Vec<Place>,
    /// The segment that was begun for them.
    pub begun: Option<Arc<Segment>>,
}

/// The end of the log that grows. It has one owner.
#[derive(Debug)]
pub(crate) struct Log {
    tip: Tip,
    ahead: Arc<Ahead>,
    frame: Frame,
    marks: Vec<Mark>,
    /// What a write that failed has left, and must be zeros again before the next.
    dirty: Option<Dirty>,
    /// Whether there was no space for the next segment.
    short: bool,
    /// The segment before the newest, when there was no space for its seal.
    unsealed: Option<Tip>,
}

#[derive(Debug)]
struct Dirty {
    file: Arc<dyn StorageFile>,
    from: u32,
    to: u32,
}

/// A frame that is ready to be written.
struct Encoded {
    places: Vec<Place>,
    /// Bytes of records.
    live: u64,
    /// Where the log ends after it.
    tip: Tip,
}

impl Log {
    pub(crate) fn new(tip: Tip, ahead: Arc<Ahead>) -> Self {
        Self {
            tip,
            ahead,
            frame: Frame::default(),
            marks: Vec::new(),
            dirty: None,
            short: false,
            unsealed: None,
        }
    }

    pub(crate) fn tip(&self) -> &Tip {
        &self.tip
    }

    /// Makes changes durable with one sync; `begin` is asked when that begins a new segment.
    ///
    /// When there was no space nothing of it is left, once [`Self::mend`] has succeeded.
    pub(crate) fn append(
        &mut self,
        changes: &Changes,
        begin: impl FnOnce() -> Beginning,
    ) -> Result<Written, Failed> {
        self.seal()?;
        let left = self.tip.active.head.len - self.tip.link.end;
        if changes.frame_bytes(0) + HEAD as u64 > u64::from(left) {
            return self.begin_segment(changes, &begin());
        }
        let encoded = self.encode(changes, None, &self.tip.clone());
        self.write(encoded.tip.active.as_ref(), self.tip.link.end)?;
        Ok(Written { places: self.take_in(encoded), begun: None })
    }

    /// Puts the changes into the first frame of a new segment.
    fn begin_segment(&mut self, changes: &Changes, beginning: &Beginning) -> Result<Written, Failed> {
        let Beginning { slot, leases } = beginning;
        hit("store.roll.begun");
        let before = self.tip.clone();
        let least = (SegmentHead::LEN + HEAD) as u64 + changes.frame_bytes(leases.len());
        let least = u32::try_from(least).map_err(|_| Failed::Write(io::ErrorKind::FileTooLarge.into()))?;
        let number = before.active.head.last + 1;
        let next = self.ahead.take(number, least, before.active.head.len).map_err(|error| {
            self.short = is_no_space(&error);
            Failed::Write(error)
        })?;
        hit("store.roll.taken");
        let head = SegmentHead {
            identity: before.active.head.identity,
            first: number,
            last: number,
            len: next.len,
            revision: before.revision,
            compacted: before.compacted,
            before: before.link,
            whole: None,
        };
        let (sector, crc) = head.encode();
        let segment = Arc::new(Segment::new(*slot, head, crc, Arc::clone(&next.file)));
        let start = SegmentHead::LEN as u32;
        let Tip { revision, compacted, .. } = before;
        let from =
            Tip { active: segment, link: Link { end: start, chain: crc }, frames: 0, revision, compacted };
        let encoded = self.encode(changes, Some(leases), &from);
        let written = next.file.write(0, &sector).map_err(Failed::Write);
        hit("store.roll.headed");
        if let Err(failed) = written.and_then(|()| self.write(&from.active, start)) {
            let to = start + self.frame.bytes.len() as u32;
            self.dirty = Some(Dirty { file: Arc::clone(&next.file), from: 0, to });
            self.ahead.give_back(next);
            return Err(failed);
        }
        hit("store.roll.synced");
        let places = self.take_in(encoded);
        self.unsealed = Some(before);
        match self.seal() {
            // The commit is durable without it. The next one is not written before it.
            Ok(()) | Err(Failed::Write(_)) => Ok(Written { places, begun: Some(from.active) }),
            Err(failed) => Err(failed),
        }
    }

    /// Seals the segment before the newest: from here on it would be noticed if the newest were lost.
    ///
    /// Its sector is there already, but a file system that copies on write needs space for it again.
    fn seal(&mut self) -> Result<(), Failed> {
        let Some(tip) = &self.unsealed else { return Ok(()) };
        write_seal(tip).map_err(Failed::Write)?;
        tip.active.file.sync().map_err(Failed::Sync)?;
        self.unsealed = None;
        hit("store.roll.sealed");
        Ok(())
    }

    /// Fills the frame; with `leases` it is a checkpoint.
    fn encode(&mut self, changes: &Changes, leases: Option<&[(LeaseId, Duration)]>, from: &Tip) -> Encoded {
        self.frame.clear();
        self.marks.clear();
        for (id, ttl) in leases.into_iter().flatten() {
            lease_row(&mut self.frame, *id, Some(*ttl));
        }
        for (id, ttl) in changes.leases.iter().filter(|_| leases.is_none()) {
            lease_row(&mut self.frame, *id, *ttl);
        }
        let (start, slot) = (from.link.end, from.active.slot);
        let mut places = Vec::with_capacity(changes.records.len());
        let mut live = 0;
        for (at, record) in &changes.records {
            let content = self.frame.row(*at, |out| record.encode(*at, out));
            let len = (self.frame.bytes.len() - content) as u32;
            let offset = start + content as u32;
            places.push(Place { slot, offset, len });
            live += u64::from(len) + ROW_HEAD as u64;
            if at.sub == 0 {
                self.marks.push(Mark { revision: at.revision, row: offset - ROW_HEAD as u32, rows_end: 0 });
            }
        }
        let rows_end = start + self.frame.bytes.len() as u32;
        self.marks.iter_mut().for_each(|mark| mark.rows_end = rows_end);
        let head = Head {
            kind: if leases.is_some() { Kind::Checkpoint } else { Kind::Rows },
            number: from.frames,
            revision: changes.records.last().map_or(from.revision, |(at, _)| at.revision),
            compacted: changes.compact.unwrap_or(from.compacted),
            previous: from.link.chain,
            ..Head::EMPTY
        };
        let chain = self.frame.finish(head, from.active.seat(start));
        let link = Link { end: frame::align(rows_end as usize) as u32, chain };
        let (active, frames) = (Arc::clone(&from.active), from.frames + 1);
        let tip = Tip { active, link, frames, revision: head.revision, compacted: head.compacted };
        hit("store.commit.encoded");
        Encoded { places, live, tip }
    }

    /// Writes the frame and syncs it.
    fn write(&mut self, segment: &Segment, offset: u32) -> Result<(), Failed> {
        segment.file.write(u64::from(offset), &self.frame.bytes).map_err(|error| {
            let to = offset + self.frame.bytes.len() as u32;
            self.dirty = Some(Dirty { file: Arc::clone(&segment.file), from: offset, to });
            Failed::Write(error)
        })?;
        hit("store.commit.written");
        segment.file.sync().map_err(Failed::Sync)?;
        hit("store.commit.synced");
        Ok(())
    }

    /// The frame is durable.
    fn take_in(&mut self, encoded: Encoded) -> Vec<Place> {
        let Encoded { places, live, tip } = encoded;
        tip.active.grow(tip.link.end, tip.revision, live, &self.marks);
        self.tip = tip;
        places
    }

    /// Clears what a write without space has left, and looks whether there is space again.
    pub(crate) fn mend(&mut self) -> Result<(), Failed> {
        hit("store.mend.begun");
        if let Some(Dirty { file, from, to }) = &self.dirty {
            file.write(u64::from(*from), &vec![0; (to - from) as usize]).map_err(Failed::Write)?;
            hit("store.mend.cleared");
            file.sync().map_err(Failed::Sync)?;
            hit("store.mend.synced");
        }
        self.dirty = None;
        self.seal()?;
        if self.short {
            let active = &self.tip.active.head;
            self.ahead.make(active.last + 1, active.len).map_err(Failed::Write)?;
            self.short = false;
        }
        Ok(())
    }
}

fn lease_row(frame: &mut Frame, id: LeaseId, ttl: Option<Duration>) {
    frame.row(lease_position(id), |out| encode_lease(id, ttl, out));
}

/// Writes at the end of a segment that the log goes on in the next one.
fn write_seal(tip: &Tip) -> io::Result<()> {
    let Tip { active, link, frames, revision, compacted } = tip;
    let head = Head {
        kind: Kind::Seal,
        number: *frames,
        revision: *revision,
        compacted: *compacted,
        previous: link.chain,
        ..Head::EMPTY
    };
    active.file.write(u64::from(link.end), &head.encode(active.seat(link.end)))
}

/// Writes the seal of a segment, and syncs it.
pub(crate) fn seal(tip: &Tip) -> io::Result<()> {
    write_seal(tip)?;
    tip.active.file.sync()
}

/// Whether a file of that name is a part of the log.
pub(crate) fn is_segment(name: &str) -> bool {
    SegmentHead::number(name).is_some()
}

/// Whether a write failed for want of space alone.
pub(crate) fn is_no_space(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Bytes of a lease's row without its head.
const LEASE_MAX: usize = 12;
