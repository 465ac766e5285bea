//! One segment read from its head to its end, and all of it checked.

use std::time::Duration;

use super::frame::{self, HEAD, Head, Kind, RawRow, is_zero, zero_sectors};
use super::head::{Link, SegmentHead};
use super::segment::{Mark, Segment, Window, version_of};
use crate::error::Error;
use crate::index::Entry;
use crate::record::{Row, decode_lease, lease_at};
use crate::types::{LeaseId, Position};

/// What a segment holds.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub versions: Vec<Entry>,
    /// Leases granted and ended, in order.
    pub leases: Vec<(LeaseId, Option<Duration>)>,
    /// What earlier segments say of leases is void.
    pub resets_leases: bool,
    /// Where the store stands after it.
    pub revision: u64,
    pub compacted: u64,
    /// Where its frames end.
    pub link: Link,
    /// The number of its frames.
    pub frames: u32,
    /// The part of the log before it.
    pub before: u32,
    /// Whether it says that the log goes on in another one.
    pub sealed: bool,
    /// What a write that did not arrive as a whole has left.
    pub torn: Option<(u32, u32)>,
}

/// What is known of a segment's end beforehand.
#[derive(Clone, Copy, Debug)]
pub(super) enum Ends {
    /// Another segment remembers it, or its own head does.
    At(Link),
    /// It is the newest: its frames end where there is no more.
    Somewhere,
}

/// Reads a segment.
pub(super) fn scan(segment: &Segment, ends: Ends) -> Result<Chunk, Error> {
    let head = &segment.head;
    let link = Link { end: SegmentHead::LEN as u32, chain: segment.first_chain() };
    let before = head.first.saturating_sub(1);
    let chunk =
        Chunk { revision: head.revision, compacted: head.compacted, link, before, ..Chunk::default() };
    let mut scan =
        Scan { segment, ends, window: Window::new(AHEAD), chunk, last: None, live: 0, marks: Vec::new() };
    while scan.next_frame()? {}
    let Scan { chunk, live, marks, .. } = scan;
    segment.grow(chunk.link.end, chunk.revision, live, &marks);
    Ok(chunk)
}

struct Scan<'a> {
    segment: &'a Segment,
    ends: Ends,
    window: Window,
    chunk: Chunk,
    last: Option<Position>,
    live: u64,
    marks: Vec<Mark>,
}

