//! Limits, use, peaks and pressure of a process's groups, v1 and v2 as one table.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::{Placement, Version};
use crate::sourced::Sourced;

/// A number with the file it was read from; `None` when the kernel has no such file.
type Figure = Option<Sourced<u64>>;
/// A limit: inside, `None` means unlimited.
type Limit = Option<Sourced<Option<u64>>>;

/// What the groups of one process say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Resources {
    /// The memory controller.
    pub memory: Option<Memory>,
    /// The CPU controller.
    pub cpu: Option<Cpu>,
    /// The PIDs controller.
    pub pids: Option<Pids>,
    /// CPUs that may be used, as a list (`0-3`).
    pub cpus: Option<Sourced<String>>,
    /// Whether the group is frozen.
    pub freezer: Option<Freezer>,
}

/// Memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Memory {
    /// The group's own limit.
    pub limit_bytes: Limit,
    /// The tightest limit on the way up to the root.
    pub effective_limit_bytes: Limit,
    /// Charged now.
    pub used_bytes: Figure,
    /// The most that ever was.
    pub peak_bytes: Figure,
    /// v1: memory and swap together; v2: swap alone.
    pub swap_limit_bytes: Limit,
    /// How often an allocation met the limit.
    pub limit_hits: Figure,
    /// Processes that the OOM killer ended here.
    pub oom_kills: Figure,
}

/// CPU time.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cpu {
    /// Microseconds of CPU in each period.
    pub quota_micros: Limit,
    /// Length of the period.
    pub period_micros: Figure,
    /// v1 shares (1024 is usual) or v2 weight (100 is usual).
    pub weight: Figure,
    /// Periods that passed while something was runnable.
    pub periods: Figure,
    /// Of these, in how many the quota ran out.
    pub throttled_periods: Figure,
    /// For how long.
    pub throttled_micros: Figure,
    /// CPU time used.
    pub used_micros: Figure,
}

/// Number of processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Pids {
    /// The limit.
    pub limit: Limit,
    /// Now.
    pub used: Figure,
    /// The most that ever was (Linux ≥ 6.1 on v2).
    pub peak: Figure,
    /// Forks that were refused.
    pub refused: Figure,
}

/// Freezer state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Freezer {
    /// Do its tasks stand still?
    pub frozen: Sourced<bool>,
}

impl Resources {
    /// Reads the groups at `placements`.
    pub fn read(placements: &[Placement]) -> Self {
        let unified = placements.iter().find(|p| p.version == Version::V2).and_then(Files::of);
        let of = |controller: &str, file: &str| {
            let v1 = placements.iter().find(|p| p.controllers.iter().any(|name| name == controller));
            match v1 {
                Some(placement) => Files::of(placement).map(|files| (Version::V1, files)),
                // A v2 group shows a controller's files only if it is enabled for it.
                None => unified.clone().filter(|files| files.has(file)).map(|files| (Version::V2, files)),
            }
        };
        Self {
            memory: of("memory", "memory.current").map(|(version, files)| memory(version, &files)),
            cpu: of("cpu", "cpu.stat").map(|(version, files)| {
                let accounting = of("cpuacct", "cpu.stat").map(|(_, files)| files);
                cpu(version, &files, accounting.as_ref())
            }),
            pids: of("pids", "pids.current").map(|(_, files)| pids(&files)),
            cpus: of("cpuset", "cpuset.cpus.effective").and_then(|(version, files)| {
                files.text(if version == Version::V1 { "cpuset.cpus" } else { "cpuset.cpus.effective" })
            }),
            freezer: of("freezer", "cgroup.freeze").and_then(|(version, files)| freezer(version, &files)),
        }
    }
}

