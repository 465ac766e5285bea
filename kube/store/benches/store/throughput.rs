//! Many writers: the store's group commit against the same batches written and synced bare.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::time::{Duration, Instant};

use store::{Embedded, Txn};

use crate::counted::Counts;
use crate::floor::Floor;
use crate::{VALUE, new_store, processor_time, value};

pub(crate) fn run(dir: &Path) {
    println!("\nWriters that each wait for their own write of {VALUE} bytes; the floor writes and syncs");
    println!("the same batches bare\n");
    println!("| writers | writes/s | floor | share | writes a sync | processor a write |");
    println!("|---|---|---|---|---|---|");
    for writers in [1, 10, 50, 256] {
        let (store, disk) = new_store(dir);
        let mut floor = Floor::new(dir);
        let [mut ours, mut bare, mut busy] = [Duration::ZERO; 3];
        let (mut done, mut batches) = (0, 0);
        for round in 0..ROUNDS {
            let idle = processor_time();
            let (took, sizes) = write(&store, &disk, writers, round);
            busy += processor_time() - idle;
            ours += took;
            done += sizes.iter().sum::<usize>();
            batches += sizes.len();
            bare += sizes.iter().map(|size| floor.write(size * VALUE)).sum::<Duration>();
        }
        let [ours, bare] = [ours, bare].map(|took| done as f64 / took.as_secs_f64());
        let share = ours / bare * 100.0;
        let a_sync = done as f64 / batches as f64;
        let busy = busy.as_secs_f64() * 1e6 / done as f64;
        println!("| {writers} | {ours:.0} | {bare:.0} | {share:.0} % | {a_sync:.1} | {busy:.0} µs |");
    }
}

/// Keeps `writers` writes under way; how long it took, and how many writes each sync carried.
fn write(store: &Embedded, disk: &Arc<Counts>, writers: usize, round: usize) -> (Duration, Vec<usize>) {
    let (send, answers) = sync_channel(writers);
    let submit = |number: usize| {
        let send = send.clone();
        let disk = Arc::clone(disk);
        let txn = Txn::put(format!("/registry/pods/default/{round}-{number}"), value());
        store.submit(txn, move |result| {
            result.unwrap();
            send.send(disk.syncs.load(Ordering::Relaxed)).unwrap();
        });
    };
    let count = COUNT.min(writers * 400);
    let start = Instant::now();
    (0..writers).for_each(submit);
    let mut at_sync = Vec::with_capacity(count);
    for next in writers..writers + count {
        at_sync.push(answers.recv().unwrap());
        if next < count {
            submit(next);
        }
        if at_sync.len() == count {
            break;
        }
    }
    let took = start.elapsed();
    (took, at_sync.chunk_by(|left, right| left == right).map(<[u64]>::len).collect())
}

const ROUNDS: usize = 5;
const COUNT: usize = 10_000;