impl Scan<'_> {
    /// Takes in the next frame; false at the end.
    fn next_frame(&mut self) -> Result<bool, Error> {
        let (segment, offset) = (self.segment, self.chunk.link.end);
        let file_end = segment.head.len;
        if let Ends::At(link) = self.ends {
            if offset == link.end {
                return self.at_its_end(link);
            }
            if offset > link.end {
                return Err(segment.damaged("a frame is foreign", offset));
            }
        }
        if file_end - offset < HEAD as u32 {
            return Ok(false);
        }
        let Some((head, crc)) = self.head_at(offset)? else { return self.no_head(offset) };
        if head.number != self.chunk.frames || head.previous != self.chunk.link.chain {
            return Err(segment.damaged("a frame is missing before this one", offset));
        }
        if head.kind == Kind::Seal {
            self.chunk.sealed = true;
            return Ok(false);
        }
        if head.len > file_end - offset - HEAD as u32 {
            return Err(segment.damaged("a frame is longer than its segment", offset));
        }
        self.take(offset, &head, crc)
    }

    fn head_at(&mut self, offset: u32) -> Result<Option<(Head, u32)>, Error> {
        let bytes = self.window.get(self.segment, offset, HEAD, self.segment.head.len)?;
        Ok(Head::decode(bytes, self.segment.seat(offset)))
    }

    /// The end that another one remembers.
    fn at_its_end(&mut self, link: Link) -> Result<bool, Error> {
        if self.chunk.link.chain != link.chain {
            return Err(self.segment.damaged("its frames are not those that follow each other", link.end));
        }
        if self.segment.head.whole.is_some() {
            // It was written as a whole: so it says itself.
            self.chunk.sealed = true;
        } else if self.segment.head.len - link.end >= HEAD as u32 {
            let head = self.head_at(link.end)?;
            self.chunk.sealed =
                head.is_some_and(|(head, _)| head.kind == Kind::Seal && head.previous == link.chain);
            let blank = is_zero(self.window.get(self.segment, link.end, HEAD, self.segment.head.len)?);
            if !self.chunk.sealed && !blank {
                return Err(self.segment.damaged("its seal is wrong", link.end));
            }
        }
        Ok(false)
    }

    /// There is no head where the next frame would begin.
    fn no_head(&mut self, offset: u32) -> Result<bool, Error> {
        let segment = self.segment;
        let wrong = segment.damaged("a frame's head is wrong", offset);
        if matches!(self.ends, Ends::At(_)) {
            return Err(wrong);
        }
        // A head lies in one sector: it arrived as a whole, or not at all.
        let blank = is_zero(self.window.get(segment, offset, HEAD, segment.head.len)?);
        if !blank {
            return Err(wrong);
        }
        self.chunk.torn = self.remains(offset, offset + HEAD as u32)?;
        Ok(false)
    }

    /// What is not zero from `from` on, when no frame begins at or after `search`.
    fn remains(&mut self, from: u32, search: u32) -> Result<Option<(u32, u32)>, Error> {
        let (segment, len) = (self.segment, self.segment.head.len);
        let mut last = None;
        let mut at = from;
        while at < len {
            let step = (len - at).min(HEAD as u32);
            let bytes = self.window.get(segment, at, step as usize, len)?;
            if !is_zero(bytes) {
                last = Some(at + step);
                if at >= search && Head::decode(bytes, segment.seat(at)).is_some() {
                    return Err(segment.damaged("a frame is missing", from));
                }
            }
            at += step;
        }
        Ok(last.map(|end| (from, end)))
    }

    /// Takes in a frame whose head is right.
    fn take(&mut self, offset: u32, head: &Head, crc: u32) -> Result<bool, Error> {
        let total = HEAD + head.len as usize;
        let file_end = self.segment.head.len;
        let before = (self.chunk.versions.len(), self.chunk.leases.len(), self.marks.len());
        let bytes = self.window.get(self.segment, offset, total, file_end)?;
        let torn = zero_sectors(bytes, offset) > head.zeros;
        let mut rows = Rows {
            segment: self.segment,
            head,
            rows_at: offset + HEAD as u32,
            chunk: &mut self.chunk,
            last: &mut self.last,
            live: &mut self.live,
            marks: &mut self.marks,
        };
        let whole = rows.take(&bytes[HEAD..]);
        let broken = match whole {
            Ok(true) => None,
            Ok(false) => Some(self.segment.damaged("a frame is not what its head says", offset)),
            Err(error) => Some(error),
        };
        let next = (frame::align(offset as usize + total) as u32).min(file_end);
        if let Some(error) = broken {
            if matches!(self.ends, Ends::At(_)) || !torn {
                return Err(error);
            }
            // The newest write did not arrive as a whole: nobody was told of it.
            self.chunk.versions.truncate(before.0);
            self.chunk.leases.truncate(before.1);
            self.marks.truncate(before.2);
            self.chunk.torn = self.remains(offset, next)?;
            return Ok(false);
        }
        let chunk = &mut self.chunk;
        chunk.revision = chunk.revision.max(head.revision);
        chunk.compacted = chunk.compacted.max(head.compacted);
        chunk.link = Link { end: next, chain: crc };
        chunk.frames += 1;
        Ok(true)
    }
}

/// The rows of one frame on their way into the chunk.
struct Rows<'a> {
    segment: &'a Segment,
    head: &'a Head,
    rows_at: u32,
    chunk: &'a mut Chunk,
    last: &'a mut Option<Position>,
    live: &'a mut u64,
    marks: &'a mut Vec<Mark>,
}

impl Rows<'_> {
    fn take(&mut self, body: &[u8]) -> Result<bool, Error> {
        let (head, rows_end) = (self.head, self.rows_at + body.len() as u32);
        let (mut last, mut live) = (*self.last, 0);
        let whole = frame::rows(head, body, |within, row| {
            let offset = self.rows_at + within as u32;
            if let Some(id) = lease_at(row.at) {
                let (ttl, _) =
                    decode_lease(id, row.content).map_err(|error| self.segment.located(error, offset))?;
                self.chunk.leases.push((id, ttl));
                return Ok(());
            }
            if last.is_some_and(|last| last >= row.at) || row.at.revision > head.revision {
                return Err(self.segment.damaged("a record is out of order", offset));
            }
            if last.is_none_or(|last| last.revision < row.at.revision) {
                let row_head = offset - frame::ROW_HEAD as u32;
                self.marks.push(Mark { revision: row.at.revision, row: row_head, rows_end });
            }
            last = Some(row.at);
            live += (frame::ROW_HEAD + row.content.len()) as u64;
            self.version(offset, row)
        })?;
        if whole {
            *self.last = last;
            *self.live += live;
            self.chunk.resets_leases |= head.kind == Kind::Checkpoint;
        }
        Ok(whole)
    }

    fn version(&mut self, offset: u32, row: RawRow<'_>) -> Result<(), Error> {
        let checked = Row::read(row.at, row.content).map_err(|error| self.segment.located(error, offset))?;
        let version = version_of(self.segment.slot, offset, row, &checked);
        self.chunk.versions.push(Entry::new(checked.key, version));
        Ok(())
    }
}

/// What is read at a time.
const AHEAD: usize = 1 << 20;