fn memory(version: Version, files: &Files) -> Memory {
    match version {
        Version::V1 => Memory {
            limit_bytes: files.limit("memory.limit_in_bytes"),
            effective_limit_bytes: files
                .keyed("memory.stat", "hierarchical_memory_limit")
                .map(|found| found.map(finite)),
            used_bytes: files.number("memory.usage_in_bytes"),
            peak_bytes: files.number("memory.max_usage_in_bytes"),
            swap_limit_bytes: files.limit("memory.memsw.limit_in_bytes"),
            limit_hits: files.number("memory.failcnt"),
            // Since Linux 4.13.
            oom_kills: files.keyed("memory.oom_control", "oom_kill"),
        },
        Version::V2 => Memory {
            limit_bytes: files.limit("memory.max"),
            effective_limit_bytes: files.tightest("memory.max"),
            used_bytes: files.number("memory.current"),
            // Since Linux 5.19.
            peak_bytes: files.number("memory.peak"),
            swap_limit_bytes: files.limit("memory.swap.max"),
            limit_hits: files.keyed("memory.events", "max"),
            oom_kills: files.keyed("memory.events", "oom_kill"),
        },
    }
}

fn cpu(version: Version, files: &Files, accounting: Option<&Files>) -> Cpu {
    let periods = files.keyed("cpu.stat", "nr_periods");
    let throttled_periods = files.keyed("cpu.stat", "nr_throttled");
    match version {
        Version::V1 => Cpu {
            // -1 is no quota.
            quota_micros: files.limit("cpu.cfs_quota_us"),
            period_micros: files.number("cpu.cfs_period_us"),
            weight: files.number("cpu.shares"),
            periods,
            throttled_periods,
            throttled_micros: files.keyed("cpu.stat", "throttled_time").map(nanos_to_micros),
            used_micros: accounting.and_then(|files| files.number("cpuacct.usage")).map(nanos_to_micros),
        },
        Version::V2 => Cpu {
            quota_micros: files.text("cpu.max").map(|max| max.map(|text| first_limit(&text))),
            period_micros: files.text("cpu.max").and_then(second_word),
            weight: files.number("cpu.weight"),
            periods,
            throttled_periods,
            throttled_micros: files.keyed("cpu.stat", "throttled_usec"),
            used_micros: files.keyed("cpu.stat", "usage_usec"),
        },
    }
}

fn pids(files: &Files) -> Pids {
    Pids {
        limit: files.limit("pids.max"),
        used: files.number("pids.current"),
        peak: files.number("pids.peak"),
        refused: files.keyed("pids.events", "max"),
    }
}

fn freezer(version: Version, files: &Files) -> Option<Freezer> {
    let frozen = match version {
        Version::V1 => files.text("freezer.state")?.map(|state| state == "FROZEN"),
        Version::V2 => files.keyed("cgroup.events", "frozen")?.map(|frozen| frozen == 1),
    };
    Some(Freezer { frozen })
}

/// The files of one group.
#[derive(Clone)]
struct Files {
    directory: PathBuf,
    /// How many levels there are above it in the tree, at most.
    depth: usize,
}

impl Files {
    fn of(placement: &Placement) -> Option<Self> {
        let depth = placement.path.split('/').filter(|part| !part.is_empty()).count();
        Some(Self { directory: placement.directory.clone()?, depth })
    }

    fn has(&self, name: &str) -> bool {
        self.directory.join(name).exists()
    }

    fn text(&self, name: &str) -> Option<Sourced<String>> {
        read(&self.directory.join(name))
    }

    fn number(&self, name: &str) -> Figure {
        let text = self.text(name)?;
        let value = text.value.parse().ok()?;
        Some(Sourced::new(value, text.source))
    }

    fn limit(&self, name: &str) -> Limit {
        Some(self.text(name)?.map(|text| first_limit(&text)))
    }

    fn keyed(&self, name: &str, key: &str) -> Figure {
        let text = self.text(name)?;
        let value = keyed(&text.value, key)?;
        Some(Sourced::new(value, text.source))
    }

    /// The smallest value of a limit file from here up to the root.
    fn tightest(&self, name: &str) -> Limit {
        let levels = self.directory.ancestors().take(self.depth + 1);
        let limits =
            levels.filter_map(|level| read(&level.join(name))).map(|text| text.map(|t| first_limit(&t)));
        limits.min_by_key(|limit| limit.value.unwrap_or(u64::MAX))
    }
}

fn read(path: &Path) -> Option<Sourced<String>> {
    let text = fs::read_to_string(path).ok()?;
    Some(Sourced::new(text.trim().to_owned(), path.display().to_string()))
}

