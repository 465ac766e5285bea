//! Debian's podman, containerd and dockerd run containers through `strake-runtime`.

pub(crate) mod containerd;
mod dockerd;
pub(crate) mod podman;

use std::fs;
use std::path::Path;

use testkit::{CgroupSubtree, sh};

/// Gives the test places of its own where engines leave things: the directory of containerd's shims, shared memory
/// with podman's locks, and the directory in which cgroup hierarchies are mounted, for engines make more for
/// controllers that the kernel does not have.
pub(crate) fn own_places() {
    sh("mkdir -p /run/containerd && mount -t tmpfs tmpfs /run/containerd && mount -t tmpfs tmpfs /dev/shm");
    if !Path::new("/sys/fs/cgroup/cgroup.controllers").exists() {
        sh(OWN_CGROUP_MOUNTS);
    }
}

const OWN_CGROUP_MOUNTS: &str = "set -e; aside=$(mktemp -d); cd /sys/fs/cgroup; \
    for one in *; do mkdir $aside/$one; mount --bind $one $aside/$one; done; \
    cd /; umount -l /sys/fs/cgroup; mount -t tmpfs -o mode=755 cgroup /sys/fs/cgroup; \
    for one in $(ls $aside); do mkdir /sys/fs/cgroup/$one; mount --move $aside/$one /sys/fs/cgroup/$one; done; \
    rm -r $aside";

/// What the kernel was told of a container, in bytes, processes and microseconds of each 100,000.
#[derive(Debug, PartialEq, Eq)]
struct Limits {
    memory: String,
    pids: String,
    cpu: String,
}

impl Limits {
    fn new(memory: &str, pids: &str, cpu: &str) -> Self {
        Self { memory: memory.to_owned(), pids: pids.to_owned(), cpu: cpu.to_owned() }
    }

    /// Those of the cgroup `name` in `parent`.
    fn of(parent: &CgroupSubtree, name: &str) -> Self {
        let read = |controller: &str, v1: &str, v2: &str| {
            let dir = parent.dir(controller).join(name);
            let file = if dir.join(v1).exists() { v1 } else { v2 };
            let text = fs::read_to_string(dir.join(file));
            let text = text.unwrap_or_else(|error| panic!("{}/{file}: {error}", dir.display()));
            text.split_whitespace().next().unwrap_or_default().to_owned()
        };
        Self {
            memory: read("memory", "memory.limit_in_bytes", "memory.max"),
            pids: read("pids", "pids.max", "pids.max"),
            cpu: read("cpu", "cpu.cfs_quota_us", "cpu.max"),
        }
    }
}

/// Asserts that nothing of the container's cgroup is left.
fn assert_gone(parent: &CgroupSubtree, name: &str) {
    for controller in ["memory", "pids", "cpu", "freezer"] {
        let dir = parent.dir(controller).join(name);
        assert!(!dir.exists(), "{} is left", dir.display());
    }
}
