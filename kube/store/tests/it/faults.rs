//! A disk that fails: nothing is acknowledged any more, reads go on, a restart loses nothing.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use base::{Classified, ErrorClass};
use store::{Embedded, Error, KeyRange, LeaseId, Options, RangeRequest, Revision, Store, Txn, WatchRequest};

use crate::disk::Memory;
use crate::{all, open_on, value};

fn a_sync_fails_once(errno: u64, class: ErrorClass) {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    for number in 0..50 {
        store.txn(Txn::put(format!("k{number}"), "kept")).unwrap();
    }
    let before = all(&store);
    disk.fail_sync.store(errno, Ordering::SeqCst);
    let error = store.txn(Txn::put("k0", "lost")).unwrap_err();
    assert!(matches!(error, Error::ReadOnly { .. }), "{error:?}");
    assert_eq!(error.class(), class);
    let syncs = disk.syncs.load(Ordering::SeqCst);
    for _ in 0..3 {
        assert!(matches!(store.txn(Txn::put("k1", "lost")), Err(Error::ReadOnly { .. })));
        assert!(store.compact(Revision(5)).is_err());
        assert!(store.lease_grant(LeaseId(1), Duration::from_secs(1), Instant::now()).is_err());
    }
    assert_eq!(disk.syncs.load(Ordering::SeqCst), syncs, "a failed sync is never tried again");
    assert!(store.failure().is_some());
    assert_eq!(all(&store), before);
    assert_eq!(store.revision(), Revision(51));
    let old = store.range(&RangeRequest::new(KeyRange::all()).at(Revision(11))).unwrap();
    assert_eq!(old.kvs, before.iter().filter(|kv| kv.mod_revision.0 <= 11).cloned().collect::<Vec<_>>());
    let mut watch = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(2))).unwrap();
    assert_eq!(std::iter::from_fn(|| watch.poll().unwrap()).count(), 50);
    drop(watch);
    drop(store);

    let store = open_on(&disk).unwrap();
    for number in 1..50 {
        assert_eq!(value(&store, &format!("k{number}")).as_deref(), Some("kept"));
    }
    // Nobody was told that it failed for good: either is right.
    assert!(["kept", "lost"].contains(&value(&store, "k0").unwrap().as_str()));
    store.txn(Txn::put("k0", "new")).unwrap();
}

#[test]
fn eio_on_sync() {
    a_sync_fails_once(5, ErrorClass::Internal);
}

#[test]
fn enospc_on_sync() {
    a_sync_fails_once(28, ErrorClass::ResourceExhausted);
}

/// Without a restart: what was acknowledged is there, what was refused is not half there, and
/// revisions, watches and history go on.
#[test]
fn a_full_disk_and_back() {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    let mut watch = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(2))).unwrap();
    for round in 0..5 {
        for number in 0..20 {
            store.txn(Txn::put(format!("{round}-{number}"), vec![b'k'; 10_000])).unwrap();
        }
        assert_eq!(std::iter::from_fn(|| watch.poll().unwrap()).count(), 20);
        store.compact(Revision(store.revision().0 - 10)).unwrap();
        let before = all(&store);
        disk.full.store(true, Ordering::SeqCst);
        for number in 0..3 {
            let error = store.txn(Txn::put(format!("{round}-{number}"), "refused")).unwrap_err();
            assert!(matches!(error, Error::Full { .. }), "{error:?}");
            assert_eq!(error.class(), ErrorClass::ResourceExhausted, "{error:?}");
        }
        assert!(matches!(store.failure(), Some(Error::Full { .. })));
        assert_eq!(all(&store), before);
        assert_eq!(watch.poll().unwrap(), None);
        disk.full.store(false, Ordering::SeqCst);
        assert!(testkit::wait_until(Duration::from_secs(20), || store.failure().is_none()));
        assert_eq!(all(&store), before);
    }
    let before = all(&store);
    drop(store);
    let store = open_on(&disk).unwrap();
    assert_eq!(all(&store), before);
    store.txn(Txn::put("b", "again")).unwrap();
}

/// Whichever write finds no space, even over blocks that are there, as where each write is a copy.
#[test]
fn a_disk_that_is_full_at_any_write() {
    std::thread::scope(|scope| {
        for write in 1..=100 {
            scope.spawn(move || full_at(write));
        }
    });
}

