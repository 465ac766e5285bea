//! Segments that are open, the table of them, and walking through their rows.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use bytes::Bytes;

use super::frame::{self, HEAD, Head, Kind, ROW_HEAD, RawRow, Seat, row_head};
use super::head::SegmentHead;
use crate::error::Error;
use crate::index::{Dropped, Version};
use crate::record::{Record, Row};
use crate::types::{Place, Position};

use crate::embedded::disk::StorageFile;

/// An open segment.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Its name in this process.
    pub slot: u32,
    pub head: SegmentHead,
    /// The checksum of its head.
    pub head_crc: u32,
    pub name: String,
    pub file: Arc<dyn StorageFile>,
    /// Where its durable frames end.
    end: AtomicU32,
    /// The newest revision in it or before.
    newest: AtomicU64,
    /// Bytes of rows that are needed.
    live: AtomicU64,
    /// Deletions in it that no read needs any more: the key's name, and bytes.
    graves: Mutex<Vec<(u64, u32)>>,
    marks: RwLock<Vec<Mark>>,
}

/// Where the rows of a revision begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mark {
    pub revision: u64,
    /// Of the row's head.
    pub row: u32,
    /// Where the rows of its frame end.
    pub rows_end: u32,
}

impl Segment {
    pub(crate) fn new(slot: u32, head: SegmentHead, head_crc: u32, file: Arc<dyn StorageFile>) -> Self {
        Self {
            slot,
            head,
            head_crc,
            name: SegmentHead::name(head.first),
            file,
            end: AtomicU32::new(SegmentHead::LEN as u32),
            newest: AtomicU64::new(head.revision),
            live: AtomicU64::new(0),
            graves: Mutex::default(),
            marks: RwLock::default(),
        }
    }

    pub(crate) fn end(&self) -> u32 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn newest(&self) -> u64 {
        self.newest.load(Ordering::Acquire)
    }

    /// Takes in that frames up to `end` are durable.
    pub(crate) fn grow(&self, end: u32, newest: u64, live: u64, marks: &[Mark]) {
        let mut known = self.marks.write().unwrap_or_else(PoisonError::into_inner);
        for mark in marks {
            if known.last().is_none_or(|last| mark.row - last.row >= MARK_EVERY) {
                known.push(*mark);
            }
        }
        drop(known);
        self.live.fetch_add(live, Ordering::Relaxed);
        self.newest.store(newest, Ordering::Release);
        self.end.store(end, Ordering::Release);
    }

    pub(crate) fn add_live(&self, bytes: u64) {
        self.live.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(crate) fn add_grave(&self, key: u64, bytes: u32) {
        self.graves.lock().unwrap_or_else(PoisonError::into_inner).push((key, bytes));
    }

    /// Bytes of its frames.
    pub(crate) fn used(&self) -> u64 {
        u64::from(self.end()) - SegmentHead::LEN as u64
    }

    /// Bytes of rows that must stay: kept versions, and deletions of keys of which `is_dead` says
    /// that older records are still somewhere.
    pub(crate) fn needed(&self, is_dead: impl Fn(u64) -> bool) -> u64 {
        let graves = self.graves.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = graves.iter().filter(|(key, _)| is_dead(*key)).map(|(_, bytes)| u64::from(*bytes));
        self.live.load(Ordering::Relaxed) + kept.sum::<u64>()
    }

    /// What its first frame names as the head before it. One that is written as a whole knows its
    /// own head only at the end.
    pub(crate) fn first_chain(&self) -> u32 {
        if self.head.whole.is_some() { 0 } else { self.head_crc }
    }

    /// What binds a frame at `offset`.
    pub(crate) fn seat(&self, offset: u32) -> Seat {
        Seat { identity: self.head.identity, segment: self.head.first, offset }
    }

    pub(crate) fn damaged(&self, what: &'static str, offset: u32) -> Error {
        Error::DamagedFile { what, file: self.name.clone(), offset: u64::from(offset) }
    }

    pub(crate) fn read(&self, offset: u32, out: &mut [u8]) -> Result<(), Error> {
        let read = self.file.read(u64::from(offset), out);
        read.map_err(|error| match error.kind() {
            std::io::ErrorKind::UnexpectedEof => self.damaged("the file is cut off", offset),
            _ => Error::read(error),
        })
    }

    /// The record at `place`.
    pub(crate) fn record(&self, at: Position, place: Place) -> Result<Record, Error> {
        let mut bytes = vec![0; place.len as usize];
        self.read(place.offset, &mut bytes)?;
        Record::decode(at, &Bytes::from(bytes)).map_err(|error| self.located(error, place.offset))
    }

    /// The error of a row, with the place of the row.
    pub(crate) fn located(&self, error: Error, offset: u32) -> Error {
        match error {
            Error::Damaged { what, .. } => self.damaged(what, offset),
            error => error,
        }
    }

    /// A walk through the rows from the one that begins revision `from`, or from one before it.
    pub(crate) fn walk(&self, from: u64) -> Walk<'_> {
        let marks = self.marks.read().unwrap_or_else(PoisonError::into_inner);
        let before = marks.partition_point(|mark| mark.revision <= from);
        let start = SegmentHead::LEN as u32;
        let (at, rows_end) = match before.checked_sub(1).map(|at| marks[at]) {
            Some(mark) => (mark.row, mark.rows_end),
            None => (start, start),
        };
        Walk { segment: self, at, rows_end, end: self.end(), window: Window::new(WINDOW) }
    }
}

