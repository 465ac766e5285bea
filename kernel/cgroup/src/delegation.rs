//! What of the control groups is an ordinary user's.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, accessat};

use crate::layout::{Layout, Mode, Unified};

/// A v2 subtree that was given to the user whom this process belongs to, as systemd gives one to each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delegated {
    /// Its topmost group, with a leading `/`.
    pub path: String,
    /// What can be limited below it.
    pub controllers: Vec<String>,
}

impl Delegated {
    /// The subtree that this process is in. Elsewhere the kernel lets the user move nobody to.
    pub fn find() -> Option<Self> {
        let layout = Layout::detect().ok().filter(|layout| layout.mode() == Mode::V2)?;
        Self::of(&layout.v2?)
    }

    fn of(v2: &Unified) -> Option<Self> {
        let own = Path::new(v2.own_below_mount());
        let path = own.ancestors().take_while(|group| is_ours(&v2.dir(&group.to_string_lossy()))).last()?;
        let dir = v2.dir(&path.to_string_lossy());
        if !may_write(&dir.join("cgroup.subtree_control")) {
            return None;
        }
        let read = |file: &str| fs::read_to_string(dir.join(file)).unwrap_or_default();
        // A group with processes of its own gives its children no more than it already does.
        let usable =
            if read("cgroup.procs").is_empty() { "cgroup.controllers" } else { "cgroup.subtree_control" };
        let controllers = read(usable).split_whitespace().map(str::to_owned).collect();
        Some(Self { path: path.to_string_lossy().into_owned(), controllers })
    }
}

/// Whether the group was given to us: to make others in it, and to move processes within.
fn is_ours(dir: &Path) -> bool {
    fs::metadata(dir).is_ok_and(|found| found.uid() == sys::user::effective_uid())
        && may_write(&dir.join("cgroup.procs"))
}

fn may_write(file: &Path) -> bool {
    accessat(CWD, file, Access::WRITE_OK, AtFlags::EACCESS).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_topmost_group_of_ours_counts() {
        let root = std::env::temp_dir().join(format!("strake-delegation-{}", std::process::id()));
        let group = |path: &str, controllers: &str, procs: &str| {
            let dir = root.join(path);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("cgroup.procs"), procs).unwrap();
            fs::write(dir.join("cgroup.controllers"), controllers).unwrap();
            fs::write(dir.join("cgroup.subtree_control"), "pids").unwrap();
        };
        fs::create_dir_all(&root).unwrap();
        group("user", "cpu memory pids", "");
        group("user/app", "memory", "");
        group("user/app/scope", "", "7\n");
        let v2 = |own: &str| Unified {
            mount_point: root.clone(),
            root: "/".to_owned(),
            own: own.to_owned(),
            controllers: Vec::new(),
        };
        let found = |own: &str| Delegated::of(&v2(own));
        let controllers = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let given =
            Delegated { path: "/user".to_owned(), controllers: controllers(&["cpu", "memory", "pids"]) };
        assert_eq!(found("/user/app/scope"), Some(given.clone()));
        assert_eq!(found("/user"), Some(given));
        fs::write(root.join("user/cgroup.procs"), "7\n").unwrap();
        assert_eq!(found("/user").unwrap().controllers, controllers(&["pids"]));
        // Above it nothing is ours, beside it neither.
        assert_eq!(found("/"), None);
        assert_eq!(found("/other/session"), None);
        fs::remove_dir_all(&root).unwrap();
    }
}
