//! Which cgroup hierarchies this machine has, and where this process is in them.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sys::file::read_to_string;

use crate::error::Error;

/// Which versions of cgroups do the work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Controllers in v1 hierarchies, no v2 mounted.
    V1,
    /// Everything in the one v2 hierarchy.
    V2,
    /// Controllers in v1 hierarchies, with a v2 hierarchy beside them.
    Hybrid,
}

/// A mounted v1 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hierarchy {
    /// Its controllers (`cpu`, `cpuacct`), or its name with `name=` in front (`name=systemd`).
    pub controllers: Vec<String>,
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The cgroup that stands at the mount point: `/` unless we are in a container.
    pub root: String,
    /// The cgroup of this process, as `/proc/self/cgroup` says.
    pub own: String,
}

/// The mounted v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unified {
    /// Where it is mounted.
    pub mount_point: PathBuf,
    /// The cgroup that stands at the mount point.
    pub root: String,
    /// The cgroup of this process.
    pub own: String,
    /// The controllers that it has (those that v1 has taken are missing).
    pub controllers: Vec<String>,
}

/// All hierarchies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// v1 hierarchies.
    pub v1: Vec<Hierarchy>,
    /// The v2 hierarchy.
    pub v2: Option<Unified>,
}

/// Whether all controllers are of version 2: the only hierarchy is at the root of the control groups.
pub fn is_version_2() -> bool {
    Path::new("/sys/fs/cgroup/cgroup.controllers").exists()
}

impl Layout {
    /// Reads the layout that this process sees.
    pub fn detect() -> Result<Self, Error> {
        let read = |path: &str| {
            read_to_string(Path::new(path))
                .map_err(|source| Error::Read { path: PathBuf::from(path), source })
        };
        let mut layout = Self::parse(&read("/proc/self/mountinfo")?, &read("/proc/self/cgroup")?);
        if let Some(v2) = &mut layout.v2 {
            // The root has this file, too; a mount that vanished in between has no controllers.
            let controllers = read_to_string(&v2.mount_point.join("cgroup.controllers")).unwrap_or_default();
            v2.controllers = controllers.split_whitespace().map(str::to_owned).collect();
        }
        if layout.v1.is_empty() && layout.v2.is_none() {
            return Err(Error::NotMounted);
        }
        Ok(layout)
    }

    /// The layout that these two files of proc(5) describe. v2's controllers are in
    /// neither, so they are left empty.
    pub fn parse(mountinfo: &str, own: &str) -> Self {
        let mut layout = Self::default();
        for mount in mountinfo.lines().filter_map(Mount::parse) {
            match mount.kind {
                "cgroup2" if layout.v2.is_none() => {
                    let own = own_path(own, "").unwrap_or_else(|| "/".to_owned());
                    layout.v2 = Some(Unified {
                        mount_point: mount.point,
                        root: mount.root,
                        own,
                        controllers: Vec::new(),
                    });
                }
                "cgroup" => layout.add_v1(mount, own),
                _ => {}
            }
        }
        layout
    }

    /// A hierarchy may be mounted more than once: its first mount counts.
    fn add_v1(&mut self, mount: Mount<'_>, own: &str) {
        let controllers: Vec<String> = mount
            .options
            .split(',')
            .filter(|option| {
                !GENERIC_OPTIONS.contains(option) && (!option.contains('=') || option.starts_with("name="))
            })
            .map(str::to_owned)
            .collect();
        let Some(first) = controllers.first() else { return };
        if self.v1.iter().any(|known| known.controllers.contains(first)) {
            return;
        }
        let own = own_path(own, first).unwrap_or_else(|| "/".to_owned());
        self.v1.push(Hierarchy { controllers, mount_point: mount.point, root: mount.root, own });
    }

    /// Which versions do the work.
    pub fn mode(&self) -> Mode {
        match (&self.v2, self.v1.iter().any(|hierarchy| !hierarchy.is_named())) {
            (Some(_), false) => Mode::V2,
            (Some(_), true) => Mode::Hybrid,
            (None, _) => Mode::V1,
        }
    }

    /// The v1 hierarchy that has `controller`.
    pub fn v1(&self, controller: &str) -> Option<&Hierarchy> {
        self.v1.iter().find(|hierarchy| hierarchy.controllers.iter().any(|name| name == controller))
    }

    /// Whether v2 has `controller`.
    pub fn v2_has(&self, controller: &str) -> bool {
        self.v2.as_ref().is_some_and(|v2| v2.controllers.iter().any(|name| name == controller))
    }
}

impl Hierarchy {
    /// Whether it has a name instead of controllers.
    pub fn is_named(&self) -> bool {
        self.controllers.iter().any(|name| name.starts_with("name="))
    }

