//! What a shim costs: memory, wake-ups.

use std::fs;
use std::time::Duration;

use testkit::{isolated, wait_until};

use crate::rig::{Rig, outputs};

/// The budget for private memory of a shim, in KiB.
const PRIVATE_MAX_KIB: u64 = 1024;

/// What a container's supervisor may cost beside its program: conmon takes 0.8 MiB.
const PROPORTIONAL_MAX_KIB: u64 = 819;

fn field_kib(pid: i32, name: &str) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn switches(pid: i32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let counts = text.lines().filter(|line| line.contains("ctxt_switches"));
    counts.map(|line| line.split_ascii_whitespace().nth(1).unwrap().parse::<u64>().unwrap()).sum()
}

#[test]
fn private_memory_stays_within_a_mebibyte_and_idle_costs_nothing() {
    isolated(|| {
        let mut rig = Rig::shell("seq 1 50000; read x");
        rig.stdin = shim::StdinMode::Open;
        let (mut client, started) = rig.launch().unwrap();
        let attached = client.attach(outputs()).unwrap();
        let reader = std::thread::spawn(move || crate::rig::read_all(attached.stdout).len());
        client.start().unwrap();
        rig.wait_for_log("50000\n");
        let mut clients: Vec<_> = (0..20).map(|_| rig.connect()).collect();
        for client in &mut clients {
            client.status().unwrap();
        }
        // Not Private_Dirty: that counts pages of a program file that was built just now.
        let private = field_kib(started.shim_pid, "Anonymous:");
        println!(
            "shim after 50,000 lines and 20 clients: private {private} KiB, RSS {} KiB, PSS {} KiB",
            field_kib(started.shim_pid, "Rss:"),
            field_kib(started.shim_pid, "Pss:"),
        );
        assert!(private <= PRIVATE_MAX_KIB, "{private} KiB");
        // A shim that has anything periodic to do is never quiet for so long.
        let quiet = wait_until(Duration::from_secs(20), || {
            let before = switches(started.shim_pid);
            let pause = rustix::time::Timespec { tv_sec: 0, tv_nsec: 300_000_000 };
            let _ = rustix::event::poll(&mut [], Some(&pause));
            switches(started.shim_pid) == before
        });
        assert!(quiet, "an idle shim sleeps");
        client.kill(9).unwrap();
        client.wait().unwrap();
        reader.join().unwrap();
    });
}

#[test]
fn a_shim_at_rest_gives_back_what_its_start_took() {
    isolated(|| {
        let mut rig = Rig::shell("read x");
        rig.stdin = shim::StdinMode::Open;
        let (mut client, started) = rig.launch().unwrap();
        let before = field_kib(started.shim_pid, "Rss:");
        client.start().unwrap();
        let now = || field_kib(started.shim_pid, "Rss:");
        assert!(
            wait_until(Duration::from_secs(20), || now() * 4 < before * 3),
            "{before} KiB, then {} KiB",
            now()
        );
        // What nobody shares with it and its part of what others do; a debug build is no measure.
        let small = fs::metadata(testkit::bin("strake-shim")).unwrap().len() < 2 << 20;
        let proportional = || field_kib(started.shim_pid, "Pss:");
        assert!(
            !small || wait_until(Duration::from_secs(20), || proportional() <= PROPORTIONAL_MAX_KIB),
            "{} KiB",
            proportional()
        );
        // What it needs comes back.
        client.status().unwrap();
        client.kill(9).unwrap();
        client.wait().unwrap();
    });
}
