//! The cgroup trees as one: a group that has the same path in several trees is one
//! group.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::Serialize;

use super::{Hierarchy, Version};

/// A group, in every tree that has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Group {
    /// `/strake/abc`.
    pub path: String,
    /// The trees in which it exists: `memory`, `cpu`, `v2`…
    pub trees: Vec<String>,
    /// The processes in it, by any tree; not those in groups below.
    pub pids: Vec<i32>,
    /// Memory charged to it and below.
    pub memory_bytes: Option<u64>,
    /// Its own memory limit.
    pub memory_limit_bytes: Option<u64>,
    /// CPU time used by it and below.
    pub cpu_micros: Option<u64>,
}

/// All groups at or below `top`, parents before children.
pub fn tree(hierarchies: &[Hierarchy], top: &str) -> Vec<Group> {
    let mut groups = BTreeMap::new();
    for hierarchy in hierarchies {
        if let Some(directory) = hierarchy.directory(top) {
            let path = if top.len() > 1 { top.trim_end_matches('/') } else { "" };
            walk(hierarchy, &directory, path, &mut groups);
        }
    }
    groups.into_values().collect()
}

/// Ordered by path parts, so that `/a/b` comes before `/a-c`.
type Groups = BTreeMap<Vec<String>, Group>;

fn walk(hierarchy: &Hierarchy, top: &Path, path: &str, groups: &mut Groups) {
    let mut open = vec![(top.to_owned(), path.to_owned())];
    while let Some((directory, path)) = open.pop() {
        // A group that is removed meanwhile is simply not in the picture.
        let Ok(entries) = fs::read_dir(&directory) else { continue };
        let key = path.split('/').map(str::to_owned).collect();
        let shown = if path.is_empty() { "/".to_owned() } else { path.clone() };
        let group = groups.entry(key).or_insert_with(|| Group { path: shown, ..Group::default() });
        look_at(hierarchy, &directory, group);
        for entry in entries.flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let name = entry.file_name();
                open.push((directory.join(&name), format!("{path}/{}", name.to_string_lossy())));
            }
        }
    }
}

fn look_at(hierarchy: &Hierarchy, directory: &Path, group: &mut Group) {
    group.trees.push(hierarchy.label());
    let text = |name: &str| fs::read_to_string(directory.join(name)).ok();
    let number = |name: &str| text(name)?.trim().parse::<u64>().ok();
    for pid in text("cgroup.procs").unwrap_or_default().lines().filter_map(|line| line.parse().ok()) {
        if let Err(at) = group.pids.binary_search(&pid) {
            group.pids.insert(at, pid);
        }
    }
    let (used, limit) = match hierarchy.version {
        Version::V1 => ("memory.usage_in_bytes", "memory.limit_in_bytes"),
        Version::V2 => ("memory.current", "memory.max"),
    };
    group.memory_bytes = group.memory_bytes.or_else(|| number(used));
    group.memory_limit_bytes =
        group.memory_limit_bytes.or_else(|| number(limit).filter(|limit| *limit < 1 << 62));
    let spent = match hierarchy.version {
        Version::V1 => number("cpuacct.usage").map(|nanos| nanos / 1000),
        Version::V2 => text("cpu.stat").and_then(|stat| {
            stat.lines().find_map(|line| line.strip_prefix("usage_usec ")?.trim().parse().ok())
        }),
    };
    group.cpu_micros = group.cpu_micros.or(spent);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    #[test]
    fn merges_the_trees_by_path() {
        let top = std::env::temp_dir().join(format!("inspect-tree-{}", std::process::id()));
        for (file, text) in [
            ("memory/cgroup.procs", "1\n"),
            ("memory/a/cgroup.procs", "5\n9\n"),
            ("memory/a/memory.usage_in_bytes", "4096\n"),
            ("memory/a-b/cgroup.procs", ""),
            ("memory/a/sub/cgroup.procs", ""),
            ("pids/a/cgroup.procs", "9\n7\n"),
        ] {
            let path = top.join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let hierarchy = |name: &str| Hierarchy {
            version: Version::V1,
            controllers: vec![name.to_owned()],
            mount_point: PathBuf::from(&top).join(name),
            root: "/".to_owned(),
        };
        let both = [hierarchy("memory"), hierarchy("pids")];
        let all = tree(&both, "/");
        let below = tree(&both, "/a");
        fs::remove_dir_all(&top).unwrap();

        assert_eq!(all.iter().map(|g| g.path.as_str()).collect::<Vec<_>>(), ["/", "/a", "/a/sub", "/a-b"]);
        assert_eq!((all[1].pids.as_slice(), all[1].memory_bytes), (&[5, 7, 9][..], Some(4096)));
        assert_eq!(all[1].trees, ["memory", "pids"]);
        assert_eq!(below.iter().map(|g| g.path.as_str()).collect::<Vec<_>>(), ["/a", "/a/sub"]);
        assert!(tree(&both, "/none").is_empty());
    }
}
