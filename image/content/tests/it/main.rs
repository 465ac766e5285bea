//! The content store on a real file system.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod collection;
mod concurrent;
mod crash;
mod images;
mod ingest;
mod names;

use content::{Expected, Ingest, Store, Writer};
use testkit::TempDir;

/// A fresh store that does not wait for the disk.
fn store() -> (TempDir, Store) {
    let directory = TempDir::new();
    let store = Store::open(&directory.join("content")).unwrap().without_sync();
    (directory, store)
}

fn expected(content: &[u8]) -> Expected {
    Expected { digest: base::Digest::sha256_of(content), size: Some(content.len() as u64) }
}

/// Starts an ingest that must be needed.
#[track_caller]
fn needed(store: &Store, expected: &Expected) -> Writer {
    match store.ingest(expected).unwrap() {
        Ingest::Needed(writer) => writer,
        Ingest::Present => panic!("{} is present", expected.digest),
    }
}
