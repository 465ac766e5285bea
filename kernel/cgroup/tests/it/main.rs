//! Cgroups on this machine's real hierarchies. Each test has a subtree of its own.

// A fixture that cannot be made fails its test.
#![allow(clippy::panic, clippy::unwrap_used)]

mod devices;
mod lifecycle;
mod limits;
mod oom;
mod processes;
mod read;
mod unified;

use std::io::Write;
use std::process::{Child, Command, Stdio};

use cgroup::{Cgroup, CgroupPath, Driver, Layout, Plan, plan_update};
use testkit::CgroupSubtree;

/// A subtree and a cgroup in it.
struct Fixture {
    // Dropped last: it cleans up whatever a test leaves.
    cgroup: Cgroup,
    layout: Layout,
    subtree: CgroupSubtree,
}

impl Fixture {
    fn new(name: &str) -> Self {
        let subtree = CgroupSubtree::new(name);
        let layout = Layout::detect().expect("cgroups are mounted");
        let cgroup = create(&subtree, "web", &layout);
        Self { cgroup, layout, subtree }
    }

    fn plan(&self, json: &str) -> Plan {
        let resources = serde_json::from_str(json).expect("resources");
        plan_update(&resources, &self.layout).unwrap_or_else(|error| panic!("{json}: {error}"))
    }

    fn apply(&self, json: &str) {
        let warnings =
            self.cgroup.apply(&self.plan(json)).unwrap_or_else(|error| panic!("{}", chain(&error)));
        assert!(warnings.is_empty(), "{warnings:?}");
    }

    /// Starts `script` in the cgroup: it runs when it is in.
    fn sh(&self, script: &str) -> Child {
        start_in(&self.cgroup, script)
    }
}

fn path(subtree: &CgroupSubtree, name: &str) -> CgroupPath {
    CgroupPath::parse(Some(&format!("{}/{name}", subtree.path())), name, Driver::Cgroupfs).expect("a path")
}

fn create(subtree: &CgroupSubtree, name: &str, layout: &Layout) -> Cgroup {
    Cgroup::create(&path(subtree, name), layout).unwrap_or_else(|error| panic!("{}", chain(&error)))
}

fn start_in(cgroup: &Cgroup, script: &str) -> Child {
    let mut child = Command::new("sh")
        .args(["-c", &format!("read go; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh runs");
    let pid = i32::try_from(child.id()).expect("a process id");
    cgroup.join(pid).unwrap_or_else(|error| panic!("{}", chain(&error)));
    child.stdin.as_mut().expect("piped").write_all(b"go\n").expect("sh reads");
    child
}

fn chain(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {}", chain(source)),
        None => error.to_string(),
    }
}
