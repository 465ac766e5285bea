//! Behaviour of the stores: the embedded one on directories and on disks that fail on purpose, and etcd.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::print_stderr, missing_docs)]

mod concurrency;
mod copies;
mod crash;
mod damage;
mod disk;
mod etcd;
mod faults;
mod leases;
mod model;
mod online;
mod power_loss;
mod random;
mod space;
mod watches;

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use store::{Embedded, KeyRange, KeyValue, Options, RangeRequest, Store};

/// No window: history goes only when a test says so. Small segments, so that there are some.
fn options() -> Options {
    Options { retention: None, segment_bytes: 8 << 10, ..Options::default() }
}

fn open(path: &Path) -> Embedded {
    Embedded::open(path, &options(), Instant::now()).unwrap()
}

fn open_on(disk: &Arc<disk::Memory>) -> Result<Embedded, store::Error> {
    Embedded::open_on(disk.clone(), Path::new("memory"), &options(), Instant::now())
}

fn all(store: &dyn Store) -> Vec<KeyValue> {
    store.range(&RangeRequest::new(KeyRange::all())).unwrap().kvs
}

fn value(store: &dyn Store, key: &str) -> Option<String> {
    let request = RangeRequest::new(KeyRange::one(key.to_owned()));
    let kvs = store.range(&request).unwrap().kvs;
    kvs.first().map(|kv| String::from_utf8(kv.value.to_vec()).unwrap())
}
