//! Where a process is in the cgroup trees, and what these groups hold it to:
//! `cgroups(7)`.
//!
//! v1 has a tree for each controller, v2 one for all, a hybrid host both; the
//! readers give one merged picture. Nothing here is written, and nothing of the crate
//! that writes cgroups is used: this is its oracle.

mod resources;
mod tree;

use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::error::{Error, Malformed};
use crate::mounts::Mount;
use crate::procfs::Process;
use crate::sourced::Sourced;

pub use resources::{Cpu, Freezer, Memory, Pids, Resources};
pub use tree::{Group, tree};

/// A line of `/proc/PID/cgroup`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Membership {
    /// The kernel's number of the tree; 0 is v2.
    pub hierarchy: u32,
    /// v1: its controllers, or `name=systemd`. v2: none.
    pub controllers: Vec<String>,
    /// The group, relative to the root of the reader's cgroup namespace.
    pub path: String,
}

/// Which interface a tree speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Version {
    /// A tree for each controller.
    V1,
    /// The unified tree.
    V2,
}

/// What the host has mounted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Only v1 trees.
    V1,
    /// Only the unified tree.
    V2,
    /// v1 controllers and a v2 tree beside them.
    Hybrid,
    /// No cgroup filesystem.
    Absent,
}

/// A mounted tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hierarchy {
    /// Its interface.
    pub version: Version,
    /// v1: its controllers, or `name=systemd`. v2: empty, see `cgroup.controllers`.
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// Which group is mounted there, mostly `/`.
    pub root: String,
}

/// A process's group in one tree.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Placement {
    /// Interface of the tree.
    pub version: Version,
    /// What this tree controls.
    pub controllers: Vec<String>,
    /// The group's path in the tree.
    pub path: String,
    /// Its directory; `None` when the tree is not mounted or the group lies outside
    /// of what is mounted.
    pub directory: Option<PathBuf>,
}

/// Reads `/proc/PID/cgroup`.
pub fn parse_membership(text: &str) -> Result<Vec<Membership>, Malformed> {
    let line = |(index, line): (usize, &str)| {
        let bad = |what| Malformed { line: index + 1, what };
        let mut parts = line.splitn(3, ':');
        let mut next = || parts.next().ok_or(bad("expected NUMBER:CONTROLLERS:PATH"));
        let hierarchy = next()?.parse().map_err(|_| bad("the tree's number is not a number"))?;
        let controllers = next()?.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        Ok(Membership { hierarchy, controllers, path: next()?.to_owned() })
    };
    text.lines().enumerate().filter(|(_, line)| !line.is_empty()).map(line).collect()
}

/// The trees in a mount table.
pub fn hierarchies(mounts: &[Mount]) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for mount in mounts {
        let version = match mount.fs_type.as_str() {
            "cgroup" => Version::V1,
            "cgroup2" => Version::V2,
            _ => continue,
        };
        let controllers = match version {
            Version::V1 => mount.super_options.iter().filter(|o| is_controller(o)).cloned().collect(),
            Version::V2 => Vec::new(),
        };
        let hierarchy = Hierarchy {
            version,
            controllers,
            mount_point: PathBuf::from(&mount.mount_point),
            root: mount.root.clone(),
        };
        // A bind mount of a group elsewhere must not hide the whole tree.
        match found.iter_mut().find(|h| h.version == version && h.controllers == hierarchy.controllers) {
            Some(known) if known.root.len() > hierarchy.root.len() => *known = hierarchy,
            Some(_) => {}
            None => found.push(hierarchy),
        }
    }
    found
}

/// What kind of host this is.
pub fn mode(hierarchies: &[Hierarchy]) -> Mode {
    let any = |version| hierarchies.iter().any(|hierarchy| hierarchy.version == version);
    match (any(Version::V1), any(Version::V2)) {
        (true, true) => Mode::Hybrid,
        (true, false) => Mode::V1,
        (false, true) => Mode::V2,
        (false, false) => Mode::Absent,
    }
}

/// Joins what the kernel says of a process with what is mounted.
pub fn place(memberships: &[Membership], hierarchies: &[Hierarchy]) -> Vec<Placement> {
    let placement = |membership: &Membership| {
        let version = if membership.hierarchy == 0 { Version::V2 } else { Version::V1 };
        let same = |hierarchy: &&Hierarchy| {
            hierarchy.version == version
                && (version == Version::V2 || same_set(&hierarchy.controllers, &membership.controllers))
        };
        let directory = hierarchies.iter().find(same).and_then(|h| h.directory(&membership.path));
        Placement {
            version,
            controllers: membership.controllers.clone(),
            path: membership.path.clone(),
            directory,
        }
    };
    memberships.iter().map(placement).collect()
}

