//! The power goes at every sync: what was acknowledged is there, and nothing else but a prefix.

use std::collections::BTreeMap;
use std::sync::Arc;

use store::{KeyRange, Op, Revision, Store, Txn};

use crate::disk::{Act, Memory, replay};
use crate::random::Random;
use crate::{all, open_on};

/// The state after each revision, and when it was acknowledged.
struct History {
    states: BTreeMap<u64, BTreeMap<String, String>>,
    /// Acts on the disk when it was acknowledged → revision.
    acknowledged: BTreeMap<usize, u64>,
}

fn run(base: Vec<u8>, operations: usize) -> (Vec<Act>, History) {
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

fn check(image: &[u8], history: &History, acts: usize) {
    let disk: Arc<Memory> = Memory::new(image.to_vec());
    let store = open_on(&disk).unwrap_or_else(|error| panic!("after {acts} acts: {error:?}"));
    let least = history.acknowledged.range(..=acts).next_back().map_or(1, |(_, revision)| *revision);
    let revision = store.revision().0;
    assert!(revision >= least, "after {acts} acts: {revision} is older than the acknowledged {least}");
    let seen: BTreeMap<String, String> = all(&store)
        .iter()
        .map(|kv| (String::from_utf8_lossy(&kv.key).into(), String::from_utf8_lossy(&kv.value).into()))
        .collect();
    assert_eq!(seen, history.states[&revision], "after {acts} acts, at revision {revision}");
}

#[test]
fn power_loss_at_every_sync() {
    // A store on a file begins as a whole: `Embedded::open` links it into place.
    let empty = Memory::new(Vec::new());
    drop(open_on(&empty).unwrap());
    let mut synced = empty.image();
    let (trace, history) = run(synced.clone(), OPERATIONS);
    let mut begun = 0;
    let mut syncs = 0;
    for (number, act) in trace.iter().enumerate() {
        if !matches!(act, Act::Sync) {
            continue;
        }
        let pending = &trace[begun..number];
        // All of it is lost; only the first part, or all but the first or last part arrived.
        check(&synced, &history, begun);
        if syncs % TORN_EVERY == 0 {
            for lost in [1..pending.len(), 0..1, pending.len().saturating_sub(1)..pending.len()] {
                let mut torn = synced.clone();
                let kept = pending.iter().enumerate().filter(|(at, act)| {
                    // A length that did not arrive would leave later writes nowhere to go.
                    !lost.contains(at) || matches!(act, Act::Length(_))
                });
                kept.for_each(|(_, act)| replay(&mut torn, act));
                check(&torn, &history, begun);
            }
        }
        pending.iter().for_each(|act| replay(&mut synced, act));
        begun = number + 1;
        syncs += 1;
    }
    check(&synced, &history, begun);
    assert!(syncs > OPERATIONS, "each operation was synced: {syncs}");
}

const OPERATIONS: usize = 1000;
const TORN_EVERY: usize = 5;
