//! The power goes at every sync: what was acknowledged is there, and nothing else but a prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{KeyRange, Op, Revision, Store, Txn};

use crate::disk::{Act, Files, Image, Memory};
use crate::random::Random;
use crate::{all, open_on};

/// The state after each revision, and when it was acknowledged.
struct History {
    states: BTreeMap<u64, BTreeMap<String, String>>,
    /// Acts on the disk when it was acknowledged → revision.
    acknowledged: BTreeMap<usize, u64>,
}

fn run(base: &Image, operations: usize) -> (Vec<Act>, History) {
    let mut random = Random::new(5);
    let disk = Memory::traced(base);
    let store = open_on(&disk).unwrap();
    let mut now = BTreeMap::new();
    let mut history =
        History { states: BTreeMap::from([(1, BTreeMap::new())]), acknowledged: BTreeMap::new() };
    for number in 0..operations {
        let (key, value) = (format!("k{}", random.below(30)), format!("v{number}"));
        let revision = match random.below(10) {
            0 => {
                now.remove(&key);
                store.txn(Txn::delete(KeyRange::one(key))).unwrap().revision
            }
            1 => {
                let second = format!("{key}b");
                now.insert(key.clone(), value.clone());
                now.insert(second.clone(), value.clone());
                store.txn(Txn::ops([Op::put(key, value.clone()), Op::put(second, value)])).unwrap().revision
            }
            // Now and then a write over several sectors.
            2 => {
                let long = format!("{value}{}", "x".repeat(random.below(3000) as usize));
                now.insert(key.clone(), long.clone());
                store.txn(Txn::put(key, long)).unwrap().revision
            }
            _ => {
                now.insert(key.clone(), value.clone());
                store.txn(Txn::put(key, value)).unwrap().revision
            }
        };
        history.states.insert(revision.0, now.clone());
        history.acknowledged.insert(disk.acts(), revision.0);
        if random.below(40) == 0 && revision.0 > store.compacted().0 + 20 {
            store.compact(Revision(revision.0 - 10)).unwrap();
        }
    }
    drop(store);
    (disk.take_trace(), history)
}

fn check(files: &Files, history: &History, acts: usize, what: &str) {
    let disk: Arc<Memory> = Memory::of(&files.image());
    let store = open_on(&disk).unwrap_or_else(|error| panic!("after {acts} acts, {what}: {error:?}"));
    let least = history.acknowledged.range(..=acts).next_back().map_or(1, |(_, revision)| *revision);
    let revision = store.revision().0;
    assert!(
        revision >= least,
        "after {acts} acts, {what}: {revision} is older than the acknowledged {least}"
    );
    let seen: BTreeMap<String, String> = all(&store)
        .iter()
        .map(|kv| (String::from_utf8_lossy(&kv.key).into(), String::from_utf8_lossy(&kv.value).into()))
        .collect();
    assert_eq!(seen, history.states[&revision], "after {acts} acts, {what}, at revision {revision}");
}

/// What is on the disk for sure, and what is on its way there.
struct Power {
    synced: Files,
    pending: Vec<Act>,
}

impl Power {
    fn take(&mut self, act: &Act) {
        let arrives = |pending: &Act| match (act, pending) {
            (Act::Sync(synced), Act::Write(file, ..) | Act::Length(file, _)) => synced == file,
            (Act::SyncNames, Act::Create(..) | Act::Rename(..) | Act::Remove(_)) => true,
            _ => false,
        };
        match act {
            Act::Sync(_) | Act::SyncNames => {
                let (arrived, rest) = self.pending.drain(..).partition(arrives);
                let arrived: Vec<Act> = arrived;
                arrived.iter().for_each(|act| self.synced.apply(act));
                self.pending = rest;
            }
            act => self.pending.push(act.clone()),
        }
    }

    /// What is there when only some of what was on its way has arrived.
    fn with(&self, kept: impl Fn(usize) -> bool) -> Files {
        let mut files = self.synced.clone();
        let kept = self.pending.iter().enumerate().filter(|(at, _)| kept(*at));
        kept.for_each(|(_, act)| files.apply(act));
        files
    }

    /// All of it, but of the last write only some sectors.
    fn torn(&self, mut kept: impl FnMut(usize, usize) -> bool) -> Option<Files> {
        let mut files = self.with(|at| at + 1 < self.pending.len());
        let Act::Write(file, offset, data) = self.pending.last()? else { return None };
        let first = SECTOR - *offset as usize % SECTOR;
        let cuts: Vec<usize> =
            (0..).map(|at| first + at * SECTOR).take_while(|cut| *cut < data.len()).collect();
        let starts = std::iter::once(0).chain(cuts.iter().copied());
        let ends = cuts.iter().copied().chain([data.len()]);
        for (sector, (start, end)) in starts.zip(ends).enumerate() {
            if kept(sector, cuts.len() + 1) {
                files.apply(&Act::Write(*file, offset + start as u64, data[start..end].to_vec()));
            }
        }
        Some(files)
    }
}

/// Which sectors of a write arrived, of how many.
type Part<'a> = (&'a str, &'a dyn Fn(usize, usize) -> bool);

#[test]
fn power_loss_at_every_sync() {
    // A store on a directory begins as a whole: `Embedded::open` renames it into place.
    let empty = Memory::new();
    drop(open_on(&empty).unwrap());
    let base = empty.image();
    let (trace, history) = run(&base, OPERATIONS);
    let mut power = Power { synced: Files::of(&base), pending: Vec::new() };
    let mut random = Random::new(6);
    let (mut syncs, mut torn) = (0, 0);
    for (number, act) in trace.iter().enumerate() {
        if matches!(act, Act::Sync(_) | Act::SyncNames) {
            check(&power.synced, &history, number, "nothing arrived");
            if syncs % TORN_EVERY == 0 && !power.pending.is_empty() {
                let last = power.pending.len() - 1;
                check(&power.with(|at| at == 0), &history, number, "only the first arrived");
                check(&power.with(|at| at != 0), &history, number, "all but the first arrived");
                check(&power.with(|at| at != last), &history, number, "all but the last arrived");
                check(&power.with(|_| true), &history, number, "all arrived");
                let half = random.below(u64::MAX);
                let parts: [Part<'_>; 4] = [
                    ("the first sector is missing", &|sector, _| sector != 0),
                    ("the last sector is missing", &|sector, all| sector + 1 != all),
                    ("only the first sector arrived", &|sector, _| sector == 0),
                    ("some sectors arrived", &|sector, _| half >> (sector % 64) & 1 == 1),
                ];
                for (what, kept) in parts {
                    let Some(files) = power.torn(kept) else { continue };
                    check(&files, &history, number, what);
                    torn += 1;
                }
            }
            syncs += 1;
        }
        power.take(act);
    }
    check(&power.synced, &history, trace.len(), "all was synced");
    assert!(syncs > OPERATIONS, "each operation was synced: {syncs}");
    assert!(torn > OPERATIONS / TORN_EVERY, "{torn}");
    assert!(trace.iter().any(|act| matches!(act, Act::Remove(_))), "segments were put together");
}

const OPERATIONS: usize = 10_000;
const TORN_EVERY: usize = 7;
const SECTOR: usize = 512;