    /// Where the cgroup `path` (from the hierarchy's root, with a leading `/`) is on disk.
    pub fn dir(&self, path: &str) -> PathBuf {
        join(&self.mount_point, path)
    }

    /// This process's own cgroup, from the mount point.
    pub fn own_below_mount(&self) -> &str {
        below(&self.own, &self.root)
    }
}

impl Unified {
    /// Where the cgroup `path` (with a leading `/`) is on disk.
    pub fn dir(&self, path: &str) -> PathBuf {
        join(&self.mount_point, path)
    }

    /// This process's own cgroup, from the mount point.
    pub fn own_below_mount(&self) -> &str {
        below(&self.own, &self.root)
    }
}

fn join(mount_point: &Path, path: &str) -> PathBuf {
    let relative = path.trim_start_matches('/');
    if relative.is_empty() { mount_point.to_owned() } else { mount_point.join(relative) }
}

fn below<'a>(own: &'a str, root: &str) -> &'a str {
    match own.strip_prefix(root.trim_end_matches('/')) {
        Some("") | None => "/",
        Some(rest) => rest,
    }
}

/// A line of mountinfo that matters here: proc_pid_mountinfo(5).
struct Mount<'a> {
    kind: &'a str,
    root: String,
    point: PathBuf,
    options: &'a str,
}

impl<'a> Mount<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (unescape(left.next()?), unescape(left.next()?));
        let mut right = right.split(' ');
        let kind = right.next()?;
        let options = right.nth(1).unwrap_or_default();
        Some(Self { kind, root, point: PathBuf::from(point), options })
    }
}

/// `\040` and the like.
fn unescape(field: &str) -> String {
    if !field.contains('\\') {
        return field.to_owned();
    }
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escaped, plain)| text.replace(escaped, plain))
}

/// The path in the line of `/proc/PID/cgroup` for `controller`; `""` is v2's line.
pub(crate) fn own_path(own: &str, controller: &str) -> Option<String> {
    own.lines().find_map(|line| {
        let (_, rest) = line.split_once(':')?;
        let (controllers, path) = rest.split_once(':')?;
        controllers.split(',').any(|name| name == controller).then(|| path.to_owned())
    })
}

/// Super block options that name no controller.
const GENERIC_OPTIONS: [&str; 6] = ["rw", "ro", "xattr", "noprefix", "clone_children", "cpuset_v2_mode"];

#[cfg(test)]
mod tests {
    use super::*;

    const V1: &str = "\
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:9 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
99 31 0:32 / /mnt/again rw - cgroup cgroup rw,memory
";
    const V2: &str = "29 23 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const OWN: &str = "4:memory:/a/b\n3:cpu,cpuacct:/c\n1:name=systemd:/init.scope\n0::/user.slice\n";

    #[test]
    fn reads_v1() {
        let layout = Layout::parse(V1, OWN);
        assert_eq!(layout.mode(), Mode::V1);
        let found: Vec<_> = layout.v1.iter().map(|h| (h.controllers.join("+"), h.own.as_str())).collect();
        assert_eq!(
            found,
            [
                ("cpu+cpuacct".to_owned(), "/c"),
                ("memory".to_owned(), "/a/b"),
                ("name=systemd".to_owned(), "/init.scope"),
            ]
        );
        assert_eq!(layout.v1("cpuacct").unwrap().mount_point, Path::new("/sys/fs/cgroup/cpu,cpuacct"));
    }

    #[test]
    fn reads_v2_and_hybrid() {
        let layout = Layout::parse(V2, OWN);
        assert_eq!((layout.mode(), layout.v2.as_ref().unwrap().own.as_str()), (Mode::V2, "/user.slice"));
        let unified = "41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        let layout = Layout::parse(&format!("{V1}{unified}"), OWN);
        assert_eq!(layout.mode(), Mode::Hybrid);
        // systemd's named hierarchy alone does no work.
        let named = "40 31 0:37 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,name=systemd\n";
        assert_eq!(Layout::parse(&format!("{V2}{named}"), OWN).mode(), Mode::V2);
    }

    #[test]
    fn knows_its_place_inside_a_container() {
        let mounts = "35 31 0:32 /docker/x /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
        let layout = Layout::parse(mounts, "4:memory:/docker/x/inner\n");
        assert_eq!(layout.v1[0].own_below_mount(), "/inner");
        let layout = Layout::parse(mounts, "4:memory:/docker/x\n");
        assert_eq!(layout.v1[0].own_below_mount(), "/");
    }

    #[test]
    fn survives_odd_mounts() {
        let odd = "1 2 0:1 / /a\\040b rw - cgroup cgroup rw,pids\ngarbage\n1 2 - x\n";
        let layout = Layout::parse(odd, "");
        assert_eq!(layout.v1[0].dir("/x"), Path::new("/a b/x"));
    }
}
