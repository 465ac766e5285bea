//! The engine against podman, and against dockerd started by hand: what people do all day.
//!
//! No network, so that nobody's bridge is measured; the image is present. Docker's client talks
//! to a daemon of the scenario's own, where Debian's docker.io is installed; the processor time that
//! is counted for docker is that of its client alone.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result};
use testkit::{Strake, TempDir, images};

use super::run::{LIMITS, Podman};
use super::{quietly, version, wanted};
use crate::{Candidate, Options, Table, Turns};

/// Measures us and those peers that are there.
pub(crate) fn measure(options: &Options) -> Result<Turns> {
    let strake = Strake::new().with_busybox();
    let podman = if wanted(options, "podman") { Some(Podman::new()) } else { None };
    let docker = if wanted(options, "docker") { Docker::start()? } else { None };
    let mut peers: Vec<Peer<'_>> = vec![Peer {
        name: "strake",
        limits: &[],
        image: "busybox",
        remove: &["rm", "-f"],
        command: Box::new(|args| strake.command(args)),
    }];
    if let Some(podman) = &podman {
        podman.import()?;
        let command = |args: &[&str]| {
            let mut command = podman.command();
            command.args(args);
            command
        };
        peers.push(Peer {
            name: "podman",
            limits: LIMITS,
            image: "localhost/busybox",
            remove: &["rm", "-f", "-t", "0"],
            command: Box::new(command),
        });
    }
    if let Some(docker) = &docker {
        docker.import()?;
        peers.push(Peer {
            name: "docker",
            limits: LIMITS,
            image: "busybox",
            remove: &["rm", "-f"],
            command: Box::new(|args| docker.command(args)),
        });
    }
    let notes = idle_memory(&peers)?;
    for peer in &peers {
        for _ in 0..LISTED - IDLE {
            peer.ok(&peer.args(&["create", "--network", "none"], &["true"]))?;
        }
    }
    let mut candidates = Vec::new();
    for action in ACTIONS {
        for peer in &peers {
            candidates
                .push(Candidate::new(format!("{} {}", peer.name, action.name), move || (action.act)(peer)));
        }
    }
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(200))?;
    drop(candidates);
    let mut versions = vec![version("podman"), version("crun")];
    versions.extend(docker.as_ref().map(|_| version("/usr/bin/docker")));
    Ok(Turns { title: "what an engine does all day", versions, notes, table })
}

/// The command of some arguments.
type Call<'a> = dyn Fn(&[&str]) -> Command + 'a;

/// An engine, and how it is called.
struct Peer<'a> {
    name: &'static str,
    limits: &'static [&'static str],
    image: &'static str,
    /// Removes a container at once: podman would give its program ten seconds first.
    remove: &'static [&'static str],
    command: Box<Call<'a>>,
}

impl Peer<'_> {
    /// `verb… LIMITS IMAGE command…`.
    fn args<'s>(&'s self, verb: &[&'s str], command: &[&'s str]) -> Vec<&'s str> {
        [verb, self.limits, &[self.image], command].concat()
    }

    fn run<'s>(&'s self, options: &[&'s str], command: &[&'s str]) -> Vec<&'s str> {
        self.args(&[&["run", "--network", "none"], options].concat(), command)
    }

    fn ok(&self, args: &[&str]) -> Result<()> {
        quietly(&mut (self.command)(args))
    }

    /// Runs it and gives what it printed.
    fn said(&self, args: &[&str]) -> Result<String> {
        let output = (self.command)(args).stdin(Stdio::null()).output()?;
        anyhow::ensure!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}

