//! create + start + wait + delete of a static `true` with docker's default spec.
//!
//! The bundle is the same for all: the 14 capabilities, docker's seccomp policy, masked and
//! read-only paths, five new namespaces and the cgroup one, a memory and a pids limit. The floor
//! is one clone into the same namespaces and one exec of the same program.

use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use sys::clone::{CloneOptions, Forked, clone3};
use sys::namespace::Namespace::{Cgroup, Ipc, Mount, Net, Pid, Uts};
use sys::process::{exec, exit_now, wait_pidfd};
use testkit::TempDir;

use super::{quietly, version, wanted};
use crate::{Candidate, Options, Table, Turns};

const PEERS: &[&str] = &["crun", "runc"];

/// Measures `strake-runtime`, the peers and the floor.
pub(crate) fn measure(options: &Options) -> Result<Turns> {
    sys::prctl::set_child_subreaper(true).context("adopt the containers' init processes")?;
    let scratch = TempDir::new();
    let program = compile_true(scratch.path())?;
    let bundle = bundle(scratch.path(), &program)?;
    let ours = options.bin.join("strake-runtime");
    let ours = ours.to_str().context("path of strake-runtime")?;
    let floor_program = CString::new(program.as_os_str().as_bytes())?;
    let mut candidates = vec![runtime("strake-runtime", ours, &scratch, &bundle)];
    for peer in PEERS.iter().filter(|peer| wanted(options, peer)) {
        candidates.push(runtime(peer, peer, &scratch, &bundle));
    }
    candidates.push(Candidate::new("kernel floor", || floor(&floor_program)));
    let table = Table::measure(&mut candidates, options.rounds, Duration::from_millis(5))?;
    let versions = PEERS.iter().filter(|peer| wanted(options, peer)).map(|peer| version(peer)).collect();
    Ok(Turns { title: "create + start + wait + delete", versions, notes: Vec::new(), table })
}

/// A runtime with runc's command line.
fn runtime<'a>(name: &str, program: &'a str, scratch: &TempDir, bundle: &'a Path) -> Candidate<'a> {
    let state = scratch.join(format!("state-{name}"));
    let id = format!("strake-bench-{name}-{}", std::process::id());
    Candidate::new(name, move || {
        let command = |verb: &str| {
            let mut command = Command::new(program);
            command.arg("--root").arg(&state).arg(verb);
            command
        };
        let pid_file = bundle.join(format!("{id}.pid"));
        quietly(command("create").arg("--bundle").arg(bundle).arg("--pid-file").arg(&pid_file).arg(&id))?;
        quietly(command("start").arg(&id))?;
        let pid: i32 = fs::read_to_string(&pid_file)?.trim().parse()?;
        let status = wait_for_init(pid)?;
        ensure!(status == 0, "the container's init ended with {status}");
        quietly(command("delete").arg(&id))
    })
}

/// We are the subreaper: the init of a container whose runtime is gone is our child.
fn wait_for_init(pid: i32) -> Result<i32> {
    let pid = rustix::process::Pid::from_raw(pid).context("pid file")?;
    let status = rustix::process::waitpid(Some(pid), rustix::process::WaitOptions::empty())?;
    let (_, status) = status.context("no status")?;
    Ok(status.exit_status().unwrap_or(-1))
}

/// One clone into six new namespaces, one exec, one wait.
fn floor(program: &CStr) -> Result<()> {
    let namespaces = [Mount, Pid, Net, Uts, Ipc, Cgroup].into_iter().collect();
    match clone3(&CloneOptions { namespaces, ..CloneOptions::default() }).context("clone3")? {
        Forked::Child => {
            let _ = exec(program, &[program.to_owned()], &[]);
            exit_now(127)
        }
        Forked::Parent { pidfd, .. } => {
            let status = wait_pidfd(&pidfd).context("wait")?;
            ensure!(status.code() == Some(0), "true ended with {status:?}");
            Ok(())
        }
    }
}

/// A static `true` of a few kilobytes: what is measured is the runtime, not the program.
fn compile_true(scratch: &Path) -> Result<PathBuf> {
    let source = scratch.join("true.c");
    fs::write(&source, "int main(void) { return 0; }\n")?;
    let program = scratch.join("true");
    quietly(Command::new("musl-gcc").args(["-static", "-Os", "-s", "-o"]).arg(&program).arg(&source))?;
    Ok(program)
}

/// A bundle with docker's default spec around `program`.
fn bundle(scratch: &Path, program: &Path) -> Result<PathBuf> {
    let bundle = scratch.join("bundle");
    let rootfs = bundle.join("rootfs");
    for dir in ["dev", "proc", "sys", "etc"] {
        fs::create_dir_all(rootfs.join(dir))?;
    }
    fs::copy(program, rootfs.join("true"))?;
    quietly(Command::new("runc").arg("spec").arg("--bundle").arg(&bundle))?;
    let config = bundle.join("config.json");
    let mut spec: Value = serde_json::from_slice(&fs::read(&config)?)?;
    let capabilities = oci_spec::defaults::capabilities();
    let names = serde_json::to_value(&capabilities)?;
    spec["process"]["terminal"] = json!(false);
    spec["process"]["args"] = json!(["/true"]);
    spec["process"]["capabilities"] = json!({ "bounding": names, "effective": names, "permitted": names });
    spec["linux"]["seccomp"] = serde_json::to_value(oci_spec::defaults::seccomp(&capabilities))?;
    spec["linux"]["maskedPaths"] = serde_json::to_value(oci_spec::defaults::masked_paths(2))?;
    spec["linux"]["readonlyPaths"] = serde_json::to_value(oci_spec::defaults::readonly_paths())?;
    spec["linux"]["resources"]["memory"] = json!({ "limit": 64 << 20 });
    spec["linux"]["resources"]["pids"] = json!({ "limit": 100 });
    fs::write(&config, serde_json::to_vec(&spec)?)?;
    Ok(bundle)
}
