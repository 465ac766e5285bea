//! Giving space back: what is still needed of closed segments goes into a new one.
//!
//! A run of neighbours becomes one segment that stands for all of them, with what is before and
//! after it as it was. It is complete and durable before it gets the name of the first of them,
//! which is then gone; the others' files are removed after that, now or at the next start.

use std::collections::HashMap;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use base::failpoint::hit;

use super::build::{Finished, WholeSegment};
use super::frame::RawRow;
use super::head::{Link, SegmentHead};
use super::recover::PART;
use super::segment::{Segment, Table, Waste};
use crate::embedded::disk::Storage;
use crate::embedded::shared::Shared;
use crate::error::Error;
use crate::index::name_of;
use crate::record::{Row, lease_at};
use crate::types::Place;

/// Neighbours that become one.
#[derive(Debug)]
pub(crate) struct Run {
    parts: Vec<Arc<Segment>>,
    /// The end that the segment after them remembers.
    shown: Link,
}

/// The run that gives back the most, when that is worth it. Segments become at most `target` long.
pub(crate) fn choose(table: &Table, waste: &Waste, target: u32) -> Option<Run> {
    let order = table.order();
    let closed = order.split_last().map_or(order, |(_, closed)| closed);
    let sizes: Vec<Size> = closed
        .iter()
        .map(|segment| Size { used: segment.used(), needed: segment.needed(|key| waste.has(key)) })
        .collect();
    let best = choose_of(&sizes, u64::from(target))?;
    let shown = order[best.end].head.before;
    Some(Run { parts: closed[best].to_vec(), shown })
}

#[derive(Clone, Copy, Debug)]
struct Size {
    used: u64,
    needed: u64,
}

fn choose_of(sizes: &[Size], target: u64) -> Option<std::ops::Range<usize>> {
    let sparse = |size: &Size| size.needed * 2 < size.used;
    let joins = |size: &Size| sparse(size) || size.used <= target / SMALL;
    let mut best: Option<(u64, std::ops::Range<usize>)> = None;
    for start in 0..sizes.len() {
        if !sparse(&sizes[start]) {
            continue;
        }
        let (mut run, mut sum) = (start..start + 1, sizes[start]);
        let fits = |sum: &Size, size: &Size| joins(size) && sum.needed + size.needed <= target;
        while run.end < sizes.len() && fits(&sum, &sizes[run.end]) {
            sum = sum.and(sizes[run.end]);
            run.end += 1;
        }
        while run.start > 0 && fits(&sum, &sizes[run.start - 1]) {
            run.start -= 1;
            sum = sum.and(sizes[run.start]);
        }
        let gain = sum.used.saturating_sub(sum.needed);
        if gain >= target / WORTH && best.as_ref().is_none_or(|(most, _)| gain > *most) {
            best = Some((gain, run));
        }
    }
    best.map(|(_, run)| run)
}

impl Size {
    fn and(self, other: Self) -> Self {
        Self { used: self.used + other.used, needed: self.needed + other.needed }
    }
}

/// Why a run was left as it was.
#[derive(Debug)]
pub(crate) enum Unmerged {
    /// The store is being closed.
    Closing,
    /// The disk failed, or is full.
    Disk,
    /// A record is damaged: it stays where it is, and who reads it hears of it.
    Damaged,
}

impl From<io::Error> for Unmerged {
    fn from(_: io::Error) -> Self {
        Self::Disk
    }
}

impl From<Error> for Unmerged {
    fn from(_: Error) -> Self {
        Self::Damaged
    }
}

/// Puts a run together. Reads and commits go on meanwhile.
pub(crate) fn merge(shared: &Shared, storage: &dyn Storage, run: &Run) -> Result<(), Unmerged> {
    hit("store.merge.begun");
    let (first, last) = (&run.parts[0], &run.parts[run.parts.len() - 1]);
    let part = format!("{}{PART}", first.name);
    let copied = copy(shared, storage, run, &part).and_then(|(whole, gone)| {
        hit("store.merge.copied");
        let head = SegmentHead {
            identity: first.head.identity,
            first: first.head.first,
            last: last.head.last,
            len: 0,
            revision: last.newest(),
            compacted: last.head.compacted,
            before: first.head.before,
            whole: None,
        };
        Ok((whole.finish(head, Some(run.shown))?, gone))
    });
    let (finished, gone) = copied.inspect_err(|_| {
        // It takes space, and is nothing yet.
        drop(storage.remove(&part));
    })?;
    hit("store.merge.synced");
    storage.rename(&part, &first.name)?;
    hit("store.merge.renamed");
    storage.sync()?;
    hit("store.merge.named");
    install(shared, run, finished, &gone)?;
    hit("store.merge.installed");
    for old in &run.parts[1..] {
        // What stays is removed at the next start.
        drop(storage.remove(&old.name));
        hit("store.merge.removed");
    }
    Ok(())
}

