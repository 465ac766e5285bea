//! Segments that are written as a whole: of what is still needed of older ones, and of copies.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use base::failpoint::hit;

use super::ahead::zeros;
use super::frame::{self, Frame, HEAD, Head, Kind, ROW_HEAD, RawRow, Seat};
use super::head::{Link, SegmentHead, Whole};
use super::lease_row;
use super::recover::PART;
use super::segment::Mark;
use crate::embedded::disk::{Storage, StorageFile};
use crate::types::LeaseId;

/// A segment that is being filled, in a file that is none yet.
#[derive(Debug)]
pub(crate) struct WholeSegment {
    file: Arc<dyn StorageFile>,
    identity: u64,
    first: u32,
    frame: Frame,
    link: Link,
    frames: u32,
    newest: Option<u64>,
    marks: Vec<Mark>,
    unsynced: usize,
}

/// A segment that is complete.
#[derive(Debug)]
pub(crate) struct Finished {
    pub file: Arc<dyn StorageFile>,
    pub head: SegmentHead,
    pub head_crc: u32,
    pub marks: Vec<Mark>,
}

impl WholeSegment {
    pub(crate) fn begin(storage: &dyn Storage, name: &str, identity: u64, first: u32) -> io::Result<Self> {
        let mut frame = Frame::default();
        frame.clear();
        Ok(Self {
            file: storage.create(name)?,
            identity,
            first,
            frame,
            link: Link { end: SegmentHead::LEN as u32, chain: 0 },
            frames: 0,
            newest: None,
            marks: Vec::new(),
            unsynced: 0,
        })
    }

    /// Bytes so far.
    pub(crate) fn len(&self) -> u64 {
        u64::from(self.link.end) + self.frame.bytes.len() as u64
    }

    /// Adds a row, which must be newer than those before it.
    pub(crate) fn row(&mut self, row: RawRow<'_>) -> io::Result<()> {
        let revision = row.at.revision;
        let begins = self.newest != Some(revision);
        // A revision is never split: who reads from a mark gets all of it.
        if begins && self.frame.bytes.len() >= FRAME_BYTES {
            self.write_frame()?;
        }
        let content = self.frame.row(row.at, |out| {
            out.extend_from_slice(row.content);
            row.content.last_chunk().map_or(0, |crc| u32::from_le_bytes(*crc))
        });
        if begins {
            let row = self.link.end + (content - ROW_HEAD) as u32;
            self.marks.push(Mark { revision, row, rows_end: 0 });
        }
        self.newest = Some(revision);
        Ok(())
    }

    fn write_frame(&mut self) -> io::Result<()> {
        let offset = self.link.end;
        let (identity, segment) = (self.identity, self.first);
        // The head's numbers of the store are the segment's; see [`Self::finish`].
        let revision = self.newest.unwrap_or_default();
        let head = Head {
            kind: Kind::Rows,
            number: self.frames,
            revision,
            previous: self.link.chain,
            ..Head::EMPTY
        };
        let chain = self.frame.finish(head, Seat { identity, segment, offset });
        self.file.write(u64::from(offset), &self.frame.bytes)?;
        let end = offset as usize + self.frame.bytes.len();
        self.marks.iter_mut().filter(|mark| mark.rows_end == 0).for_each(|mark| mark.rows_end = end as u32);
        let next = u32::try_from(frame::align(end)).map_err(|_| io::ErrorKind::FileTooLarge)?;
        self.unsynced += self.frame.bytes.len();
        // Not all at once: commits need the disk too.
        if self.unsynced >= SYNC_BYTES {
            self.file.sync()?;
            self.unsynced = 0;
        }
        self.link = Link { end: next, chain };
        self.frames += 1;
        self.frame.clear();
        Ok(())
    }

