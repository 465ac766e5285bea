//! Finding the segments, putting them in order, and building the index from them.
//!
//! ```text
//! heads ─▶ the order of the log ─▶ readers: segments checked, values left behind ─▶ in order ─▶ the machine
//! ```
//!
//! The checksums of a large store would make a start wait, so all processors share them. Looking
//! changes nothing; [`Recovered::repair`] then removes what a crash left behind.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use base::failpoint::hit;

use super::frame::{SECTOR, is_zero};
use super::head::SegmentHead;
use super::scan::{Chunk, Ends, scan};
use super::segment::{Segment, Table, Waste};
use super::{Tip, seal};
use crate::embedded::disk::Storage;
use crate::error::Error;
use crate::machine::Machine;
use crate::types::LeaseId;

/// What a directory of segments holds.
#[derive(Debug)]
pub(crate) struct Recovered {
    pub machine: Machine,
    pub table: Table,
    pub waste: Waste,
    /// Where the log goes on.
    pub tip: Tip,
    /// Files that hold nothing any more.
    obsolete: Vec<String>,
    /// What a torn write has left in the newest segment.
    torn: Option<(u32, u32)>,
    /// The last but one, when it does not say yet that the log goes on.
    unsealed: Option<Tip>,
}

/// Reads and checks everything. `None` when there is nothing at all.
pub(crate) fn recover(storage: &dyn Storage, now: Instant) -> Result<Option<Recovered>, Error> {
    let Found { order, mut obsolete } = find(storage)?;
    let Some(newest) = order.last().cloned() else {
        return if obsolete.is_empty() { Ok(None) } else { none_but(obsolete) };
    };
    let mut machine = Machine::default();
    let mut leases: BTreeMap<i64, Duration> = BTreeMap::new();
    // Of the last but one and the last: leases, versions left out.
    let mut ends: Vec<Chunk> = Vec::new();
    scan_all(&order, |mut chunk| {
        std::mem::take(&mut chunk.versions).into_iter().for_each(|entry| machine.replay(entry));
        if chunk.resets_leases {
            leases.clear();
        }
        for (id, ttl) in chunk.leases.drain(..) {
            match ttl {
                Some(ttl) => drop(leases.insert(id.0, ttl)),
                None => drop(leases.remove(&id.0)),
            }
        }
        ends.push(chunk);
        if ends.len() == 3 && !ends.remove(0).sealed {
            return Err(damaged("its seal is missing", ends[0].before));
        }
        Ok(())
    })?;
    let mut table = Table::default();
    order.into_iter().for_each(|segment| table.push(segment));
    let Some(last) = ends.pop() else { return Ok(None) };
    if last.sealed {
        return Err(newest.damaged("the segment after it is missing", last.link.end));
    }
    let before = ends.pop().zip(table.before_last().cloned());
    let mut recovered = Recovered {
        tip: Tip {
            active: newest,
            link: last.link,
            frames: last.frames,
            revision: last.revision,
            compacted: last.compacted,
        },
        machine,
        table,
        waste: Waste::default(),
        obsolete: Vec::new(),
        torn: last.torn,
        unsealed: None,
    };
    if let Some((chunk, segment)) = before {
        recovered.settle(&chunk, segment, &mut obsolete)?;
    }
    recovered.obsolete = obsolete;
    for (id, ttl) in leases {
        recovered.machine.grant(LeaseId(id), ttl, now)?;
    }
    let dropped = recovered.machine.replayed(recovered.tip.revision, recovered.tip.compacted);
    recovered.table.bury(&dropped, &mut recovered.waste);
    Ok(Some(recovered))
}

/// Without any segment there must be no part of one.
fn none_but(obsolete: Vec<String>) -> Result<Option<Recovered>, Error> {
    let file = obsolete.into_iter().next().unwrap_or_default();
    // What a store that was being made had come to is no store yet.
    if file.ends_with(PART) { Ok(None) } else { Err(missing(0)) }
}

impl Recovered {
    /// What the last but one segment says about the last.
    fn settle(
        &mut self,
        chunk: &Chunk,
        segment: Arc<Segment>,
        obsolete: &mut Vec<String>,
    ) -> Result<(), Error> {
        let Chunk { link, frames, revision, compacted, sealed, .. } = *chunk;
        let tip = Tip { active: segment, link, frames, revision, compacted };
        if self.tip.frames > 0 {
            self.unsealed = (!sealed).then_some(tip);
            return Ok(());
        }
        let newest = &self.tip.active;
        if sealed {
            return Err(newest.damaged("its first frame is missing", SECTOR as u32));
        }
        // The log was just about to go on there, and nobody was told of it.
        obsolete.push(newest.name.clone());
        self.table.pop();
        self.tip = tip;
        self.torn = None;
        Ok(())
    }

    /// Removes what a crash left behind.
    pub(crate) fn repair(&mut self, storage: &dyn Storage) -> Result<(), Error> {
        let doing = |doing, name: &str| {
            let name = name.to_owned();
            move |error| Error::io(doing, name, error)
        };
        for name in &self.obsolete {
            storage.remove(name).map_err(doing("remove", name))?;
            hit("store.repair.removed");
        }
        if !self.obsolete.is_empty() {
            storage.sync().map_err(doing("sync directory of", &self.obsolete[0]))?;
        }
        let active = &self.tip.active;
        if let Some((from, to)) = self.torn {
            let zeros = vec![0; (to - from) as usize];
            active.file.write(u64::from(from), &zeros).map_err(doing("clear the end of", &active.name))?;
            active.file.sync().map_err(doing("sync", &active.name))?;
            hit("store.repair.cleared");
        }
        if let Some(tip) = &self.unsealed {
            seal(tip).map_err(doing("seal", &tip.active.name))?;
            hit("store.repair.sealed");
        }
        Ok(())
    }
}

