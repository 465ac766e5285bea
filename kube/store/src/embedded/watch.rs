//! A watch on the embedded store: a place in the history, and nothing else.

use std::collections::VecDeque;
use std::sync::{Arc, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;

use super::log::segment::Segment;
use super::shared::Shared;
use crate::api::{Batch, Watch, WatchRequest};
use crate::error::Error;
use crate::machine::load;
use crate::record::{Record, Row, lease_at};
use crate::types::{Event, EventKind, Position, Revision};

#[derive(Debug)]
pub(crate) struct Watching {
    shared: Arc<Shared>,
    request: WatchRequest,
    next: u64,
    /// What the last look at the disk found, at most [`SCAN_MAX`] records.
    ahead: VecDeque<Vec<(Position, Record)>>,
    name: u64,
}

impl Watching {
    pub(crate) fn new(shared: Arc<Shared>, request: WatchRequest) -> Result<Self, Error> {
        let from = request.from.filter(|from| from.0 != 0);
        let index = shared.index();
        let next = from.unwrap_or_else(|| shared.published().next()).0;
        let compacted = index.compacted();
        drop(index);
        if next < compacted.0 {
            return Err(Error::Compacted { requested: Revision(next), compacted });
        }
        let name = shared.signal.name();
        Ok(Self { shared, request, next, ahead: VecDeque::new(), name })
    }

    /// The next revision with something for us, and moves past it.
    fn advance(&mut self) -> Result<Option<Vec<(Position, Record)>>, Error> {
        loop {
            if let Some(found) = self.ahead.pop_front() {
                self.next = found[0].0.revision + 1;
                return Ok(Some(found));
            }
            let newest = self.shared.published().0;
            if self.next > newest {
                return Ok(None);
            }
            let compacted = self.shared.index().compacted();
            if self.next < compacted.0 {
                return Err(Error::Compacted { requested: Revision(self.next), compacted });
            }
            match self.look_at_memory(newest) {
                Some(Some(found)) => return Ok(Some(found)),
                Some(None) => {}
                None => self.look_at_disk(newest)?,
            }
        }
    }

    /// `None` when memory does not reach back that far.
    fn look_at_memory(&mut self, newest: u64) -> Option<Option<Vec<(Position, Record)>>> {
        let tail = self.shared.tail.read().unwrap_or_else(PoisonError::into_inner);
        for revision in tail.since(self.next)? {
            let at = revision[0].0.revision;
            if at > newest {
                break;
            }
            self.next = at + 1;
            let ours: Vec<_> =
                revision.iter().filter(|(_, record)| self.request.range.contains(&record.key)).collect();
            if !ours.is_empty() {
                return Some(Some(ours.into_iter().cloned().collect()));
            }
        }
        Some(None)
    }

    /// Fills `ahead` from the disk, whole revisions only.
    fn look_at_disk(&mut self, newest: u64) -> Result<(), Error> {
        let index = self.shared.index();
        let compacted = index.compacted();
        if self.next < compacted.0 {
            return Err(Error::Compacted { requested: Revision(self.next), compacted });
        }
        let snapshot = self.shared.snapshot()?;
        drop(index);
        let mut look = Look { seen: 0, bytes: 0, last: self.next, ahead: VecDeque::new() };
        let order = snapshot.table.order();
        let first = order.partition_point(|segment| segment.newest() < self.next);
        let mut reached = newest;
        for segment in &order[first..] {
            if !self.look_at_segment(segment, newest, &mut look)? {
                reached = look.last.min(newest);
                break;
            }
        }
        self.ahead = look.ahead;
        if self.ahead.is_empty() {
            self.next = reached + 1;
        }
        Ok(())
    }

    /// Takes in what a segment has for us; false when that is enough.
    fn look_at_segment(&self, segment: &Segment, newest: u64, look: &mut Look) -> Result<bool, Error> {
        let mut rows = segment.walk(self.next);
        while let Some((offset, row)) = rows.next()? {
            let at = row.at;
            if lease_at(at).is_some() || at.revision < self.next {
                continue;
            }
            let enough = look.seen >= SCAN_MAX || look.bytes >= SCAN_BYTES_MAX;
            if at.revision > newest || at.revision != look.last && enough {
                return Ok(false);
            }
            look.seen += 1;
            look.bytes += row.content.len();
            look.last = at.revision;
            let checked = Row::read(at, row.content).map_err(|error| segment.located(error, offset))?;
            if !self.request.range.contains(checked.key) {
                continue;
            }
            let record = Record::decode(at, &Bytes::copy_from_slice(row.content))?;
            match look.ahead.back_mut().filter(|batch| batch[0].0.revision == at.revision) {
                Some(batch) => batch.push((at, record)),
                None => look.ahead.push_back(vec![(at, record)]),
            }
        }
        Ok(true)
    }

    fn batch(&self, records: Vec<(Position, Record)>) -> Result<Batch, Error> {
        let revision = Revision(records[0].0.revision);
        let events = records.into_iter().map(|(at, record)| self.event(at, &record));
        Ok(Batch { revision, events: events.collect::<Result<_, _>>()? })
    }

    fn event(&self, at: Position, record: &Record) -> Result<Event, Error> {
        let prev = if self.request.prev_kv {
            let index = self.shared.index();
            let before = index.before(&record.key, at.revision);
            let snapshot = before.map(|version| self.shared.snapshot().map(|found| (version, found)));
            drop(index);
            snapshot
                .transpose()?
                .map(|(version, snapshot)| load(&snapshot, &record.key, version))
                .transpose()?
        } else {
            None
        };
        let kind = if record.deleted { EventKind::Delete } else { EventKind::Put };
        Ok(Event { kind, kv: record.key_value(at), prev })
    }
}

/// What a look at the disk has found so far.
struct Look {
    seen: usize,
    bytes: usize,
    last: u64,
    ahead: VecDeque<Vec<(Position, Record)>>,
}

impl Watch for Watching {
    fn poll(&mut self) -> Result<Option<Batch>, Error> {
        let found = self.advance()?;
        found.map(|records| self.batch(records)).transpose()
    }

    fn poll_next(&mut self, context: &mut Context<'_>) -> Poll<Result<Batch, Error>> {
        if let Some(batch) = self.poll().transpose() {
            return Poll::Ready(batch);
        }
        self.shared.signal.register(self.name, context.waker());
        // A revision that came before the waker was there wakes nobody.
        self.poll().transpose().map_or(Poll::Pending, Poll::Ready)
    }

    fn wait(&mut self, timeout: Duration) -> Result<Option<Batch>, Error> {
        let deadline = Instant::now() + timeout;
        loop {
            if let Some(batch) = self.poll()? {
                return Ok(Some(batch));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            let next = self.next;
            self.shared.signal.wait(deadline, || self.shared.published().0 >= next);
        }
    }

    fn progress(&self) -> Revision {
        Revision(self.next.saturating_sub(1))
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        self.shared.signal.forget(self.name);
    }
}

/// Records that one look at the disk reads at most: it bounds a watch's memory.
const SCAN_MAX: usize = 256;
/// And their bytes.
const SCAN_BYTES_MAX: usize = 1 << 20;
