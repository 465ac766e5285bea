//! What must hold for long: clients that are killed, cycles without end, a disk that is full.
//!
//! Small by default; `cargo xtask torture clients|cycles` runs the first two at full length.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use testkit::{Strake, isolated, run, wait_for, wait_until};

use crate::chaos::Traces;
use crate::{pid, sleeper};

/// A number from the environment, for runs at full length.
#[allow(clippy::disallowed_methods, reason = "tests stand on the roof")]
fn length(variable: &str, usual: usize) -> usize {
    std::env::var(variable).ok().and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// Numbers that look random and can be had again.
struct Dice(u64);

impl Dice {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % most
    }
}

/// Starts one of the commands that people have open on a container.
fn client(strake: &Strake, dice: &mut Dice, container: &str) -> Child {
    let commands: [&[&str]; 9] = [
        &["logs", "-f", container],
        &["exec", container, "sh", "-c", "for i in 1 2 3 4 5 6 7 8; do echo $i; done"],
        &["exec", "-d", container, "true"],
        &["attach", "--no-stdin", container],
        &["wait", container],
        &["stats", container],
        &["events"],
        &["inspect", container],
        &["run", "--rm", "--network", "none", "busybox", "echo", "passes"],
    ];
    let mut command = strake.command(commands[dice.below(commands.len())]);
    command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

/// What the container `n` ends with.
fn own_code(n: usize) -> usize {
    n % 100 + 20
}

/// Containers that write numbered lines, end with a code of their own, and say how many lines they
/// have written. Every fifth has a name in a network of its own.
fn talkers(strake: &Strake, count: usize) -> Vec<String> {
    strake.ok(&["network", "create", "named"]);
    let start = |n: usize| {
        let name = format!("c{n}");
        let script = format!(
            "trap stop=1 TERM; n=0; while [ -z \"$stop\" ]; do n=$((n+1)); echo line $n; sleep 0.02; done; \
             echo last $n; exit {}",
            own_code(n)
        );
        let network = if n.is_multiple_of(5) { "named" } else { "none" };
        strake.ok(&["run", "-d", "--name", &name, "--network", network, "busybox", "sh", "-c", &script]);
        name
    };
    (0..count).map(start).collect()
}

/// Kills commands in the middle of whatever they do, and now and then the companion of networks.
fn kill_clients(strake: &Strake, names: &[String], kills: usize) {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seed = now.map_or(1, |since| u64::from(since.subsec_nanos()));
    println!("seed {seed}");
    let mut dice = Dice(seed);
    let mut open: Vec<Child> = Vec::new();
    for _ in 0..kills {
        while open.len() < 6 {
            let container = &names[dice.below(names.len())];
            open.push(client(strake, &mut dice, container));
        }
        // Between no time and a few milliseconds.
        (0..dice.below(200_000)).for_each(|n| assert!(std::hint::black_box(n) < 200_000));
        if dice.below(16) == 0 {
            for warden in crate::networks::wardens(strake) {
                run(Command::new("kill").args(["-9", &warden.to_string()]));
            }
        } else {
            let mut victim = open.swap_remove(dice.below(open.len()));
            victim.kill().unwrap();
            victim.wait().unwrap();
        }
    }
    for mut child in open {
        child.kill().unwrap();
        child.wait().unwrap();
    }
}

#[test]
fn killed_clients_cost_no_container_no_exit_code_and_no_line() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        let (containers, kills) = (length("STRAKE_CONTAINERS", 5), length("STRAKE_KILLS", 40));
        let names = talkers(&strake, containers);
        let pids: Vec<i64> = names.iter().map(|name| pid(&strake, name)).collect();
        kill_clients(&strake, &names, kills);
        strake.ok(&["system", "reconcile"]);
        // Whoever was made by a command that was killed.
        for other in strake.ok(&["ps", "-a", "--format", "{{.Names}}"]).lines() {
            if !names.iter().any(|name| name == other) {
                strake.run(&["rm", "-f", other]);
            }
        }
        let answers = || strake.run(&["exec", "c0", "nslookup", "c0"]).code == 0;
        assert!(wait_until(Duration::from_secs(20), answers), "the companion is there again");
        for (n, (name, before)) in names.iter().zip(&pids).enumerate() {
            assert_eq!(pid(&strake, name), *before, "{name} lives");
            strake.run(&["exec", name, "sh", "-c", "exit 9"]).exits(9);
            strake.ok(&["stop", name]);
            assert_eq!(strake.ok(&["wait", name]), own_code(n).to_string(), "{name}");
            let log = strake.ok(&["logs", name]);
            let lines: Vec<&str> = log.lines().collect();
            let (last, lines) = lines.split_last().unwrap();
            for (at, line) in lines.iter().enumerate() {
                assert_eq!(*line, format!("line {}", at + 1), "{name}");
            }
            assert_eq!(*last, format!("last {}", lines.len()), "{name}");
        }
        let report: Value = serde_json::from_str(&strake.run(&["system", "fsck", "--json"]).stdout).unwrap();
        assert_eq!(report["flaws"], Value::Array(Vec::new()), "nothing is left of those killed");
    });
}

