//! A cgroup of the test's own in every hierarchy.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::wait_until;

static COUNTER: AtomicU32 = AtomicU32::new(0);

/// `/strake-test-PID-NAME` in every mounted cgroup hierarchy. On drop, what runs in it is killed
/// and it is removed with everything below it.
#[derive(Debug)]
pub struct CgroupSubtree {
    path: String,
    hierarchies: Vec<PathBuf>,
}

impl CgroupSubtree {
    /// Makes the cgroup in every hierarchy.
    ///
    /// # Panics
    /// When a hierarchy refuses it.
    pub fn new(name: &str) -> Self {
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        let now =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |d| d.as_nanos());
        let path = format!("/strake-test-{now:x}-{count}-{name}");
        let hierarchies = mounted();
        for hierarchy in &hierarchies {
            let dir = hierarchy.join(&path[1..]);
            fs::create_dir(&dir).unwrap_or_else(|error| panic!("make cgroup {}: {error}", dir.display()));
            inherit_cpuset(&dir);
        }
        Self { path, hierarchies }
    }

    /// Its path as `cgroupsPath` wants it, the same in every hierarchy.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Its directory in the hierarchy of `controller` (`"memory"`, `"unified"`, …).
    ///
    /// # Panics
    /// When no such hierarchy is mounted.
    pub fn dir(&self, controller: &str) -> PathBuf {
        let named = |dir: &&PathBuf| dir.file_name().is_some_and(|name| name == controller);
        // Where there is v2 alone, it has them all.
        let single = || self.hierarchies.first().filter(|_| self.hierarchies.len() == 1);
        let found = self.hierarchies.iter().find(named).or_else(single);
        found.unwrap_or_else(|| panic!("no cgroup hierarchy {controller} here")).join(&self.path[1..])
    }
}

impl Drop for CgroupSubtree {
    fn drop(&mut self) {
        for hierarchy in &self.hierarchies {
            let dir = hierarchy.join(&self.path[1..]);
            let gone = wait_until(Duration::from_secs(10), || {
                kill_below(&dir);
                remove_below(&dir);
                !dir.exists()
            });
            if !gone {
                eprintln!("testkit: cgroup {} is still there", dir.display());
            }
        }
    }
}

/// The mount points of all cgroup hierarchies, v1 and v2.
fn mounted() -> Vec<PathBuf> {
    let table = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
    let is_cgroup = |line: &&str| {
        let kind = line.split(" - ").nth(1).and_then(|rest| rest.split(' ').next());
        matches!(kind, Some("cgroup" | "cgroup2"))
    };
    table.lines().filter(is_cgroup).filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from).collect()
}

/// A v1 cpuset takes no process before it has CPUs and memory nodes.
fn inherit_cpuset(dir: &Path) {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        if let (true, Some(parent)) = (dir.join(file).exists(), dir.parent())
            && let Ok(value) = fs::read_to_string(parent.join(file))
        {
            let _ = fs::write(dir.join(file), value.trim());
        }
    }
}

fn kill_below(dir: &Path) {
    for child in children(dir) {
        kill_below(&child);
    }
    let _ = fs::write(dir.join("freezer.state"), "THAWED");
    for pid in fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default().lines() {
        let pid = pid.parse().ok().and_then(rustix::process::Pid::from_raw);
        if let Some(pid) = pid {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::KILL);
        }
    }
}

fn remove_below(dir: &Path) {
    for child in children(dir) {
        remove_below(&child);
    }
    let _ = fs::remove_dir(dir);
}

fn children(dir: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(dir) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|e| e.path())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_process_in_it_does_not_keep_it() {
        let subtree = CgroupSubtree::new("clean");
        let dir = subtree.dir("pids");
        fs::create_dir(dir.join("below")).unwrap();
        let mut child = Command::new("cat").stdin(std::process::Stdio::piped()).spawn().unwrap();
        fs::write(dir.join("below/cgroup.procs"), child.id().to_string()).unwrap();
        drop(subtree);
        assert!(!child.wait().unwrap().success(), "killed");
        assert!(!dir.exists());
    }
}
