//! Leaks and crashes: run, SIGKILL, rm, and nothing is left.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use testkit::{Strake, isolated, run};

use crate::{pid, sleeper, status};

/// All that containers leave on a host while they live.
#[derive(Debug, PartialEq)]
pub(crate) struct Traces {
    mounts: BTreeSet<String>,
    cgroups: BTreeSet<String>,
    namespaces: BTreeSet<String>,
    links: BTreeSet<String>,
    nft_lines: usize,
    files: BTreeSet<String>,
    processes: BTreeSet<String>,
}

impl Traces {
    /// What there is when nothing changes any more: the kernel takes network namespaces and their
    /// links apart in the background.
    pub(crate) fn settled(strake: &Strake) -> Self {
        let links_of_containers =
            || Self::of(strake).links.iter().filter(|link| link.starts_with("sk")).count();
        // A supervisor ends a moment after it was told that its container is cleaned up, and so does who cleaned up.
        let supervisors = || processes().iter().filter(|process| process.contains("(strake")).count();
        let living = strake.ok(&["ps", "-q"]).lines().count();
        testkit::wait_until(Duration::from_secs(20), || {
            links_of_containers() <= living && supervisors() <= living
        });
        Self::of(strake)
    }

    /// What there is now.
    pub(crate) fn of(strake: &Strake) -> Self {
        let mut cgroups = BTreeSet::new();
        for controller in ["memory", "pids", "cpu", "freezer", "devices", "unified"] {
            directories(&strake.cgroup().dir(controller), 3, &mut cgroups);
        }
        let mut files = BTreeSet::new();
        for base in [strake.state(), strake.root()] {
            directories(&base, 3, &mut files);
        }
        let links = run(Command::new("ip").args(["-brief", "link"])).stdout;
        let rules = run(Command::new("nft").args(["list", "table", "ip", "strake"])).stdout;
        let table = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        Self {
            mounts: table.lines().map(|line| line.split(' ').nth(4).unwrap().to_owned()).collect(),
            cgroups,
            namespaces: namespaces(),
            links: links.lines().map(|line| line.split_whitespace().next().unwrap().to_owned()).collect(),
            nft_lines: rules.lines().count(),
            files,
            processes: processes(),
        }
    }

    /// Asserts that nothing has come and nothing has gone since.
    pub(crate) fn assert_same(&self, strake: &Strake) {
        // The kernel takes network namespaces and their links apart in the background.
        testkit::wait_until(Duration::from_secs(20), || *self == Self::of(strake));
        let now = Self::of(strake);
        assert_eq!(*self, now, "left behind: {:#?}", Difference { before: self, now: &now });
    }
}

/// Only what differs, for the eye.
struct Difference<'a> {
    before: &'a Traces,
    now: &'a Traces,
}

impl std::fmt::Debug for Difference<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let sets = [
            (&self.before.mounts, &self.now.mounts),
            (&self.before.cgroups, &self.now.cgroups),
            (&self.before.namespaces, &self.now.namespaces),
            (&self.before.links, &self.now.links),
            (&self.before.files, &self.now.files),
            (&self.before.processes, &self.now.processes),
        ];
        f.debug_list()
            .entries(sets.iter().flat_map(|(before, now)| before.symmetric_difference(now)))
            .finish()
    }
}

fn directories(dir: &Path, depth: u32, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            found.insert(entry.path().to_string_lossy().into_owned());
            if depth > 0 {
                directories(&entry.path(), depth - 1, found);
            }
        }
    }
}

/// Living processes: PID and command. Zombies are ours to reap, as PID 1, and have nothing left.
fn processes() -> BTreeSet<String> {
    let stats = numbered("/proc")
        .into_iter()
        .filter_map(|pid| std::fs::read_to_string(format!("/proc/{pid}/stat")).ok());
    stats
        .filter(|stat| !stat.contains(") Z "))
        .map(|stat| stat.split(") ").next().unwrap().to_owned())
        .collect()
}

/// Every namespace that a living process is in.
fn namespaces() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let living = processes();
    for pid in numbered("/proc")
        .into_iter()
        .filter(|pid| living.iter().any(|one| one.starts_with(&format!("{pid} ("))))
    {
        for entry in std::fs::read_dir(format!("/proc/{pid}/ns")).into_iter().flatten().flatten() {
            found.extend(
                std::fs::read_link(entry.path()).ok().map(|link| link.to_string_lossy().into_owned()),
            );
        }
    }
    found
}

fn numbered(dir: &str) -> Vec<String> {
    let names =
        std::fs::read_dir(dir).unwrap().flatten().filter_map(|entry| entry.file_name().into_string().ok());
    names.filter(|name| name.bytes().all(|byte| byte.is_ascii_digit())).collect()
}

