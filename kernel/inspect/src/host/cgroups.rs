//! Control groups: which controllers there are, and whether groups can be made under them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use cgroup::Layout;
use serde::{Deserialize, Serialize};

use super::trial::{Trial, at};

/// What there is of control groups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CgroupFacts {
    /// `v1`, `v2`, `hybrid`; none when nothing is mounted.
    pub mode: Option<String>,
    /// Controllers, in whichever version they are.
    pub controllers: Vec<ControllerFacts>,
}

/// A controller.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ControllerFacts {
    /// `memory`, `cpu`, `io` (v1: `blkio`)…
    pub name: String,
    /// In the one v2 hierarchy.
    pub unified: bool,
    /// Whether a group can be made, and has this controller's files.
    pub trial: Trial,
    /// Files of a group that are more than the least: `memory.memsw.limit_in_bytes`.
    pub files: Vec<String>,
}

impl CgroupFacts {
    pub(super) fn gather() -> Self {
        let Ok(layout) = Layout::detect() else { return Self::default() };
        let mode = match layout.mode() {
            cgroup::Mode::V1 => "v1",
            cgroup::Mode::V2 => "v2",
            cgroup::Mode::Hybrid => "hybrid",
        };
        let mut controllers = Vec::new();
        for hierarchy in layout.v1.iter().filter(|hierarchy| !hierarchy.is_named()) {
            let own = hierarchy.dir(hierarchy.own_below_mount());
            for name in &hierarchy.controllers {
                controllers.push(controller(name, &own, false));
            }
        }
        if let Some(v2) = &layout.v2 {
            let own = v2.dir(v2.own_below_mount());
            for name in &v2.controllers {
                controllers.push(controller(name, &own, true));
            }
        }
        controllers.sort_by(|a, b| a.name.cmp(&b.name));
        Self { mode: Some(mode.to_owned()), controllers }
    }
}

fn controller(name: &str, own: &Path, unified: bool) -> ControllerFacts {
    let mut files = Vec::new();
    let trial = Trial::of(with_group(own, |group| {
        let entries = fs::read_dir(group).map_err(at("list the group"))?;
        let prefix = format!("{name}.");
        let named = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok());
        files = named.filter(|file| file.starts_with(&prefix) && TOLD.contains(&file.as_str())).collect();
        files.sort();
        Ok(own.display().to_string())
    }));
    ControllerFacts { name: name.to_owned(), unified, trial, files }
}

/// Makes a group, looks at it and removes it. In v2 the one above the own group is taken when
/// the own one has processes, which may then have no groups with limits below.
fn with_group(own: &Path, look: impl FnOnce(&Path) -> io::Result<String>) -> io::Result<String> {
    let group: PathBuf = own.join(format!("strake-check-{}", std::process::id()));
    fs::create_dir(&group).map_err(at("make a group"))?;
    let looked = look(&group);
    fs::remove_dir(&group).map_err(at("remove a group"))?;
    looked
}

/// Files that decide whether an option of `run` has an effect.
const TOLD: [&str; 17] = [
    "blkio.bfq.weight",
    "blkio.throttle.read_bps_device",
    "blkio.weight",
    "cpu.cfs_quota_us",
    "cpu.max",
    "cpu.rt_runtime_us",
    "cpu.shares",
    "cpu.weight",
    "cpuset.cpus",
    "freezer.state",
    "io.max",
    "io.weight",
    "memory.limit_in_bytes",
    "memory.max",
    "memory.memsw.limit_in_bytes",
    "memory.swap.max",
    "pids.max",
];