/// What a host has of us besides [`Traces`]: who holds addresses, how much is counted on the disk,
/// and how many files there are.
fn books(strake: &Strake) -> (usize, u64, usize) {
    let ledger = std::fs::read(strake.state().join("networks/ledger.json")).unwrap_or_default();
    let ledger: Value = serde_json::from_slice(&ledger).unwrap_or_default();
    let holders = ledger["holders"].as_array().map_or(0, Vec::len);
    let usage: Vec<Value> = {
        let text = strake.ok(&["system", "df", "--format", "json"]);
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    };
    // Events are kept up to a bound of their own.
    let counted = usage.iter().filter(|row| row["Type"] != "State");
    let files = files_below(&strake.state()) + files_below(&strake.root())
        - files_below(&strake.root().join("events"));
    (holders, counted.map(|row| row["Bytes"].as_u64().unwrap()).sum(), files)
}

fn files_below(dir: &Path) -> usize {
    let entries = std::fs::read_dir(dir).into_iter().flatten().flatten();
    let below = |path: &Path| if path.is_dir() && !path.is_symlink() { files_below(path) } else { 0 };
    entries.map(|entry| 1 + below(&entry.path())).sum()
}

/// What those of our processes hold that stay: open files, and KiB of memory without what is in files.
fn held() -> (usize, u64) {
    let ours = std::fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(|path| {
        let name = std::fs::read_to_string(path.join("comm")).unwrap_or_default();
        path.join("smaps_rollup").exists() && name.starts_with("strake")
    });
    ours.map(|path| {
        let sums = std::fs::read_to_string(path.join("smaps_rollup")).unwrap_or_default();
        let own = sums.lines().find_map(|line| line.strip_prefix("Anonymous:"));
        let own = own.and_then(|own| own.trim().trim_end_matches(" kB").trim().parse().ok());
        (std::fs::read_dir(path.join("fd")).map_or(0, Iterator::count), own.unwrap_or(0))
    })
    .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
}

/// Those who end are ours to reap, as PID 1.
fn reap() {
    while let Ok(Some(_)) = rustix::process::wait(rustix::process::WaitOptions::NOHANG) {}
}

#[test]
fn cycles_of_run_and_rm_grow_nothing() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        // Keep bridge, rules and the companion there, as on a host in use.
        strake.ok(&["network", "create", "named"]);
        sleeper(&strake, "stays", &["-p", "9090:90"]);
        sleeper(&strake, "named", &["--network", "named"]);
        let cycle = |n: usize| {
            let name = format!("cycle{n}");
            match n % 4 {
                0 => drop(strake.ok(&["run", "--rm", "-p", "8080:80", "-v", "/data", "busybox", "true"])),
                1 => {
                    strake.ok(&["run", "-d", "--name", &name, "-v", "/data", "busybox", "sleep", "3600"]);
                    strake.ok(&["rm", "-f", "-v", &name]);
                }
                2 => drop(strake.ok(&["run", "--rm", "--network", "named", "busybox", "true"])),
                _ => {
                    strake.run(&["run", "--name", &name, "--network", "none", "busybox", "false"]).exits(1);
                    strake.ok(&["rm", &name]);
                }
            }
            reap();
        };
        (0..WARM).for_each(cycle);
        let (traces, before, (files, kib)) = (Traces::settled(&strake), books(&strake), held());
        (0..length("STRAKE_CYCLES", 45)).for_each(cycle);
        assert_eq!(Traces::settled(&strake), traces);
        assert_eq!(books(&strake), before, "addresses held, bytes and files on the disk");
        let (files_now, kib_now) = held();
        println!("open files {files}, then {files_now}; memory {kib} KiB, then {kib_now} KiB");
        assert_eq!(files_now, files, "open files");
        assert!(kib_now <= kib + GROWTH_KIB, "memory: {kib} KiB, then {kib_now} KiB");
    });
}