/// `KEY VALUE` lines.
fn keyed(text: &str, key: &str) -> Option<u64> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once(' ')?;
        (name == key).then(|| value.trim().parse().ok()).flatten()
    })
}

/// `max`, `-1` and v1's largest number of pages mean no limit.
fn first_limit(text: &str) -> Option<u64> {
    finite(text.split_ascii_whitespace().next()?.parse().ok()?)
}

fn finite(value: u64) -> Option<u64> {
    (value < UNLIMITED).then_some(value)
}

fn second_word(text: Sourced<String>) -> Figure {
    let value = text.value.split_ascii_whitespace().nth(1)?.parse().ok()?;
    Some(Sourced::new(value, text.source))
}

fn nanos_to_micros(nanos: Sourced<u64>) -> Sourced<u64> {
    nanos.map(|nanos| nanos / 1000)
}

/// v1 rounds "no limit" down to whole pages, so anything of this size is one.
const UNLIMITED: u64 = 1 << 62;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_no_limit_in_each_spelling() {
        for text in ["max", "max 100000", "-1", "9223372036854771712", "", "x"] {
            assert_eq!(first_limit(text), None, "{text:?}");
        }
        assert_eq!(first_limit("50000 100000"), Some(50000));
        assert_eq!(first_limit("0"), Some(0));
    }

    #[test]
    fn finds_keys_exactly() {
        let text = "oom_kill_disable 0\nunder_oom 0\noom_kill 3\nbroken\n";
        assert_eq!(keyed(text, "oom_kill"), Some(3));
        assert_eq!(keyed(text, "oom"), None);
        assert_eq!(keyed("oom_kill x", "oom_kill"), None);
    }

    /// A v2 tree made of plain files: the real one is proved in the guest.
    fn unified(files: &[(&str, &str)]) -> (PathBuf, Resources) {
        let top = std::env::temp_dir().join(format!("inspect-v2-{}-{}", std::process::id(), files.len()));
        for (name, text) in files {
            let path = top.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let placement = Placement {
            version: Version::V2,
            controllers: vec![],
            path: "/a/b".to_owned(),
            directory: Some(top.join("a/b")),
        };
        let resources = Resources::read(&[placement]);
        fs::remove_dir_all(&top).unwrap();
        (top, resources)
    }

    #[test]
    fn reads_a_v2_group() {
        let (top, resources) = unified(&[
            ("a/memory.max", "1000\n"),
            ("a/b/memory.max", "max\n"),
            ("a/b/memory.current", "900\n"),
            ("a/b/memory.peak", "950\n"),
            ("a/b/memory.events", "low 0\nhigh 0\nmax 7\noom 2\noom_kill 1\n"),
            ("a/b/cpu.max", "50000 100000\n"),
            ("a/b/cpu.stat", "usage_usec 77\nnr_periods 10\nnr_throttled 4\nthrottled_usec 99\n"),
            ("a/b/pids.current", "3\n"),
            ("a/b/pids.max", "64\n"),
            ("a/b/cgroup.freeze", "0\n"),
            ("a/b/cgroup.events", "populated 1\nfrozen 0\n"),
        ]);
        let memory = resources.memory.unwrap();
        assert_eq!(memory.limit_bytes.unwrap().value, None);
        let effective = memory.effective_limit_bytes.unwrap();
        assert_eq!(
            (effective.value, effective.source),
            (Some(1000), top.join("a/memory.max").display().to_string())
        );
        assert_eq!(memory.oom_kills.unwrap().value, 1);
        let cpu = resources.cpu.unwrap();
        assert_eq!(
            (cpu.quota_micros.unwrap().value, cpu.period_micros.unwrap().value),
            (Some(50000), 100000)
        );
        assert_eq!((cpu.throttled_periods.unwrap().value, cpu.throttled_micros.unwrap().value), (4, 99));
        assert_eq!(resources.pids.unwrap().limit.unwrap().value, Some(64));
        assert!(!resources.freezer.unwrap().frozen.value);
    }

    #[test]
    fn a_v2_group_without_controllers_has_nothing_to_say() {
        let (_, resources) = unified(&[("a/b/cgroup.procs", "1\n")]);
        assert_eq!((resources.memory, resources.pids), (None, None));
    }
}
