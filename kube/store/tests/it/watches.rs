//! A watch delivers every change once, in order, whole revisions, from any kept revision.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread;
use std::time::{Duration, Instant};

use store::{
    Batch, Embedded, Error, EventKind, KeyRange, Op, Options, Revision, Store, Txn, Watch, WatchRequest,
};

use crate::disk::Memory;
use crate::open_on;
use crate::random::Random;

fn drain(watch: &mut dyn Watch) -> Vec<Batch> {
    std::iter::from_fn(|| watch.poll().unwrap()).collect()
}

fn lines(batches: &[Batch]) -> Vec<String> {
    let line = |batch: &Batch| {
        let events = batch.events.iter().map(|event| {
            assert_eq!(event.kv.mod_revision, batch.revision);
            let sign = if event.kind == EventKind::Put { '+' } else { '-' };
            format!(" {sign}{}", String::from_utf8_lossy(&event.kv.key))
        });
        format!("{}{}", batch.revision, events.collect::<String>())
    };
    batches.iter().map(line).collect()
}

#[test]
fn a_revision_is_never_split_and_never_repeated() {
    let store = open_on(&Memory::new()).unwrap();
    store.txn(Txn::put("a/1", "x")).unwrap();
    let mut now = store.watch(WatchRequest::new(KeyRange::prefix("a/"))).unwrap();
    let mut past = store.watch(WatchRequest::new(KeyRange::prefix("a/")).from(Revision(2))).unwrap();
    store.txn(Txn::ops([Op::put("a/2", "x"), Op::put("b/1", "x"), Op::put("a/3", "x")])).unwrap();
    store.txn(Txn::put("b/2", "x")).unwrap();
    store.txn(Txn::delete(KeyRange::prefix("a/"))).unwrap();
    assert_eq!(lines(&drain(&mut *now)), ["3 +a/2 +a/3", "5 -a/1 -a/2 -a/3"]);
    assert_eq!(lines(&drain(&mut *past)), ["2 +a/1", "3 +a/2 +a/3", "5 -a/1 -a/2 -a/3"]);
    store.txn(Txn::put("b/3", "x")).unwrap();
    assert_eq!(drain(&mut *now), []);
    assert_eq!(now.progress(), Revision(6), "progress moves over what is not ours");
}

#[test]
fn events_can_carry_what_was_before() {
    let store = open_on(&Memory::new()).unwrap();
    let mut watch = store.watch(WatchRequest::new(KeyRange::all()).prev_kv()).unwrap();
    for txn in [Txn::put("a", "1"), Txn::put("a", "2"), Txn::delete(KeyRange::one("a")), Txn::put("a", "3")] {
        store.txn(txn).unwrap();
    }
    let before: Vec<_> = drain(&mut *watch)
        .iter()
        .map(|batch| batch.events[0].prev.as_ref().map(|kv| kv.value.to_vec()))
        .collect();
    assert_eq!(before, [None, Some(b"1".to_vec()), Some(b"2".to_vec()), None]);
}

/// A watch that nobody reads holds nothing; what left the memory comes from the disk.
#[test]
fn a_slow_watch_reads_from_the_disk_and_ends_when_compaction_passes_it() {
    let disk = Memory::new();
    let options = Options { tail_bytes: 4096, retention: None, ..Options::default() };
    let store = Embedded::open_on(disk, std::path::Path::new("memory"), &options, Instant::now()).unwrap();
    let request = WatchRequest::new(KeyRange::prefix("a/")).from(Revision(2));
    let mut slow = store.watch(request.clone()).unwrap();
    let mut slower = store.watch(request.clone()).unwrap();
    for number in 0..600 {
        let other = format!("b/{number}");
        store.txn(Txn::ops([Op::put(format!("a/{number}"), "x"), Op::put(other, "x")])).unwrap();
    }
    let seen = drain(&mut *slow);
    assert_eq!(seen.len(), 600);
    assert!(seen.iter().zip(2..).all(|(batch, revision)| batch.revision.0 == revision));
    slower.poll().unwrap();
    store.compact(Revision(590)).unwrap();
    let ended = loop {
        match slower.poll() {
            Ok(batch) => assert!(batch.is_some(), "it must not skip what is compacted"),
            Err(error) => break error,
        }
    };
    let Error::Compacted { compacted, .. } = ended else { panic!("{ended}") };
    assert!(store.watch(request).is_err());
    let mut resumed = store.watch(WatchRequest::new(KeyRange::prefix("a/")).from(compacted)).unwrap();
    assert_eq!(drain(&mut *resumed)[0].revision, Revision(590));
}

#[test]
fn a_watch_that_broke_off_goes_on_where_it_was() {
    let mut random = Random::new(11);
    let disk = Memory::new();
    let mut store = open_on(&disk).unwrap();
    let mut watch = store.watch(WatchRequest::new(KeyRange::all())).unwrap();
    let mut seen = Vec::new();
    for number in 0..200 {
        store.txn(Txn::put(format!("k{}", random.below(10)), format!("{number}"))).unwrap();
        match random.below(20) {
            0 => {
                let from = watch.progress().next();
                drop(watch);
                drop(store);
                store = open_on(&disk).unwrap();
                watch = store.watch(WatchRequest::new(KeyRange::all()).from(from)).unwrap();
            }
            1..5 => seen.extend(drain(&mut *watch).iter().map(|batch| batch.revision.0)),
            _ => {}
        }
    }
    seen.extend(drain(&mut *watch).iter().map(|batch| batch.revision.0));
    assert_eq!(seen, (2..=201).collect::<Vec<_>>());
}

#[test]
fn waiting_and_waking() {
    struct Count(AtomicUsize);
    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }
    let store = Arc::new(open_on(&Memory::new()).unwrap());
    let count = Arc::new(Count(AtomicUsize::new(0)));
    let waker = Waker::from(Arc::clone(&count));
    let mut context = Context::from_waker(&waker);
    let mut watch = store.watch(WatchRequest::new(KeyRange::all())).unwrap();
    assert!(watch.poll_next(&mut context).is_pending());
    store.txn(Txn::put("a", "1")).unwrap();
    assert_eq!(count.0.load(Ordering::SeqCst), 1);
    assert!(matches!(watch.poll_next(&mut context), Poll::Ready(Ok(batch)) if batch.revision.0 == 2));

    assert_eq!(watch.wait(Duration::from_millis(1)).unwrap(), None);
    let writer = Arc::clone(&store);
    let written = thread::spawn(move || writer.txn(Txn::put("a", "2")).unwrap());
    assert_eq!(watch.wait(Duration::from_secs(30)).unwrap().unwrap().revision.0, 3);
    written.join().unwrap();
}