    /// Writes what is left, and the head. `head` says which parts it holds, what is before them,
    /// and where the store stands after them; `shown` is the end that the next part remembers.
    pub(crate) fn finish(mut self, head: SegmentHead, shown: Option<Link>) -> io::Result<Finished> {
        if self.frame.rows() > 0 {
            self.write_frame()?;
        }
        // The last frame's padding.
        self.file.allocate(u64::from(self.link.end))?;
        let whole = Whole { own: self.link, shown: shown.unwrap_or(self.link) };
        let head = SegmentHead { len: self.link.end, whole: Some(whole), ..head };
        let (sector, head_crc) = head.encode();
        self.file.write(0, &sector)?;
        self.file.sync()?;
        Ok(Finished { file: self.file, head, head_crc, marks: self.marks })
    }
}

/// A log that is written from its rows, in an empty place.
#[derive(Debug)]
pub(crate) struct Builder {
    identity: u64,
    len_max: u32,
    number: u32,
    before: Link,
    whole: Option<WholeSegment>,
    revision: u64,
}

impl Builder {
    pub(crate) fn new(identity: u64, len_max: u32) -> Self {
        let before = Link::default();
        Self { identity, len_max, number: 0, before, whole: None, revision: 1 }
    }

    /// Adds a row, which must be newer than those before it.
    pub(crate) fn row(&mut self, storage: &dyn Storage, row: RawRow<'_>) -> io::Result<()> {
        let full = self.whole.as_ref().is_some_and(|whole| whole.len() >= u64::from(self.len_max));
        if full && row.at.revision > self.revision {
            self.finish_whole(storage)?;
        }
        let whole = match &mut self.whole {
            Some(whole) => whole,
            None => {
                let name = part_of(self.number);
                self.whole.insert(WholeSegment::begin(storage, &name, self.identity, self.number)?)
            }
        };
        self.revision = row.at.revision;
        whole.row(row)
    }

    fn head(&self) -> SegmentHead {
        SegmentHead {
            identity: self.identity,
            first: self.number,
            last: self.number,
            len: 0,
            revision: self.revision,
            compacted: 0,
            before: self.before,
            whole: None,
        }
    }

    fn finish_whole(&mut self, storage: &dyn Storage) -> io::Result<()> {
        let Some(whole) = self.whole.take() else { return Ok(()) };
        let finished = whole.finish(self.head(), None)?;
        self.before = finished.head.whole.map_or(self.before, |whole| whole.shown);
        storage.rename(&part_of(self.number), &SegmentHead::name(self.number))?;
        hit("store.build.segment");
        self.number += 1;
        Ok(())
    }

    /// Writes the last segment, where the log goes on, and makes all of it durable.
    pub(crate) fn finish(
        &mut self,
        storage: &dyn Storage,
        revision: u64,
        compacted: u64,
        leases: &[(LeaseId, Duration)],
    ) -> io::Result<()> {
        self.finish_whole(storage)?;
        let mut rows = Frame::default();
        rows.clear();
        leases.iter().for_each(|(id, ttl)| lease_row(&mut rows, *id, Some(*ttl)));
        let start = SegmentHead::LEN as u32;
        let least = frame::align(SegmentHead::LEN + rows.bytes.len() + HEAD) as u32;
        let len = LAST_LEN.min(self.len_max).max(least);
        let part = part_of(self.number);
        let file = zeros(storage, &part, len)?;
        hit("store.build.filled");
        let head = SegmentHead { len, revision, compacted, ..self.head() };
        let (sector, crc) = head.encode();
        file.write(0, &sector)?;
        let frame = Head { kind: Kind::Checkpoint, revision, compacted, previous: crc, ..Head::EMPTY };
        rows.finish(frame, Seat { identity: self.identity, segment: self.number, offset: start });
        file.write(u64::from(start), &rows.bytes)?;
        file.sync()?;
        hit("store.build.synced");
        storage.rename(&part, &SegmentHead::name(self.number))?;
        hit("store.build.renamed");
        storage.sync()
    }
}

fn part_of(number: u32) -> String {
    format!("{}{PART}", SegmentHead::name(number))
}

/// A frame ends with the revision that reaches this length.
const FRAME_BYTES: usize = 256 << 10;
/// So much is synced at a time.
const SYNC_BYTES: usize = 1 << 20;
/// The length of a new store's segment.
const LAST_LEN: u32 = 1 << 20;
