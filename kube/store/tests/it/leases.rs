//! Leases end at the given time, take their keys with them in one revision, and survive a restart.

use std::path::Path;
use std::time::{Duration, Instant};

use store::{Embedded, Error, KeyRange, LeaseId, Op, Options, Revision, Store, Txn, WatchRequest};

use crate::disk::Memory;
use crate::{open_on, options, value};

const TTL: Duration = Duration::from_secs(10);

#[test]
fn a_lease_takes_its_keys_with_it() {
    let store = open_on(&Memory::new()).unwrap();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    store.lease_grant(LeaseId(7), TTL, at(0)).unwrap();
    assert!(matches!(store.lease_grant(LeaseId(7), TTL, at(0)), Err(Error::LeaseTaken { .. })));
    assert_eq!(store.revision(), Revision(1), "a lease is no change of a key");
    let ops = [Op::put_leased("a", "1", LeaseId(7)), Op::put_leased("b", "1", LeaseId(7)), Op::put("c", "1")];
    store.txn(Txn::ops(ops)).unwrap();
    store.txn(Txn::put("b", "let go")).unwrap();
    store.txn(Txn::ops([Op::put_leased("d", "1", LeaseId(7))])).unwrap();
    assert_eq!(store.lease(LeaseId(7), at(4)).unwrap().keys, ["a", "d"]);
    assert_eq!(store.lease(LeaseId(7), at(4)).unwrap().remaining, Duration::from_secs(6));
    assert_eq!(store.lease_keep_alive(LeaseId(7), at(9)).unwrap(), TTL);
    let mut watch = store.watch(WatchRequest::new(KeyRange::all())).unwrap();
    assert_eq!(store.maintain(at(18)).unwrap().expired, []);
    assert_eq!(store.maintain(at(18)).unwrap().next_expiry, Some(at(19)));
    assert_eq!(store.maintain(at(19)).unwrap().expired, [LeaseId(7)]);
    let batch = watch.poll().unwrap().unwrap();
    assert_eq!((batch.revision, batch.events.len()), (Revision(5), 2));
    assert_eq!((value(&store, "a"), value(&store, "b")), (None, Some("let go".to_owned())));
    assert!(matches!(store.lease_keep_alive(LeaseId(7), at(19)), Err(Error::LeaseNotFound { .. })));
    assert!(matches!(store.lease_revoke(LeaseId(7)), Err(Error::LeaseNotFound { .. })));
}

#[test]
fn a_restart_starts_leases_anew() {
    let disk = Memory::new();
    let start = Instant::now();
    let late = start + Duration::from_secs(1000);
    let store = open_on(&disk).unwrap();
    store.lease_grant(LeaseId(1), TTL, start).unwrap();
    store.lease_grant(LeaseId(2), TTL, start).unwrap();
    store
        .txn(Txn::ops([Op::put_leased("a", "1", LeaseId(1)), Op::put_leased("b", "1", LeaseId(2))]))
        .unwrap();
    store.lease_revoke(LeaseId(2)).unwrap();
    drop(store);
    let store = Embedded::open_on(disk, Path::new("memory"), &options(), late).unwrap();
    assert_eq!(store.leases().unwrap(), [LeaseId(1)]);
    assert_eq!(store.lease(LeaseId(1), late).unwrap().keys, ["a"]);
    assert_eq!(store.maintain(late + TTL / 2).unwrap().expired, []);
    assert_eq!(store.maintain(late + TTL).unwrap().expired, [LeaseId(1)]);
    assert_eq!(value(&store, "a"), None);
}

#[test]
fn history_leaves_after_the_retention_window() {
    let options = Options { retention: Some(Duration::from_secs(100)), ..Options::default() };
    let disk = Memory::new();
    let start = Instant::now();
    let store = Embedded::open_on(disk, Path::new("memory"), &options, start).unwrap();
    for number in 0..10 {
        store.txn(Txn::put("a", format!("{number}"))).unwrap();
        store.maintain(start + Duration::from_secs(number * 20)).unwrap();
    }
    // Written at 0, 20 … 180 seconds; at 180 what was current at 80 may go.
    assert_eq!(store.compacted(), Revision(6));
    assert_eq!(store.history(b"a").unwrap().len(), 6);
}