fn full_at(write: u64) {
    let disk = Memory::new();
    let options = Options { segment_bytes: 2048, ..crate::options() };
    let open = || Embedded::open_on(disk.clone(), Path::new("memory"), &options, Instant::now()).unwrap();
    let store = open();
    disk.full_at.store(write, Ordering::SeqCst);
    for number in 0..60 {
        let put = || store.txn(Txn::put(format!("k{number}"), "kept"));
        if let Err(error) = put() {
            assert!(matches!(error, Error::Full { .. }), "{write}: {error:?}");
            disk.full.store(false, Ordering::SeqCst);
            let mended = testkit::wait_until(Duration::from_secs(20), || store.failure().is_none());
            assert!(mended, "{write}: {:?}", store.failure());
            put().unwrap();
        }
    }
    let before = all(&store);
    assert_eq!(before.len(), 60, "{write}");
    assert_eq!(store.revision(), Revision(61), "{write}");
    drop(store);
    assert_eq!(all(&open()), before, "{write}");
}

/// What was reserved can be used; then writes are refused before anything of them is written, and go
/// on by themselves.
#[test]
fn space_is_reserved_before_it_is_needed() {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    store.txn(Txn::put("a", "0")).unwrap();
    disk.no_growth.store(true, Ordering::SeqCst);
    let (mut written, before) = (0, disk.image().len());
    let error = loop {
        match store.txn(Txn::put("a", format!("{written}"))) {
            Ok(_) => written += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, Error::Full { .. }), "{error:?}");
    assert!(written > 10, "{written}");
    assert_eq!(disk.image().len(), before, "nothing half done is left");
    let last = (written - 1).to_string();
    assert_eq!(value(&store, "a").as_deref(), Some(&*last));
    disk.no_growth.store(false, Ordering::SeqCst);
    assert!(testkit::wait_until(Duration::from_secs(20), || store.failure().is_none()));
    let revision = store.txn(Txn::put("a", "again")).unwrap().revision;
    assert_eq!(revision, Revision(3 + written), "no revision was spent on what was refused");
    drop(store);
    assert_eq!(value(&open_on(&disk).unwrap(), "a").as_deref(), Some("again"));
}

/// A sync that fails while the disk is full is a failed sync: no space later makes up for it.
#[test]
fn a_full_disk_that_fails_to_sync_stays_read_only() {
    let disk = Memory::new();
    let store = open_on(&disk).unwrap();
    store.txn(Txn::put("a", "kept")).unwrap();
    disk.full.store(true, Ordering::SeqCst);
    assert!(matches!(store.txn(Txn::put("a", "refused")), Err(Error::Full { .. })));
    disk.fail_sync.store(5, Ordering::SeqCst);
    disk.full.store(false, Ordering::SeqCst);
    let ended = || matches!(store.failure(), Some(Error::ReadOnly { .. }));
    assert!(testkit::wait_until(Duration::from_secs(20), ended));
    assert_eq!(value(&store, "a").as_deref(), Some("kept"));
}

/// While a sync takes for ever, reads and watches go on; all that wait for it share the next one.
#[test]
fn a_slow_disk_keeps_nobody_from_reading() {
    let disk = Memory::new();
    let options = Options { tail_bytes: 0, ..crate::options() };
    let store = Embedded::open_on(disk.clone(), Path::new("memory"), &options, Instant::now()).unwrap();
    for number in 0..20 {
        store.txn(Txn::put("a", number.to_string())).unwrap();
    }
    store.lease_grant(LeaseId(1), Duration::from_secs(60), Instant::now()).unwrap();
    let newest = store.revision();
    let syncs = disk.syncs.load(Ordering::SeqCst);
    disk.gate.close();
    let (send, answers) = std::sync::mpsc::channel();
    for number in 0..300 {
        let send = send.clone();
        store.submit(Txn::put(format!("k{number}"), "1"), move |result| drop(send.send(result)));
    }
    disk.gate.await_one();
    assert_eq!(value(&store, "a").as_deref(), Some("19"));
    assert_eq!(value(&store, "k0"), None, "what is not durable is not seen");
    assert_eq!(store.revision(), newest);
    let old = store.range(&RangeRequest::new(KeyRange::all()).at(Revision(5))).unwrap();
    assert_eq!(old.kvs[0].value, "3");
    let mut watch = store.watch(WatchRequest::new(KeyRange::all()).from(Revision(2))).unwrap();
    assert_eq!(std::iter::from_fn(|| watch.poll().unwrap()).count(), 20);
    store.lease_keep_alive(LeaseId(1), Instant::now()).unwrap();
    assert_eq!(store.history(b"a").unwrap().len(), 20);
    assert!(answers.try_recv().is_err(), "nothing is acknowledged before its sync");
    disk.gate.open();
    for _ in 0..300 {
        answers.recv().unwrap().unwrap();
    }
    let seen: usize = std::iter::from_fn(|| watch.poll().unwrap()).map(|batch| batch.events.len()).sum();
    assert_eq!(seen, 300);
    // The batch that met the gate had one request at least; the rest waited and went together,
    // but for the file's growth.
    let shared = disk.syncs.load(Ordering::SeqCst) - syncs;
    assert!(shared <= 8, "{shared} syncs for 300 writes");
}