impl Hierarchy {
    /// The directory of the group `path`.
    pub fn directory(&self, path: &str) -> Option<PathBuf> {
        let below = Path::new(path).strip_prefix(&self.root).ok()?;
        // `/../x` is how the kernel shows a group outside of the cgroup namespace.
        let climbs = below.components().any(|part| part == std::path::Component::ParentDir);
        (!climbs).then(|| self.mount_point.join(below))
    }

    /// A short name: `memory`, `cpu,cpuacct`, `systemd`, `v2`.
    pub fn label(&self) -> String {
        match self.version {
            Version::V2 => "v2".to_owned(),
            Version::V1 => {
                let bare = |name: &String| name.strip_prefix("name=").unwrap_or(name).to_owned();
                self.controllers.iter().map(bare).collect::<Vec<_>>().join(",")
            }
        }
    }
}

impl Process {
    /// `/proc/PID/cgroup`.
    pub fn cgroup_memberships(&self) -> Result<Sourced<Vec<Membership>>, Error> {
        self.parsed("cgroup", parse_membership)
    }
}

fn same_set(one: &[String], other: &[String]) -> bool {
    one.len() == other.len() && one.iter().all(|name| other.contains(name))
}

fn is_controller(option: &str) -> bool {
    let no_controller =
        ["rw", "ro", "xattr", "noprefix", "clone_children", "none", "cpuset_v2_mode", "seclabel"];
    !no_controller.contains(&option)
        && !option.starts_with("release_agent=")
        && !option.starts_with("cpuset_")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mounts;

    const MOUNTS: &str = "\
31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
36 31 0:32 /box /tmp/elsewhere rw - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
";

    fn mounted() -> Vec<Hierarchy> {
        hierarchies(&mounts::parse(MOUNTS).unwrap())
    }

    #[test]
    fn cg_12_merges_v1_and_v2_membership() {
        let text = "9:name=systemd:/\n4:memory:/strake/a:b\n1:cpuacct,cpu:/strake/x\n0::/uni\n";
        let placed = place(&parse_membership(text).unwrap(), &mounted());
        let shown: Vec<_> =
            placed.iter().map(|p| (p.version, p.directory.as_ref().unwrap().to_str().unwrap())).collect();
        assert_eq!(
            shown,
            [
                (Version::V1, "/sys/fs/cgroup/systemd/"),
                (Version::V1, "/sys/fs/cgroup/memory/strake/a:b"),
                (Version::V1, "/sys/fs/cgroup/cpu,cpuacct/strake/x"),
                (Version::V2, "/sys/fs/cgroup/unified/uni"),
            ]
        );
    }

    #[test]
    fn tells_the_mode() {
        let all = mounted();
        assert_eq!(mode(&all), Mode::Hybrid);
        let of = |version| all.iter().filter(|h| h.version == version).cloned().collect::<Vec<_>>();
        assert_eq!(mode(&of(Version::V1)), Mode::V1);
        assert_eq!(mode(&of(Version::V2)), Mode::V2);
        assert_eq!(mode(&[]), Mode::Absent);
        assert_eq!(
            all.iter().map(Hierarchy::label).collect::<Vec<_>>(),
            ["cpu,cpuacct", "memory", "systemd", "v2"]
        );
    }

    #[test]
    fn a_group_outside_of_what_is_mounted_has_no_directory() {
        let part = Hierarchy {
            version: Version::V2,
            controllers: vec![],
            mount_point: "/sys/fs/cgroup".into(),
            root: "/box".into(),
        };
        assert_eq!(part.directory("/box/x"), Some("/sys/fs/cgroup/x".into()));
        assert_eq!(part.directory("/other"), None);
        assert_eq!(Hierarchy { root: "/".into(), ..part }.directory("/../x"), None);
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        let text = "9:name=systemd:/\n4:memory:/strake/a\n0::/uni\n";
        for end in 0..text.len() {
            let _ = parse_membership(&text[..end]);
        }
        for bad in ["x", "1", "1:a", ":::", "-1::/"] {
            assert!(parse_membership(bad).is_err(), "{bad:?}");
        }
    }
}