/// A repeatable sequence; the seed is printed with a failure.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `sides`.
    pub(crate) fn roll(&mut self, sides: u64) -> u64 {
        // xorshift64
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

fn kill(pid: impl std::fmt::Display) {
    run(Command::new("kill").args(["-9", &pid.to_string()]));
}

/// Starts `strake ARGS` and kills it after `micros`, or lets it end.
fn killed_midway(strake: &Strake, args: &[&str], micros: u64) {
    let running = strake.background(args);
    let until = Instant::now() + Duration::from_micros(micros);
    while Instant::now() < until {
        std::thread::park_timeout(until.saturating_duration_since(Instant::now()));
    }
    kill(running.pid());
    let _ = running.wait();
}

#[test]
fn two_hundred_cycles_of_run_kill_and_rm_lose_and_leave_nothing() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "witness", &["-p", "9090:90"]);
        let witness = pid(&strake, "witness");
        strake.ok(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        let before = Traces { processes: BTreeSet::new(), ..Traces::settled(&strake) };
        let seed =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_nanos() as u64 | 1;
        let mut dice = Dice(seed);
        println!("seed {seed}");
        for cycle in 0..200 {
            let name = format!("c{cycle}");
            let args = ["run", "-d", "--name", &name, "-p", "8080:80", "busybox", "sleep", "3600"];
            match dice.roll(4) {
                0 => killed_midway(&strake, &args, dice.roll(30_000)),
                1 => {
                    strake.ok(&args);
                    kill(status(pid(&strake, &name), "PPid"));
                    assert_eq!(
                        strake.ok(&["exec", &name, "echo", "lives"]),
                        "lives",
                        "cycle {cycle}: adopted"
                    );
                }
                2 => {
                    strake.ok(&args);
                    killed_midway(&strake, &["rm", "-f", &name], dice.roll(20_000));
                }
                _ => {
                    strake.ok(&args);
                    killed_midway(&strake, &["exec", &name, "sleep", "3600"], dice.roll(20_000));
                }
            }
            if dice.roll(10) == 0 {
                kill(status(witness, "PPid"));
            }
            let removed = strake.run(&["rm", "-f", &name]);
            assert!(
                removed.code == 0 || removed.stderr.contains("o such container"),
                "cycle {cycle}: {removed:?}"
            );
            assert_eq!(strake.ok(&["ps", "-a", "--format", "{{.Names}}"]), "witness", "cycle {cycle}");
        }
        assert_eq!(pid(&strake, "witness"), witness, "the witness lives on");
        assert_eq!(strake.ok(&["exec", "witness", "echo", "alive"]), "alive");
        strake.ok(&["system", "reconcile"]);
        let strip = |traces: Traces| Traces { processes: BTreeSet::new(), ..traces };
        testkit::wait_until(Duration::from_secs(20), || before == strip(Traces::of(&strake)));
        let now = strip(Traces::of(&strake));
        assert_eq!(before, now, "seed {seed}, left behind: {:#?}", Difference { before: &before, now: &now });
        // The witness and its shim; the companion and its standby, for it has a published port.
        let is_ours = |process: &String| process.contains("strake") || process.contains("sleep");
        let count = || processes().into_iter().filter(is_ours).count();
        testkit::wait_until(Duration::from_secs(20), || count() == 4);
        assert_eq!(count(), 4, "{:?}", processes());
    });
}

#[test]
fn a_command_killed_at_any_failpoint_leaves_a_usable_host() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        strake.ok(&["run", "--rm", "-p", "8080:80", "busybox", "true"]);
        strake.ok(&["system", "reconcile"]);
        let before = Traces::settled(&strake);
        let listed = strake.ok(&["system", "failpoints"]);
        assert!(listed.lines().count() > 10, "{listed}");
        for failpoint in listed.lines() {
            let hit = |args: &[&str]| {
                let mut command = strake.command(args);
                run(command.env("STRAKE_FAILPOINT", failpoint)).code == 137
            };
            let killed = hit(&["run", "-d", "--name", "web", "-p", "8080:80", "busybox", "sleep", "60"])
                | hit(&["rm", "-f", "web"]);
            strake.run(&["rm", "-f", "web"]);
            assert_eq!(strake.ok(&["ps", "-aq"]), "", "{failpoint}");
            strake.ok(&["run", "--rm", "--name", "web", "-p", "8080:80", "busybox", "true"]);
            strake.ok(&["system", "reconcile"]);
            println!("{failpoint}: {}", if killed { "killed there" } else { "not on this path" });
            before.assert_same(&strake);
        }
    });
}

#[test]
fn files_of_a_data_root_are_only_roots() {
    isolated(|| {
        let strake = Strake::new().with_busybox();
        sleeper(&strake, "private", &["--network", "none"]);
        for dir in [strake.root(), strake.state()] {
            let mode = std::fs::metadata(&dir).unwrap().mode() & 0o777;
            assert_eq!(mode & 0o066, 0, "{} is {mode:o}", dir.display());
        }
    });
}
