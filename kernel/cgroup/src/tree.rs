//! All cgroups of the machine, all hierarchies in one tree.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::layout::Layout;
use crate::path::CgroupPath;
use crate::processes::children;
use crate::stats::Stats;

/// One path, in the hierarchies that have it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// From the mount points, with a leading `/`.
    pub path: String,
    /// How deep it is; the root is 0.
    pub depth: usize,
    /// The controllers of the hierarchies that have it; `unified` stands for v2.
    pub hierarchies: Vec<String>,
    /// Processes in it in any hierarchy, without those below it.
    pub processes: Vec<i32>,
    /// Use and limits.
    pub stats: Stats,
}

/// Every cgroup, parents before their children. One that goes away meanwhile is left out
/// or has no values.
pub fn tree(layout: &Layout) -> Vec<Node> {
    let mut paths: BTreeMap<Vec<String>, (Vec<String>, BTreeSet<i32>)> = BTreeMap::new();
    let mut roots: Vec<(String, &Path)> =
        layout.v1.iter().map(|v1| (v1.controllers.join(","), v1.mount_point.as_path())).collect();
    roots.extend(layout.v2.iter().map(|v2| ("unified".to_owned(), v2.mount_point.as_path())));
    for (name, mount_point) in roots {
        walk(mount_point, &mut Vec::new(), &mut |parts, dir| {
            let entry = paths.entry(parts.to_vec()).or_default();
            entry.0.push(name.clone());
            let pids = fs::read_to_string(dir.join("cgroup.procs")).unwrap_or_default();
            entry.1.extend(pids.lines().filter_map(|line| line.parse::<i32>().ok()));
        });
    }
    paths
        .into_iter()
        .map(|(parts, (hierarchies, processes))| {
            let path = format!("/{}", parts.join("/"));
            let stats = Cgroup::locate(&CgroupPath::Absolute(path.clone()), layout).stats();
            Node { depth: parts.len(), path, hierarchies, processes: processes.into_iter().collect(), stats }
        })
        .collect()
}

fn walk(dir: &Path, parts: &mut Vec<String>, visit: &mut impl FnMut(&[String], &Path)) {
    visit(parts, dir);
    for child in children(dir) {
        let Some(name) = child.file_name() else { continue };
        parts.push(name.to_string_lossy().into_owned());
        walk(&child, parts, visit);
        parts.pop();
    }
}
