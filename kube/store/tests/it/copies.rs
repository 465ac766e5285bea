//! Check, backup, restore and the history of a key.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use store::{Embedded, KeyRange, LeaseId, Op, Revision, Store, Txn, check, history, restore};

use crate::{all, open, value};

#[test]
fn a_backup_of_a_running_store_is_the_store() {
    let directory = testkit::TempDir::new();
    let (path, backup, target) =
        (directory.join("store"), directory.join("backup"), directory.join("restored"));
    let store = open(&path);
    store.lease_grant(LeaseId(3), Duration::from_secs(60), Instant::now()).unwrap();
    for number in 0..50 {
        store.txn(Txn::put(format!("k{}", number % 20), format!("{number}"))).unwrap();
    }
    store.txn(Txn::ops([Op::put_leased("leased", "1", LeaseId(3))])).unwrap();
    store.compact(Revision(30)).unwrap();
    store.txn(Txn::delete(KeyRange::one("k19"))).unwrap();
    let kept = all(&store);
    let report = store.backup(&backup).unwrap();
    assert_eq!((report.revision, report.keys, report.leases), (Revision(53), 20, 1));
    store.backup(&backup).unwrap_err();
    store.txn(Txn::put("later", "1")).unwrap();
    check(&path).unwrap_err(); // in use
    drop(store);

    assert_eq!(check(&backup).unwrap(), report);
    assert_eq!(restore(&backup, &target).unwrap(), report);
    restore(&backup, &target).unwrap_err();
    let restored = open(&target);
    assert_eq!(all(&restored), kept);
    assert_eq!((restored.revision(), restored.compacted()), (Revision(53), Revision(30)));
    assert_eq!(restored.leases().unwrap(), [LeaseId(3)]);
    assert_eq!(restored.txn(Txn::put("a", "1")).unwrap().revision, Revision(54));
    assert_eq!(value(&open(&path), "later").as_deref(), Some("1"));
}

/// Everything is deleted and compacted away: the revision must not go back.
#[test]
fn a_copy_keeps_the_revision_of_an_empty_store() {
    let directory = testkit::TempDir::new();
    let store = open(&directory.join("store"));
    store.txn(Txn::put("a", "1")).unwrap();
    store.txn(Txn::delete(KeyRange::all())).unwrap();
    store.txn(Txn::put("a", "1")).unwrap();
    store.txn(Txn::delete(KeyRange::all())).unwrap();
    store.compact(Revision(5)).unwrap();
    let report = store.backup(&directory.join("backup")).unwrap();
    assert_eq!((report.revision, report.keys), (Revision(5), 0));
    assert_eq!(open(&directory.join("backup")).revision(), Revision(5));
}

/// All files of a store.
fn files(path: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap());
    let read =
        |entry: fs::DirEntry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap());
    entries.map(read).collect()
}

#[test]
fn the_history_of_a_key() {
    let directory = testkit::TempDir::new();
    let path = directory.join("store");
    let store = open(&path);
    for txn in [Txn::put("a", "1"), Txn::put("b", "x"), Txn::delete(KeyRange::one("a")), Txn::put("a", "2")] {
        store.txn(txn).unwrap();
    }
    let live = store.history(b"a").unwrap();
    let line: Vec<_> = live
        .iter()
        .map(|change| (change.revision.0, change.kv.as_ref().map(|kv| kv.value.to_vec())))
        .collect();
    assert_eq!(line, [(2, Some(b"1".to_vec())), (4, None), (5, Some(b"2".to_vec()))]);
    drop(store);
    let before = files(&path);
    assert_eq!(history(&path, b"a").unwrap(), live);
    assert_eq!(history(&path, b"none").unwrap(), []);
    check(&path).unwrap();
    assert_eq!(files(&path), before, "looking changes nothing");
}

#[test]
fn one_store_at_a_time() {
    let directory = testkit::TempDir::new();
    let path = directory.join("store");
    let _store = open(&path);
    let error = Embedded::open(&path, &crate::options(), Instant::now()).unwrap_err();
    assert!(matches!(error, store::Error::InUse { .. }), "{error}");
}

/// What an earlier build has left is not passed over in silence.
#[test]
fn the_store_of_an_earlier_build_is_refused_by_name() {
    let directory = testkit::TempDir::new();
    let earlier = directory.join("store.redb");
    fs::write(&earlier, "redb").unwrap();
    let error = Embedded::open(&directory.join("store"), &crate::options(), Instant::now()).unwrap_err();
    assert!(error.to_string().contains("store migrate --to-etcd"), "{error}");
    let error = restore(&earlier, &directory.join("restored")).unwrap_err();
    assert!(matches!(error, store::Error::Earlier { .. }), "{error}");
    fs::remove_file(earlier).unwrap();
    open(&directory.join("store"));
}

/// Two backups to one place: the second is refused, and the first is not harmed.
#[test]
fn a_backup_leaves_one_that_is_under_way_alone() {
    let directory = testkit::TempDir::new();
    let store = open(&directory.join("store"));
    store.txn(Txn::put("a", "1")).unwrap();
    drop(open(&directory.join("backup.partial")));
    let first = open(&directory.join("backup.partial"));
    let error = store.backup(&directory.join("backup")).unwrap_err();
    assert!(matches!(error, store::Error::InUse { .. }), "{error}");
    first.txn(Txn::put("b", "1")).unwrap();
    drop(first);
    check(&directory.join("backup.partial")).unwrap();
    store.backup(&directory.join("backup")).unwrap();
}

#[test]
fn a_directory_without_segments_is_no_new_store() {
    let directory = testkit::TempDir::new();
    let path = directory.join("store");
    drop(open(&path));
    fs::remove_file(path.join("00000000.log")).unwrap();
    fs::write(path.join("00000001.log.part"), "").unwrap();
    let error = Embedded::open(&path, &crate::options(), Instant::now()).unwrap_err();
    assert!(matches!(error, store::Error::DamagedFile { .. }), "{error}");
}

/// Old records go in the background, also those that a closed store has left behind.
#[test]
fn compaction_gives_the_rows_back() {
    let directory = testkit::TempDir::new();
    let path = directory.join("store");
    let store = open(&path);
    for number in 0..1500 {
        store.submit(Txn::put("a", format!("{number}")), |result| drop(result.unwrap()));
    }
    store.txn(Txn::put("b", "1")).unwrap();
    store.compact(store.revision()).unwrap();
    drop(store);
    let deadline = Instant::now() + Duration::from_secs(30);
    while check(&path).unwrap().rows > 2 {
        assert!(Instant::now() < deadline, "{:?}", check(&path));
        let store = open(&path);
        assert_eq!(value(&store, "a").as_deref(), Some("1499"));
        store.txn(Txn::delete(KeyRange::one("none"))).unwrap();
    }
    assert_eq!(history(&path, b"a").unwrap().len(), 1);
}