/// A way through the rows of a segment, in order, with a window of bounded size.
pub(crate) struct Walk<'a> {
    segment: &'a Segment,
    at: u32,
    rows_end: u32,
    end: u32,
    window: Window,
}

/// The part of a segment that is in memory.
#[derive(Debug)]
pub(super) struct Window {
    start: u32,
    bytes: Vec<u8>,
    ahead: usize,
}

impl Window {
    /// Reads `ahead` bytes at a time.
    pub(super) fn new(ahead: usize) -> Self {
        Self { start: 0, bytes: Vec::new(), ahead }
    }

    /// `len` bytes at `offset`; reads ahead, but not past `end`.
    pub(super) fn get(
        &mut self,
        segment: &Segment,
        offset: u32,
        len: usize,
        end: u32,
    ) -> Result<&[u8], Error> {
        let within = offset.checked_sub(self.start).map(|skip| skip as usize);
        let there = within.filter(|skip| skip.checked_add(len).is_some_and(|last| last <= self.bytes.len()));
        let skip = match there {
            Some(skip) => skip,
            None => {
                let left = end.saturating_sub(offset) as usize;
                if len > left {
                    return Err(segment.damaged("it ends too early", offset));
                }
                self.bytes.resize(left.min(len.max(self.ahead)), 0);
                self.start = offset;
                segment.read(offset, &mut self.bytes)?;
                0
            }
        };
        Ok(&self.bytes[skip..skip + len])
    }
}

impl Walk<'_> {
    /// The next row and where its content begins; the content is the caller's to check.
    pub(crate) fn next(&mut self) -> Result<Option<(u32, RawRow<'_>)>, Error> {
        while self.at >= self.rows_end {
            if !self.next_frame()? {
                return Ok(None);
            }
        }
        let (segment, row) = (self.segment, self.at);
        let head = self.window.get(segment, row, ROW_HEAD, self.rows_end)?;
        let Some((at, len)) = row_head(head) else { return Err(segment.damaged("a row is cut off", row)) };
        let content = row + ROW_HEAD as u32;
        if len > (self.rows_end - content) as usize {
            return Err(segment.damaged("a row is longer than its frame", row));
        }
        self.at = content + len as u32;
        let content_bytes = self.window.get(segment, content, len, self.end)?;
        Ok(Some((content, RawRow { at, content: content_bytes })))
    }

    /// Moves to the rows of the next frame.
    fn next_frame(&mut self) -> Result<bool, Error> {
        let offset = frame::align(self.rows_end as usize) as u32;
        if offset >= self.end {
            return Ok(false);
        }
        let bytes = self.window.get(self.segment, offset, HEAD, self.end)?;
        let head = Head::decode(bytes, self.segment.seat(offset));
        let Some((head, _)) = head else {
            return Err(self.segment.damaged("a frame's head is wrong", offset));
        };
        self.at = offset + HEAD as u32;
        let rows_end = self.at.checked_add(head.len).filter(|end| *end <= self.end);
        self.rows_end = rows_end.ok_or_else(|| self.segment.damaged("a frame is cut off", offset))?;
        Ok(head.kind != Kind::Seal)
    }
}

/// All segments; changed as a whole, so that a reader keeps the one that it began with.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table {
    slots: BTreeMap<u32, Arc<Segment>>,
    /// In the order of the log.
    order: Vec<Arc<Segment>>,
}

impl Table {
    pub(crate) fn order(&self) -> &[Arc<Segment>] {
        &self.order
    }

    pub(crate) fn slot(&self, slot: u32) -> Option<&Arc<Segment>> {
        self.slots.get(&slot)
    }

    /// Adds the next part of the log.
    pub(crate) fn push(&mut self, segment: Arc<Segment>) {
        self.slots.insert(segment.slot, Arc::clone(&segment));
        self.order.push(segment);
    }

    /// Takes back the last [`Self::push`].
    pub(crate) fn pop(&mut self) {
        if let Some(segment) = self.order.pop() {
            self.slots.remove(&segment.slot);
        }
    }

    pub(crate) fn before_last(&self) -> Option<&Arc<Segment>> {
        self.order.len().checked_sub(2).map(|at| &self.order[at])
    }

