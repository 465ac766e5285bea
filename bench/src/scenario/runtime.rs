//! `run`, `exec` and fifty at once of a static `true` with docker's default spec, and create, start
//! and delete apart from each other.
//!
//! The bundle is the same for all: the 14 capabilities, docker's seccomp policy, masked and
//! read-only paths, five new namespaces and the cgroup one, a memory and a pids limit. The floor
//! is a small C program beside this file: the same namespaces, cgroups with the limits, a pivot
//! and an exec of the same program, and nothing else.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cgroup::{Cgroup, Layout};
use serde_json::{Value, json};
use testkit::TempDir;

use super::{quietly, version, wanted};
use crate::{Candidate, Options, Table, Turns};

const PEERS: &[&str] = &["crun", "runc"];
const FLOOR: &str = "kernel floor";

/// How many containers start at once.
const MANY: usize = 50;

/// Measures `strake-runtime`, the peers and the floor.
pub(crate) fn measure(options: &Options) -> Result<Vec<Turns>> {
    sys::prctl::set_child_subreaper(true).context("adopt the containers' init processes")?;
    let bench = Bench::new(options)?;
    let versions = || peers(options).map(version).collect();
    let turns = |title, notes, table| Turns { title, versions: versions(), notes, table };
    let names = || bench.runtimes.iter().map(|runtime| &*runtime.name).chain([FLOOR]);
    let rounds = options.rounds;

    let mut candidates: Vec<_> =
        names().map(|name| Candidate::new(name, || finished(bench.run(name)?))).collect();
    let run = Table::measure(&mut candidates, rounds, SETTLE)?;
    let peaks = names().map(|name| bench.peak(name)).collect::<Result<Vec<_>>>()?;

    let waiting = bench.runtimes.iter().map(|runtime| Waiting::start(&bench, runtime));
    let waiting = waiting.collect::<Result<Vec<_>>>()?;
    let ours = waiting.first().context("no runtime")?;
    let mut candidates: Vec<_> = waiting
        .iter()
        .map(|one| Candidate::new(&one.runtime.name, || finished(one.exec()?)))
        .chain([Candidate::new(FLOOR, || finished(bench.floor_exec(ours.pid)?))])
        .collect();
    let exec = Table::measure(&mut candidates, rounds, SETTLE)?;
    drop(candidates);
    drop(waiting);

    let mut candidates: Vec<_> = names().map(|name| Candidate::new(name, || bench.many(name))).collect();
    let many = Table::measure(&mut candidates, rounds.div_ceil(10), SETTLE)?;

    let mut candidates: Vec<_> =
        bench.runtimes.iter().map(|runtime| Candidate::new(&runtime.name, || bench.apart(runtime))).collect();
    let apart = Table::measure(&mut candidates, rounds, SETTLE)?;
    Ok(vec![
        turns("run", peaks, run),
        turns("exec", Vec::new(), exec),
        turns("50 at once", Vec::new(), many),
        turns("create + start + wait + delete", Vec::new(), apart),
    ])
}

const SETTLE: Duration = Duration::from_millis(5);

/// What all of them are given.
struct Bench {
    scratch: TempDir,
    floor: PathBuf,
    bundle: PathBuf,
    /// The same with a program that waits.
    waiting: PathBuf,
    runtimes: Vec<Runtime>,
    layout: Layout,
    next: std::cell::Cell<usize>,
}

/// The peers that were asked for: those that Debian has, and others by the path of their program.
fn peers(options: &Options) -> impl Iterator<Item = &str> {
    let others = options.against.iter().map(String::as_str).filter(|peer| peer.contains('/'));
    PEERS.iter().copied().filter(|peer| wanted(options, peer)).chain(others)
}

/// A runtime with runc's command line.
struct Runtime {
    name: String,
    program: PathBuf,
    state: PathBuf,
}

impl Runtime {
    fn command(&self, verb: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("--root").arg(&self.state).arg(verb);
        command
    }
}