/// A data root on a disk of its own, of this size.
fn small_disk(strake: &Strake, size: &str) {
    std::fs::create_dir_all(strake.root()).unwrap();
    let options = format!("size={size}");
    run(Command::new("mount").args(["-t", "tmpfs", "-o", &options, "tmpfs"]).arg(strake.root())).ok();
}

#[test]
fn a_full_disk_is_told_clearly_and_passes_without_a_restart() {
    isolated(|| {
        let strake = Strake::new();
        small_disk(&strake, "48m");
        let strake = strake.with_busybox();
        // One that counts in memory, one that logs, one that fills its layer.
        sleeper(&strake, "quiet", &["--network", "none", "--tmpfs", "/memory"]);
        let script = "n=0; while :; do n=$((n+1)); echo line $n; echo $n > /memory/n; sleep 0.01; done";
        let talker = ["run", "-d", "--name", "talker", "--network", "none", "--tmpfs", "/memory", "busybox"];
        strake.ok(&[&talker[..], &["sh", "-c", script]].concat());
        let pids = [pid(&strake, "quiet"), pid(&strake, "talker")];
        let filled = strake.run(&["exec", "quiet", "dd", "if=/dev/zero", "of=/full", "bs=64k"]);
        assert!(filled.code != 0 && filled.stderr.contains("No space left on device"), "{filled:?}");

        // Clear errors, and nothing half done stays.
        let is_full = |refused: &testkit::Output| refused.stderr.to_lowercase().contains("no space left");
        let names = || -> BTreeSet<String> {
            strake.ok(&["ps", "-a", "--format", "{{.Names}}"]).lines().map(str::to_owned).collect()
        };
        let before = names();
        let refused = strake.run(&["run", "--name", "late", "--network", "none", "busybox", "true"]);
        assert!(refused.code == 125 && is_full(&refused), "{refused:?}");
        let refused = strake.run(&["commit", "quiet", "copy"]);
        assert!(refused.code != 0 && is_full(&refused), "{refused:?}");
        let refused = strake.run(&["volume", "create", "late"]);
        assert!(refused.code == 0 || is_full(&refused), "{refused:?}");
        assert_eq!(names().difference(&before).filter(|name| *name != "late").count(), 0);

        // Who runs is not disturbed: processes, commands in them, and what they count.
        assert_eq!([pid(&strake, "quiet"), pid(&strake, "talker")], pids);
        let count = || -> u64 {
            wait_for("a number", || {
                strake.run(&["exec", "talker", "cat", "/memory/n"]).stdout.trim().parse().ok()
            })
        };
        let at = count();
        assert!(
            wait_until(Duration::from_secs(20), || count() > at + 50),
            "it goes on while nothing can be logged"
        );

        // Space again: everything goes on by itself.
        strake.ok(&["exec", "quiet", "rm", "/full"]);
        let last = || strake.ok(&["logs", "--tail", "1", "talker"]);
        let now = count();
        let logged = || last().trim_start_matches("line ").parse::<u64>().is_ok_and(|line| line > now);
        assert!(wait_until(Duration::from_secs(20), logged), "the log goes on: {}", last());
        strake.run(&["rm", "-f", "late"]);
        strake.ok(&["run", "--rm", "--network", "none", "busybox", "true"]);
        strake.ok(&["commit", "quiet", "copy"]);
        assert_eq!([pid(&strake, "quiet"), pid(&strake, "talker")], pids);
        strake.ok(&["stop", "-t", "0", "talker"]);
        let mended: Value =
            serde_json::from_str(&strake.run(&["system", "fsck", "--repair", "--json"]).stdout).unwrap();
        assert_eq!(mended["clean"], true, "{mended:#}");
    });
}

/// Cycles before the first look: whoever stays has then taken what it needs.
const WARM: usize = 12;
/// What an allocator may keep at one time and not at another.
const GROWTH_KIB: u64 = 512;
