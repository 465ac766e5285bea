//! How long a start takes with a full store, and what a key costs in memory.

use std::process::Command;
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use store::{Embedded, Txn};

use crate::{Plan, VALUE, options, processor_time, value};

pub(crate) fn run(plan: &Plan) {
    let gib = (plan.records * VALUE as u64) as f64 / f64::from(1 << 30);
    println!("\nStart with {} records of {VALUE} bytes, {gib:.2} GiB\n", plan.records);
    let _ = std::fs::remove_dir_all(plan.dir.join("start"));
    child(plan, "fill");
    println!("| after | start | processor | memory a key |\n|---|---|---|---|");
    for (name, after) in [("SIGKILL", "open"), ("an orderly end", "open"), ("an orderly end", "open")] {
        print!("| {name} | ");
        std::io::Write::flush(&mut std::io::stdout()).unwrap();
        child(plan, after);
    }
    std::fs::remove_dir_all(plan.dir.join("start")).unwrap();
}

fn child(plan: &Plan, verb: &str) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--dir").arg(&plan.dir).args(["--records", &plan.records.to_string(), verb]);
    assert!(command.status().unwrap().success() || verb == "fill");
}

/// Writes the records and dies, as a killed server does.
pub(crate) fn fill(plan: &Plan) {
    let store = Embedded::open(&plan.dir.join("start"), &options(), Instant::now()).unwrap();
    let (send, answers) = sync_channel(1024);
    let submit = |number: u64| {
        let send = send.clone();
        let txn = Txn::put(format!("/registry/pods/namespace-{}/pod-{number}", number % 100), value());
        store.submit(txn, move |result| send.send(result.map(drop)).unwrap());
    };
    (0..plan.records.min(1024)).for_each(submit);
    for next in 1024..plan.records + 1024 {
        answers.recv().unwrap().unwrap();
        if next < plan.records {
            submit(next);
        }
    }
    std::process::abort();
}

/// Opens the store once and says what that took.
pub(crate) fn open_once(plan: &Plan) {
    let before = resident_kib();
    let (start, idle) = (Instant::now(), processor_time());
    let store = Embedded::open(&plan.dir.join("start"), &options(), Instant::now()).unwrap();
    let took = start.elapsed().as_secs_f64();
    let grown = (resident_kib() - before) * 1024.0;
    let busy = (processor_time() - idle).as_secs_f64();
    println!("{took:.2} s | {busy:.2} s | {:.0} bytes |", grown / plan.records as f64);
    drop(store);
}

fn resident_kib() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