impl Bench {
    fn new(options: &Options) -> Result<Self> {
        let scratch = TempDir::new();
        let program = compile(scratch.path(), "true", "int main(void) { return 0; }\n")?;
        let floor = compile(scratch.path(), "floor", include_str!("runtime/floor.c"))?;
        let bundle = bundle(scratch.path(), "bundle", &program, &["/program"])?;
        let waiting = self::bundle(scratch.path(), "waiting", &floor, &["/program", "wait"])?;
        fs::copy(&program, waiting.join("rootfs/true"))?;
        let state = in_memory(scratch.join("state")).context("make a tmpfs for the state")?;
        let ours = ("strake-runtime", options.bin.join("strake-runtime"));
        let all = iter::once(ours).chain(peers(options).map(|peer| (peer, PathBuf::from(peer))));
        let runtimes = all.enumerate().map(|(index, (name, program))| Runtime {
            name: name.to_owned(),
            program,
            state: state.join(index.to_string()),
        });
        let runtimes = runtimes.collect();
        let layout = Layout::detect().context("find the cgroups")?;
        Ok(Self { scratch, floor, bundle, waiting, runtimes, layout, next: Default::default() })
    }

    /// A name that no other container has.
    fn id(&self) -> String {
        self.next.set(self.next.get() + 1);
        format!("strake-bench-{}-{}", std::process::id(), self.next.get())
    }

    fn command(&self, name: &str) -> Command {
        let id = self.id();
        match self.runtimes.iter().find(|runtime| runtime.name == name) {
            Some(runtime) => {
                let mut command = runtime.command("run");
                command.arg("--bundle").arg(&self.bundle).arg(id);
                command
            }
            None => {
                let mut command = Command::new(&self.floor);
                command.arg("run").arg(self.bundle.join("rootfs")).arg("/program");
                let below = |own: &str| format!("{}/{id}", own.trim_end_matches('/'));
                command.args(self.layout.v1.iter().map(|one| one.dir(&below(one.own_below_mount()))));
                command
            }
        }
    }

    fn run(&self, name: &str) -> Result<Child> {
        start(&mut self.command(name))
    }

    fn many(&self, name: &str) -> Result<()> {
        let children = (0..MANY).map(|_| self.run(name)).collect::<Result<Vec<_>>>()?;
        children.into_iter().try_for_each(finished)
    }

    /// The most memory that one of the processes of a `run` had.
    fn peak(&self, name: &str) -> Result<String> {
        let command = self.command(name);
        let mut measured = Command::new(&self.floor);
        measured.arg("peak").arg(command.get_program()).args(command.get_args()).stdin(Stdio::null());
        let output = measured.output().context("measure memory")?;
        ensure!(output.status.success(), "{name} failed: {}", String::from_utf8_lossy(&output.stderr));
        Ok(format!("Peak memory of {name}: {} KiB.", String::from_utf8_lossy(&output.stdout).trim()))
    }

    fn floor_exec(&self, pid: i32) -> Result<Child> {
        let cgroups = fs::read_to_string(format!("/proc/{pid}/cgroup")).context("read its cgroups")?;
        let v1 = Layout { v2: None, ..self.layout.clone() };
        let mut command = Command::new(&self.floor);
        command.arg("exec").arg(pid.to_string()).arg("/true");
        start(command.args(Cgroup::of_process(&cgroups, &v1).dirs()))
    }

    fn apart(&self, runtime: &Runtime) -> Result<()> {
        let id = self.id();
        let pid_file = self.scratch.join("pid");
        let mut create = runtime.command("create");
        quietly(create.arg("--bundle").arg(&self.bundle).arg("--pid-file").arg(&pid_file).arg(&id))?;
        quietly(runtime.command("start").arg(&id))?;
        let pid: i32 = fs::read_to_string(&pid_file)?.trim().parse()?;
        let status = wait_for_init(pid)?;
        ensure!(status == 0, "the container's init ended with {status}");
        quietly(runtime.command("delete").arg(&id))
    }
}

/// A container whose program waits, for `exec`.
struct Waiting<'a> {
    runtime: &'a Runtime,
    id: String,
    pid: i32,
}