/// The segments of the log in order, and files that belong to none.
struct Found {
    order: Vec<Arc<Segment>>,
    obsolete: Vec<String>,
}

fn find(storage: &dyn Storage) -> Result<Found, Error> {
    let names = storage.list().map_err(|error| Error::io("list", "the store's files", error))?;
    let mut obsolete: Vec<String> = names.iter().filter(|name| name.ends_with(PART)).cloned().collect();
    let mut numbers: Vec<u32> = names.iter().filter_map(|name| SegmentHead::number(name)).collect();
    numbers.sort_unstable();
    let mut order: Vec<Arc<Segment>> = Vec::new();
    for (at, number) in numbers.iter().enumerate() {
        let expected = order.last().map_or(0, |before| before.head.last + 1);
        let is_newest = at + 1 == numbers.len();
        let found = open(storage, *number, order.len() as u32)?;
        if *number > expected {
            return Err(missing(expected));
        }
        let Some(segment) = found else {
            // The next one, made ready; whether the log had gone on there, the one before says.
            if is_newest && expected > 0 {
                obsolete.push(SegmentHead::name(*number));
                continue;
            }
            return Err(damaged("its head is wrong", *number));
        };
        if let Some(before) = order.last() {
            check_follows(before, &segment)?;
        }
        if *number < expected {
            // It is part of one that was put together.
            obsolete.push(segment.name);
            continue;
        }
        order.push(Arc::new(segment));
    }
    Ok(Found { order, obsolete })
}

/// Whether `segment` belongs after `before`, or into it.
fn check_follows(before: &Segment, segment: &Segment) -> Result<(), Error> {
    if segment.head.identity != before.head.identity {
        return Err(segment.damaged("it belongs to another store", 0));
    }
    let within = segment.head.first <= before.head.last;
    if within && segment.head.last > before.head.last {
        return Err(segment.damaged("it holds a part that another one holds too", 0));
    }
    let shown = before.head.whole.map(|whole| whole.shown);
    if !within && shown.is_some_and(|shown| shown != segment.head.before) {
        return Err(segment.damaged("it does not follow the one before", 0));
    }
    Ok(())
}

/// Opens a segment; `None` when it has no head.
fn open(storage: &dyn Storage, number: u32, slot: u32) -> Result<Option<Segment>, Error> {
    let name = SegmentHead::name(number);
    let failed = |doing| {
        let name = name.clone();
        move |error| Error::io(doing, name, error)
    };
    let file = storage.open(&name).map_err(failed("open"))?;
    let len = file.len().map_err(failed("look at"))?;
    if len < SECTOR as u64 {
        return Err(damaged("the file is cut off", number));
    }
    let mut sector = [0; SECTOR];
    file.read(0, &mut sector).map_err(failed("read"))?;
    let Some((head, crc)) = SegmentHead::decode(&sector)? else {
        return if is_zero(&sector) { Ok(None) } else { Err(damaged("its head is wrong", number)) };
    };
    if head.first != number || head.last < head.first {
        return Err(damaged("it is another segment than its name says", number));
    }
    if len < u64::from(head.len) {
        return Err(Error::DamagedFile { what: "the file is cut off", file: name, offset: len });
    }
    let ends = head.whole.map(|whole| whole.own.end);
    if ends.is_some_and(|end| end > head.len) {
        return Err(damaged("its head is wrong", number));
    }
    Ok(Some(Segment::new(slot, head, crc, file)))
}

fn damaged(what: &'static str, number: u32) -> Error {
    Error::DamagedFile { what, file: SegmentHead::name(number), offset: 0 }
}

fn missing(number: u32) -> Error {
    damaged("the file is missing", number)
}

/// Hands what the segments hold to `take`, in order.
fn scan_all(order: &[Arc<Segment>], mut take: impl FnMut(Chunk) -> Result<(), Error>) -> Result<(), Error> {
    let ends = |at: usize| match (order[at].head.whole, order.get(at + 1)) {
        (Some(whole), _) => Ends::At(whole.own),
        (None, Some(next)) => Ends::At(next.head.before),
        (None, None) => Ends::Somewhere,
    };
    let readers = thread::available_parallelism().map_or(1, usize::from).min(READERS_MAX).min(order.len());
    if readers <= 1 {
        return (0..order.len()).try_for_each(|at| take(scan(&order[at], ends(at))?));
    }
    let read = |at: usize| scan(&order[at], ends(at));
    thread::scope(|scope| {
        let inboxes: Vec<Receiver<Result<Chunk, Error>>> = (0..readers)
            .map(|reader| {
                let (send, inbox) = sync_channel(CHUNKS_AHEAD);
                scope.spawn(move || hand_over((reader..order.len()).step_by(readers).map(read), &send));
                inbox
            })
            .collect();
        for at in 0..order.len() {
            let chunk = inboxes[at % readers].recv();
            // A reader that panics has said so; the scope passes it on.
            take(chunk.unwrap_or(Err(Error::Closed))?)?;
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

/// What the name of a file that is being made ends with.
pub(crate) const PART: &str = ".part";
/// Checksums wait for memory more than for processors beyond that.
const READERS_MAX: usize = 4;
/// Segments that a reader may be ahead.
const CHUNKS_AHEAD: usize = 1;