/// Copies the rows that are needed; counts those that are left out, by key.
fn copy(
    shared: &Shared,
    storage: &dyn Storage,
    run: &Run,
    part: &str,
) -> Result<(WholeSegment, HashMap<u64, u32>), Unmerged> {
    let head = &run.parts[0].head;
    let mut whole = WholeSegment::begin(storage, part, head.identity, head.first)?;
    let mut gone: HashMap<u64, u32> = HashMap::new();
    for segment in &run.parts {
        let mut walk = segment.walk(0);
        while let Some((offset, row)) = walk.next()? {
            if shared.closing.load(Ordering::Relaxed) {
                return Err(Unmerged::Closing);
            }
            // The newest segment names all leases.
            if lease_at(row.at).is_none() && is_needed(shared, segment, offset, row, &mut gone)? {
                whole.row(row)?;
            }
        }
    }
    Ok((whole, gone))
}

fn is_needed(
    shared: &Shared,
    segment: &Segment,
    offset: u32,
    row: RawRow<'_>,
    gone: &mut HashMap<u64, u32>,
) -> Result<bool, Error> {
    let checked = Row::read(row.at, row.content)?;
    let place = Place { slot: segment.slot, offset, len: row.content.len() as u32 };
    let index = shared.index();
    if index.lies(checked.key, row.at, place) {
        return Ok(true);
    }
    let name = name_of(checked.key);
    let left_out = gone.entry(name).or_default();
    if checked.deleted {
        // As long as an older record of the key is on disk.
        let waste = shared.waste.lock().unwrap_or_else(PoisonError::into_inner);
        return Ok(waste.count(name) > *left_out);
    }
    *left_out += 1;
    Ok(false)
}

/// Lets reads find the records in the new segment, then forgets the old ones.
fn install(shared: &Shared, run: &Run, finished: Finished, gone: &HashMap<u64, u32>) -> Result<(), Unmerged> {
    let Finished { file, head, head_crc, marks } = finished;
    let new = Arc::new(Segment::new(shared.new_slot(), head, head_crc, file));
    new.grow(head.len, head.revision, 0, &marks);
    shared.change_table(|table| table.lend(Arc::clone(&new)));
    let slots: Vec<u32> = run.parts.iter().map(|segment| segment.slot).collect();
    let mut walk = new.walk(0);
    loop {
        // A few at a time: commits need the index too.
        let mut index = shared.index.write().unwrap_or_else(PoisonError::into_inner);
        for _ in 0..MOVED_AT_ONCE {
            let Some((offset, row)) = walk.next()? else {
                drop(index);
                shared.change_table(|table| table.replace(&new));
                let mut waste = shared.waste.lock().unwrap_or_else(PoisonError::into_inner);
                gone.iter().for_each(|(key, count)| waste.remove(*key, *count));
                return Ok(());
            };
            let checked = Row::read(row.at, row.content)?;
            let bytes = row.bytes();
            let to = Place { slot: new.slot, offset, len: row.content.len() as u32 };
            if index.moved(checked.key, row.at, &slots, to) {
                new.add_live(u64::from(bytes));
            } else if checked.deleted {
                new.add_grave(name_of(checked.key), bytes);
            }
        }
    }
}

/// A segment smaller than one part in that many is taken along.
const SMALL: u64 = 8;
/// What is worth it: one part in that many of a segment.
const WORTH: u64 = 4;
/// Records that are looked up without letting go of the index.
const MOVED_AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    /// Sizes as `used/needed`; the run as `start..end`.
    fn check(sizes: &str, expected: &str) {
        let sizes: Vec<Size> = sizes
            .split_whitespace()
            .map(|size| size.split_once('/').unwrap())
            .map(|(used, needed)| Size { used: used.parse().unwrap(), needed: needed.parse().unwrap() })
            .collect();
        let run = choose_of(&sizes, 160).map_or(String::new(), |run| format!("{}..{}", run.start, run.end));
        assert_eq!(run, expected, "{sizes:?}");
    }

    #[test]
    fn what_is_full_or_small_stays() {
        check("", "");
        check("160/160 160/90 160/80", "");
        check("10/0 10/10", "");
    }

    #[test]
    fn sparse_neighbours_become_one() {
        check("160/160 160/10 160/20 160/160", "1..3");
        check("160/10 160/160 160/0 160/0", "2..4");
    }

    #[test]
    fn small_ones_go_along_on_both_sides() {
        check("160/160 20/20 160/10 10/10 160/160", "1..4");
    }

    #[test]
    fn the_new_one_is_no_longer_than_others() {
        check("160/70 160/70 160/70", "0..2");
    }
}