impl<'a> Waiting<'a> {
    fn start(bench: &Bench, runtime: &'a Runtime) -> Result<Self> {
        let id = bench.id();
        let pid_file = bench.scratch.join("pid");
        let mut run = runtime.command("run");
        run.arg("--detach").arg("--bundle").arg(&bench.waiting).arg("--pid-file").arg(&pid_file);
        quietly(run.arg(&id))?;
        let pid = fs::read_to_string(&pid_file)?.trim().parse()?;
        Ok(Self { runtime, id, pid })
    }

    fn exec(&self) -> Result<Child> {
        start(self.runtime.command("exec").arg(&self.id).arg("/true"))
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        // Nothing is left to be told to anybody.
        let _ = quietly(self.runtime.command("kill").arg(&self.id).arg("KILL"));
        let _ = wait_for_init(self.pid);
        let _ = quietly(self.runtime.command("delete").arg("--force").arg(&self.id));
    }
}

fn start(command: &mut Command) -> Result<Child> {
    let silent = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    silent.spawn().with_context(|| format!("start {}", command.get_program().display()))
}

fn finished(mut child: Child) -> Result<()> {
    let status = child.wait()?;
    ensure!(status.success(), "it ended with {status}");
    Ok(())
}

/// We are the subreaper: the init of a container whose runtime is gone is our child.
fn wait_for_init(pid: i32) -> Result<i32> {
    let pid = rustix::process::Pid::from_raw(pid).context("pid file")?;
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    let (_, status) = status.context("no status")?;
    Ok(status.exit_status().unwrap_or(-1))
}

/// A tmpfs, as below `/run`, where engines have their runtimes' state. It goes with the directory around it.
fn in_memory(dir: PathBuf) -> Result<PathBuf> {
    fs::create_dir(&dir)?;
    let tmpfs = sys::mount::FsContext::open("tmpfs")?.mount(0)?;
    sys::mount::attach_path(&tmpfs, &dir)?;
    Ok(dir)
}

/// A static program of a few kilobytes: what is measured is the runtime, not the program.
fn compile(scratch: &Path, name: &str, text: &str) -> Result<PathBuf> {
    let source = scratch.join(format!("{name}.c"));
    fs::write(&source, text)?;
    let program = scratch.join(name);
    quietly(Command::new("musl-gcc").args(["-static", "-Os", "-s", "-o"]).arg(&program).arg(&source))?;
    Ok(program)
}

/// A bundle with docker's default spec around `program`.
fn bundle(scratch: &Path, name: &str, program: &Path, args: &[&str]) -> Result<PathBuf> {
    let bundle = scratch.join(name);
    let rootfs = bundle.join("rootfs");
    for dir in ["dev", "proc", "sys", "etc"] {
        fs::create_dir_all(rootfs.join(dir))?;
    }
    fs::copy(program, rootfs.join("program"))?;
    quietly(Command::new("runc").arg("spec").arg("--bundle").arg(&bundle))?;
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config)?)?;
    let capabilities = oci_spec::defaults::capabilities();
    let names = serde_json::to_value(&capabilities)?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(args);
    spec["process"]["capabilities"] = json!({ "bounding": names, "effective": names, "permitted": names });
    spec["linux"]["seccomp"] = serde_json::to_value(oci_spec::defaults::seccomp(&capabilities))?;
    spec["linux"]["maskedPaths"] = serde_json::to_value(oci_spec::defaults::masked_paths(2))?;
    spec["linux"]["readonlyPaths"] = serde_json::to_value(oci_spec::defaults::readonly_paths())?;
    spec["linux"]["namespaces"] = ["pid", "network", "ipc", "uts", "mount", "cgroup"]
        .map(|kind| json!({ "type": kind }))
        .into_iter()
        .collect();
    spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
    spec["linux"]["resources"]["pids"] = json!({ "limit": 100 });
    fs::write(&config, serde_json::to_vec(&spec)?)?;
    Ok(bundle)
}
