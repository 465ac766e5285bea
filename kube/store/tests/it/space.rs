//! Space comes back, and what was deleted stays deleted.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use store::{Embedded, KeyRange, Options, RangeRequest, Revision, Store, Txn, WatchRequest};

use crate::disk::Memory;
use crate::random::Random;
use crate::{all, options, value};

const SEGMENT: usize = 2048;

fn open(disk: &Arc<Memory>) -> Embedded {
    let options = Options { segment_bytes: SEGMENT as u32, tail_bytes: 0, ..options() };
    Embedded::open_on(disk.clone(), Path::new("memory"), &options, Instant::now()).unwrap()
}

fn bytes(disk: &Memory) -> usize {
    disk.image().values().map(Vec::len).sum()
}

fn shrinks_to(disk: &Memory, most: usize) {
    let done = testkit::wait_until(Duration::from_secs(30), || bytes(disk) <= most);
    assert!(done, "{} bytes in {:?}", bytes(disk), disk.image().keys());
}

/// Keys come, change and go at different speeds; segments are put together under that all the
/// time, and each start must find what there was.
#[test]
fn what_is_put_together_is_what_was_there() {
    for seed in 1..=6 {
        let mut random = Random::new(seed);
        let disk = Memory::new();
        let mut store = open(&disk);
        let mut model: BTreeMap<String, String> = BTreeMap::new();
        for number in 0..2000 {
            // Some keys live long, some are written over and over.
            let key = format!("k{:02}", random.below(10) * random.below(10));
            if random.below(3) == 0 {
                store.txn(Txn::delete(KeyRange::one(key.clone()))).unwrap();
                model.remove(&key);
            } else {
                let value = format!("{number}{}", "x".repeat(random.below(60) as usize));
                store.txn(Txn::put(key.clone(), value.clone())).unwrap();
                model.insert(key, value);
            }
            let revision = store.revision().0;
            if random.below(20) == 0 && revision > store.compacted().0 + 12 {
                store.compact(Revision(revision - random.below(10))).unwrap();
            }
            if random.below(100) == 0 {
                let (revision, compacted) = (store.revision(), store.compacted());
                drop(store);
                store = open(&disk);
                assert_eq!((store.revision(), store.compacted()), (revision, compacted));
                same(&store, &model, number);
            }
        }
        same(&store, &model, 2000);
        let kept = bytes(&disk);
        assert!(kept < 60 * SEGMENT, "{kept} bytes for {} keys", model.len());
    }
}

fn same(store: &Embedded, model: &BTreeMap<String, String>, number: usize) {
    let seen: BTreeMap<String, String> = all(store)
        .iter()
        .map(|kv| (String::from_utf8_lossy(&kv.key).into(), String::from_utf8_lossy(&kv.value).into()))
        .collect();
    assert_eq!(seen, *model, "after {number} operations");
}

/// Deletions stay as long as older records of their keys are on disk, and no longer.
#[test]
fn when_everything_is_deleted_nothing_stays() {
    let disk = Memory::new();
    let store = open(&disk);
    for number in 0..400 {
        store.txn(Txn::put(format!("k{number}"), "x".repeat(30))).unwrap();
    }
    // Half of each old segment stays needed, so the deletions of the others do.
    for number in (0..400).filter(|number| number % 5 < 2) {
        store.txn(Txn::delete(KeyRange::one(format!("k{number}")))).unwrap();
    }
    store.compact(store.revision()).unwrap();
    drop(store);
    let store = open(&disk);
    assert_eq!(all(&store).len(), 240);
    for number in 0..400 {
        assert_eq!(value(&store, &format!("k{number}")).is_none(), number % 5 < 2, "{number}");
    }
    store.txn(Txn::delete(KeyRange::all())).unwrap();
    for _ in 0..40 {
        store.txn(Txn::put("last", "x".repeat(60))).unwrap();
    }
    store.compact(store.revision()).unwrap();
    // The newest, the next, and one for all that were.
    shrinks_to(&disk, 40 * 1024);
    store.txn(Txn::put("last", "2")).unwrap();
    store.compact(store.revision()).unwrap();
    shrinks_to(&disk, 5 * SEGMENT);
    drop(store);
    let store = open(&disk);
    assert_eq!(all(&store).len(), 1);
}

/// Readers and watches that began before go on while what they read moves.
#[test]
fn reads_and_watches_go_on_meanwhile() {
    let disk = Memory::new();
    let store = open(&disk);
    for number in 0..300 {
        store.txn(Txn::put(format!("k{}", number % 7), format!("{number}"))).unwrap();
    }
    let mut watch = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(250))).unwrap();
    assert_eq!(watch.poll().unwrap().unwrap().revision, Revision(250));
    store.compact(Revision(240)).unwrap();
    // From more than twice as much, however many small segments are put together before.
    shrinks_to(&disk, 5 * SEGMENT);
    let seen: Vec<u64> = std::iter::from_fn(|| watch.poll().unwrap()).map(|batch| batch.revision.0).collect();
    assert_eq!(seen, (251..=301).collect::<Vec<_>>());
    for revision in 240..=301 {
        let request =
            RangeRequest::new(KeyRange::one(format!("k{}", (revision - 2) % 7))).at(Revision(revision));
        let kvs = store.range(&request).unwrap().kvs;
        assert_eq!(kvs[0].value, format!("{}", revision - 2));
    }
    assert_eq!(store.check().unwrap().rows, 301 - 240 + 7);
}
