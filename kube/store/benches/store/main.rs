//! What the embedded store costs on a real disk, beside the disk's own floor in the same run.
//!
//! `cargo bench -p store [-- commit throughput start]`, `--dir DIR` for a disk of choice,
//! `--records N` for the size of `start`. Rounds of store and floor take turns.

#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs)]

mod commit;
mod counted;
mod floor;
mod group;
mod start;
mod throughput;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use bytes::Bytes;
use store::{Embedded, Options};

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where to measure, and how much.
struct Plan {
    dir: PathBuf,
    records: u64,
}

fn main() {
    let mut plan = Plan { dir: PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("store"), records: 1 << 19 };
    let mut wanted = Vec::new();
    let mut args = std::env::args().skip(1);
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--dir" => plan.dir = args.next().unwrap().into(),
            "--records" => plan.records = args.next().unwrap().parse().unwrap(),
            // What `cargo bench` itself passes on.
            "--bench" => {}
            // The processes that `start` makes.
            "fill" => return start::fill(&plan),
            "open" => return start::open_once(&plan),
            _ => wanted.push(arg),
        }
    }
    let is_wanted = |name: &str| wanted.is_empty() || wanted.iter().any(|wanted| wanted == name);
    std::fs::create_dir_all(&plan.dir).unwrap();
    if is_wanted("commit") {
        commit::run(&plan.dir);
    }
    if is_wanted("throughput") {
        throughput::run(&plan.dir);
    }
    if is_wanted("start") {
        start::run(&plan);
    }
}

/// A new store in `dir`, and what it does to its files.
fn new_store(dir: &Path) -> (Embedded, Arc<counted::Counts>) {
    let path = dir.join("store");
    let _ = std::fs::remove_dir_all(&path);
    drop(Embedded::open(&path, &options(), Instant::now()).unwrap());
    let disk = counted::Counted::open(&path);
    let counts = Arc::clone(&disk.counts);
    (Embedded::open_on(Arc::new(disk), &path, &options(), Instant::now()).unwrap(), counts)
}

fn options() -> Options {
    Options { retention: None, ..Options::default() }
}

/// A value as long as a small pod is. Callers hand over the same one, as the floor writes the same.
fn value() -> Bytes {
    static VALUE_ONCE: LazyLock<Bytes> =
        LazyLock::new(|| (0..VALUE).map(|at| (at * 7 % 251) as u8).collect::<Vec<u8>>().into());
    VALUE_ONCE.clone()
}

/// Processor time of all threads so far.
fn processor_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}

/// Microseconds at a share of the sorted samples.
fn at(samples: &[Duration], share: f64) -> f64 {
    let index = ((samples.len() - 1) as f64 * share) as usize;
    samples[index].as_secs_f64() * 1e6
}

const VALUE: usize = 2048;
