//! Many writers: the store's group commit against a bare log that commits in groups, and against the
//! same batches written and synced by one thread.

use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use store::Txn;

use crate::floor::Floor;
use crate::group::GroupLog;
use crate::{VALUE, new_store, processor_time, value};

pub(crate) fn run(dir: &Path) {
    println!("\nWriters that each wait for their own write of {VALUE} bytes. The group log is nothing but");
    println!("group commit, with the same writers; bare are the store's batches without any writers.\n");
    println!("| writers | writes/s | group log | share | bare | share | writes a sync | processor a write |");
    println!("|---|---|---|---|---|---|---|---|");
    for writers in [1, 10, 50, 256] {
        measure(dir, writers);
    }
}

fn measure(dir: &Path, writers: usize) {
    let (store, disk) = new_store(dir);
    let group = GroupLog::new(dir);
    let mut floor = Floor::new(&dir.join("floor"));
    let [mut ours, mut grouped, mut bare, mut busy] = [Duration::ZERO; 4];
    let (mut done, mut batches) = (0, 0);
    for round in 0..ROUNDS {
        let key = |number: usize| format!("/registry/pods/default/{round}-{number}");
        let idle = processor_time();
        let (took, mut syncs) = write(writers, |number, told| {
            let disk = disk.clone();
            store.submit(Txn::put(key(number), value()), move |result| {
                result.unwrap();
                told(disk.syncs.load(Ordering::Relaxed));
            });
        });
        busy += processor_time() - idle;
        ours += took;
        syncs.sort_unstable();
        let sizes: Vec<usize> = syncs.chunk_by(|left, right| left == right).map(<[u64]>::len).collect();
        done += syncs.len();
        batches += sizes.len();
        bare += sizes.iter().map(|size| floor.write(size * VALUE)).sum::<Duration>();
        grouped +=
            write(writers, |number, told| group.submit(&key(number), &value(), Box::new(|| told(0)))).0;
    }
    let [ours, grouped, bare] = [ours, grouped, bare].map(|took| done as f64 / took.as_secs_f64());
    let [of_group, of_bare] = [grouped, bare].map(|floor| ours / floor * 100.0);
    let a_sync = done as f64 / batches as f64;
    let busy = busy.as_secs_f64() * 1e6 / done as f64;
    println!(
        "| {writers} | {ours:.0} | {grouped:.0} | {of_group:.0} % | {bare:.0} | {of_bare:.0} % | \
         {a_sync:.1} | {busy:.0} µs |"
    );
}

type Told = Box<dyn FnOnce(u64) + Send>;

/// So many threads, each of which waits for its own write; how long it took, and what they were told.
fn write(writers: usize, submit: impl Fn(usize, Told) + Sync) -> (Duration, Vec<u64>) {
    let each = (COUNT / writers).min(400);
    let one = &|writer: usize| {
        let (send, answer) = sync_channel(1);
        let write = |at: usize| {
            let send = send.clone();
            submit(writer * each + at, Box::new(move |what| send.send(what).unwrap()));
            answer.recv().unwrap()
        };
        (0..each).map(write).collect::<Vec<u64>>()
    };
    let start = Instant::now();
    let told = thread::scope(|scope| {
        let threads: Vec<_> = (0..writers).map(|writer| scope.spawn(move || one(writer))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    (start.elapsed(), told)
}

const ROUNDS: usize = 5;
const COUNT: usize = 20_000;