struct Action {
    name: &'static str,
    act: fn(&Peer<'_>) -> Result<()>,
}

const ACTIONS: [Action; 5] = [
    Action { name: "run --rm", act: |peer| peer.ok(&peer.run(&["--rm"], &["/bin/true"])) },
    Action {
        name: "run -d, rm -f",
        act: |peer| {
            let id = peer.said(&peer.run(&["-d"], &["sleep", "3600"]))?;
            peer.ok(&[peer.remove, &[&id]].concat())
        },
    },
    Action { name: "50 at once, rm -f", act: at_once },
    Action { name: "exec", act: |peer| peer.ok(&["exec", "stays-0", "/bin/true"]) },
    Action { name: "ps -a of 200", act: |peer| peer.ok(&["ps", "-a"]) },
];

/// All are started before the first is waited for.
fn at_once(peer: &Peer<'_>) -> Result<()> {
    let start = |n: usize| -> Result<Child> {
        let name = format!("at-once-{n}");
        let mut command = (peer.command)(&peer.run(&["-d", "--name", &name], &["sleep", "3600"]));
        Ok(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()?)
    };
    let started = (0..AT_ONCE).map(start).collect::<Result<Vec<_>>>()?;
    for mut child in started {
        anyhow::ensure!(child.wait()?.success(), "one of {AT_ONCE} at once did not start");
    }
    let names: Vec<String> = (0..AT_ONCE).map(|n| format!("at-once-{n}")).collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    peer.ok(&[peer.remove, &names[..]].concat())
}

/// Starts containers that stay, and says what the programs that supervise them take of memory: of a lone one, and of
/// many, which share the pages of their program.
fn idle_memory(peers: &[Peer<'_>]) -> Result<Vec<String>> {
    let (mut notes, mut ours) = (Vec::new(), BTreeMap::new());
    for peer in peers {
        let before = proportional_kib();
        for (first, count) in [(0, 1), (1, IDLE)] {
            for n in first..count {
                let name = format!("stays-{n}");
                peer.ok(&peer.run(&["-d", "--name", &name], &["sleep", "3600"]))?;
            }
            // Those who started them have ended, and those who stay have come to rest.
            std::thread::sleep(REST);
            let after = proportional_kib();
            let of =
                |name: &str| after.get(name).unwrap_or(&0).saturating_sub(*before.get(name).unwrap_or(&0));
            let supervisors: u64 = after.keys().filter(|name| *name != "sleep").map(|name| of(name)).sum();
            let kib = supervisors / count as u64;
            let ours = *ours.entry(count).or_insert(kib);
            notes.push(format!(
                "Idle, {} takes {kib} KiB of memory a container (PSS of {count}); ours / its: {:.3}.",
                peer.name,
                ours as f64 / kib.max(1) as f64,
            ));
        }
    }
    Ok(notes)
}

/// The memory of all processes here but this one by program, each shared page counted in parts.
fn proportional_kib() -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let own = std::process::id().to_string();
    for path in entries.filter(|entry| *entry.file_name() != *own).map(|entry| entry.path()) {
        let read = |file: &str| std::fs::read_to_string(path.join(file)).ok();
        let (Some(name), Some(rollup)) = (read("comm"), read("smaps_rollup")) else { continue };
        let pss = rollup.lines().find_map(|line| line.strip_prefix("Pss:"));
        let kib =
            pss.and_then(|pss| pss.trim().trim_end_matches(" kB").trim().parse::<u64>().ok()).unwrap_or(0);
        *all.entry(name.trim().to_owned()).or_insert(0) += kib;
    }
    all
}

/// Debian's dockerd with everything of its own.
struct Docker {
    home: TempDir,
    daemon: Child,
}

impl Docker {
    /// Starts a daemon; none where docker is not installed.
    fn start() -> Result<Option<Self>> {
        if !["/usr/sbin/dockerd", "/usr/bin/dockerd"].iter().any(|path| std::path::Path::new(path).exists()) {
            return Ok(None);
        }
        let home = TempDir::new();
        let log = std::fs::File::create(home.join("log"))?;
        let daemon = Command::new("dockerd")
            .arg("--data-root")
            .arg(home.join("data"))
            .arg("--exec-root")
            .arg(home.join("exec"))
            .arg("--pidfile")
            .arg(home.join("pid"))
            .arg("--host")
            .arg(socket(&home))
            .args(["--bridge", "none", "--iptables=false", "--ip6tables=false", "--ip-forward=false"])
            .args(["--storage-driver", "overlay2", "--exec-opt", "native.cgroupdriver=cgroupfs"])
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start dockerd")?;
        let docker = Self { home, daemon };
        let up = || docker.command(&["version"]).output().is_ok_and(|output| output.status.success());
        anyhow::ensure!(testkit::wait_until(Duration::from_secs(60), up), "dockerd does not answer");
        Ok(Some(docker))
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("/usr/bin/docker");
        command.arg("--host").arg(socket(&self.home)).args(args);
        command
    }

    fn import(&self) -> Result<()> {
        let tar: PathBuf = images::busybox_tar();
        quietly(self.command(&["import"]).arg(tar).arg("busybox")).context("docker import")
    }
}

fn socket(home: &TempDir) -> String {
    format!("unix://{}", home.join("docker.sock").display())
}

impl Drop for Docker {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.daemon);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.daemon.wait();
    }
}

const AT_ONCE: usize = 50;
/// Until whoever supervises idle containers has come to rest.
const REST: Duration = Duration::from_secs(5);
/// That run from the first measurement to the last.
const IDLE: usize = 50;
/// Those, and others that were only made.
const LISTED: usize = 200;