    /// Lets records be read from a segment that does not take part in the order yet.
    pub(crate) fn lend(&mut self, segment: Arc<Segment>) {
        self.slots.insert(segment.slot, segment);
    }

    /// Puts `new` in the place of the parts that it holds.
    pub(crate) fn replace(&mut self, new: &Arc<Segment>) {
        let old = |segment: &Arc<Segment>| {
            segment.slot != new.slot && (new.head.first..=new.head.last).contains(&segment.head.first)
        };
        self.slots.retain(|_, segment| !old(segment));
        self.order.retain(|segment| !old(segment));
        let at = self.order.partition_point(|segment| segment.head.first < new.head.first);
        self.order.insert(at, Arc::clone(new));
        self.lend(Arc::clone(new));
    }

    /// The record at `place`.
    pub(crate) fn record(&self, at: Position, place: Place) -> Result<Record, Error> {
        let segment = self.slots.get(&place.slot).filter(|_| place.len > 0);
        let segment = segment.ok_or(Error::Damaged { what: "a record is missing", at })?;
        segment.record(at, place)
    }

    /// Where a segment stands in the log. While one takes the place of others the index moves over to
    /// it from the first record on: it stands before them.
    pub(crate) fn rank(&self, slot: u32) -> (u32, Reverse<u32>) {
        (self.slots.get(&slot).map_or(u32::MAX, |segment| segment.head.first), Reverse(slot))
    }

    /// Reads rows, in their order the fastest.
    pub(crate) fn reading(&self) -> Reading<'_> {
        Reading { table: self, slot: u32::MAX, window: Window::new(WINDOW) }
    }

    /// Takes note of versions that are not needed any more.
    pub(crate) fn bury(&self, dropped: &[Dropped], waste: &mut Waste) {
        for Dropped { place, key, deletion } in dropped {
            let bytes = place.len + ROW_HEAD as u32;
            if let Some(segment) = self.slots.get(&place.slot) {
                // In wrapping arithmetic: the bytes were added when it was written.
                segment.add_live(u64::from(bytes).wrapping_neg());
                if *deletion {
                    segment.add_grave(*key, bytes);
                }
            }
            if !deletion {
                waste.add(*key);
            }
        }
    }
}

/// Reads rows one after the other.
pub(crate) struct Reading<'a> {
    table: &'a Table,
    slot: u32,
    window: Window,
}

impl Reading<'_> {
    /// Hands the row at `place` to `take`; its content is the caller's to check.
    pub(crate) fn row<T>(
        &mut self,
        place: Place,
        take: impl FnOnce(&Segment, RawRow<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let segment = self.table.slot(place.slot).filter(|_| place.offset as usize >= ROW_HEAD);
        let at = Position { revision: 0, sub: 0 };
        let segment = segment.ok_or(Error::Damaged { what: "a record is missing", at })?;
        if self.slot != place.slot {
            self.window = Window::new(WINDOW);
            self.slot = place.slot;
        }
        let (head, len) = (place.offset - ROW_HEAD as u32, ROW_HEAD + place.len as usize);
        let bytes = self.window.get(segment, head, len, segment.end())?;
        let (head, content) = bytes.split_at(ROW_HEAD);
        match row_head(head) {
            Some((at, len)) if len == content.len() => take(segment, RawRow { at, content }),
            _ => Err(segment.damaged("a row is another than was written", place.offset)),
        }
    }
}

/// The records that are on disk though nothing needs them: how many of each key.
///
/// As long as there is one, a deletion of that key must stay on disk too, or the next start would
/// find the record and no deletion.
#[derive(Debug, Default)]
pub(crate) struct Waste {
    keys: BTreeMap<u64, u32>,
}

impl Waste {
    pub(crate) fn add(&mut self, key: u64) {
        *self.keys.entry(key).or_default() += 1;
    }

    pub(crate) fn has(&self, key: u64) -> bool {
        self.keys.contains_key(&key)
    }

    pub(crate) fn count(&self, key: u64) -> u32 {
        self.keys.get(&key).copied().unwrap_or_default()
    }

    /// So many of a key are gone from the disk.
    pub(crate) fn remove(&mut self, key: u64, count: u32) {
        if let Some(known) = self.keys.get_mut(&key) {
            *known = known.saturating_sub(count);
            if *known == 0 {
                self.keys.remove(&key);
            }
        }
    }
}

/// A version of a row that was found at `offset` of a segment.
pub(crate) fn version_of(slot: u32, offset: u32, row: RawRow<'_>, checked: &Row<'_>) -> Version {
    Version::of_row(row.at, checked, Place { slot, offset, len: row.content.len() as u32 })
}

/// Between two marks of a segment.
const MARK_EVERY: u32 = 16 << 10;
/// What a walk reads ahead.
const WINDOW: usize = 128 << 10;
