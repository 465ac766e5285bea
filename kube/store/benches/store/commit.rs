//! One writer that waits for each of its writes.

use std::path::Path;
use std::time::{Duration, Instant};

use store::{Store, Txn};

use crate::floor::Floor;
use crate::{VALUE, at, new_store, processor_time, value};

pub(crate) fn run(dir: &Path) {
    let (store, counts) = new_store(dir);
    let mut floor = Floor::new(&dir.join("floor"));
    let (mut puts, mut syncs) = (Vec::new(), Vec::new());
    let before = counts.now();
    let mut busy = Duration::ZERO;
    for round in 0..ROUNDS {
        let idle = processor_time();
        for number in 0..WRITES {
            let txn = Txn::put(format!("/registry/pods/default/{round}-{number}"), value());
            let start = Instant::now();
            store.txn(txn).unwrap();
            puts.push(start.elapsed());
        }
        busy += processor_time() - idle;
        syncs.extend((0..WRITES).map(|_| floor.write(VALUE)));
    }
    let after = counts.now();
    let [writes, bytes, syncs_done, files] = std::array::from_fn(|at| after[at] - before[at]);
    let total = puts.len() as f64;
    println!("\nOne writer, {total} puts of {VALUE} bytes, {ROUNDS} rounds in turn with the floor\n");
    println!("| | p50 | p90 | p99 | mean | per second |\n|---|---|---|---|---|---|");
    show("store", &mut puts);
    show("write + fdatasync", &mut syncs);
    println!(
        "\nper put: {:.2} syncs, {:.1} writes, {:.0} bytes, {:.0} µs of processor; {files} new files",
        syncs_done as f64 / total,
        writes as f64 / total,
        bytes as f64 / total,
        busy.as_secs_f64() * 1e6 / total
    );
}

fn show(name: &str, samples: &mut [Duration]) {
    samples.sort_unstable();
    let mean = samples.iter().sum::<Duration>().as_secs_f64() / samples.len() as f64;
    let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| at(samples, share));
    let rate = 1.0 / mean;
    println!("| {name} | {p50:.0} µs | {p90:.0} µs | {p99:.0} µs | {:.0} µs | {rate:.0} |", mean * 1e6);
}

const ROUNDS: usize = 8;
const WRITES: usize = 500;
