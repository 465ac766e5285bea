//! The built `strake`, driven as a user drives it.
//!
//! A test that proves a row carries its id: `ns_01_…` proves NS-01. Each runs as PID 1 of its own
//! namespaces, so that its bridge, mounts and processes are gone with it.

// A test fails by panicking and tells its seed on standard output.
#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout)]

mod bad_input;
mod care;
mod cg;
mod chaos;
mod cni;
mod cri;
mod docker;
mod en;
mod engines;
mod fs;
mod health;
mod images;
mod kube;
mod life;
mod loopback6;
mod networks;
mod ns;
mod nw;
mod ports;
mod restart;
mod rootless;
mod rt;
mod se;
mod stress;
mod terminal;
mod xx;

use serde_json::Value;
use testkit::Strake;

/// What `strake inspect CONTAINER` says of one container.
fn inspect(strake: &Strake, container: &str) -> Value {
    let text = strake.ok(&["inspect", container]);
    let all: Value = serde_json::from_str(&text).expect("inspect prints JSON");
    all[0].clone()
}

/// The host's PID of the container's init.
fn pid(strake: &Strake, container: &str) -> i64 {
    let pid = inspect(strake, container)["State"]["Pid"].as_i64().expect("a PID");
    assert!(pid > 1, "PID of {container}: {pid}");
    pid
}

/// The inode of a namespace: `ns_inode("self", "net")`.
fn ns_inode(pid: impl std::fmt::Display, kind: &str) -> String {
    let link = std::fs::read_link(format!("/proc/{pid}/ns/{kind}")).expect("namespace link");
    link.to_string_lossy().into_owned()
}

/// A file below `/proc/PID`.
fn proc_file(pid: i64, file: &str) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/{file}")).expect("procfs")
}

/// The value after `key:` in `/proc/PID/status`.
fn status(pid: i64, key: &str) -> String {
    let status = proc_file(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    line.unwrap_or_else(|| panic!("no {key} in status")).trim().to_owned()
}

/// Runs a container in the background that only waits.
fn sleeper(strake: &Strake, name: &str, options: &[&str]) {
    let mut args = vec!["run", "-d", "--name", name];
    args.extend(options);
    args.extend(["busybox", "sleep", "3600"]);
    strake.ok(&args);
}
