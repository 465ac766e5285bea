//! What [`crate::Stats`] leaves out since few ask for it: the whole of `memory.stat`, time by
//! CPU, and huge pages.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::cgroup::Cgroup;
use crate::stats::table;
use crate::write::read_number;

/// Numbers for monitors.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Details {
    /// `memory.stat` as the kernel has it.
    pub memory_stat: BTreeMap<String, u64>,
    /// Nanoseconds used on each CPU; v1 only.
    pub usage_of_cpus_ns: Vec<u64>,
    /// Of these in the kernel, on each CPU.
    pub usage_of_cpus_kernel_ns: Vec<u64>,
    /// And in programs.
    pub usage_of_cpus_user_ns: Vec<u64>,
    /// Huge pages, by size as `2MB`.
    pub hugetlb: BTreeMap<String, HugetlbStats>,
    /// How often the limit of memory and swap was hit; v1 only.
    pub swap_limit_hits: u64,
    /// Memory of the kernel; v1 only.
    pub kernel_memory: KernelMemory,
    /// Buffers of TCP; v1 only.
    pub kernel_tcp_memory: KernelMemory,
    /// CPUs of its cpuset.
    pub cpus: Vec<u16>,
    /// Memory nodes of its cpuset.
    pub mems: Vec<u16>,
    /// The cpuset's numbers, as `cpu_exclusive`; v1 only.
    pub cpuset: BTreeMap<String, i64>,
    /// `cpu`, `memory` and `io` → `some` and `full`; v2 only.
    pub pressure: BTreeMap<String, BTreeMap<String, Pressure>>,
}

/// Kernel memory in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// In use now.
    pub usage_bytes: u64,
    /// The most that was ever in use.
    pub peak_bytes: u64,
    /// The limit.
    pub limit_bytes: u64,
    /// How often it was hit.
    pub limit_hits: u64,
}

/// A line of a pressure file: the kernel's `psi.rst`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Pressure {
    /// Percent of the last 10 s.
    pub avg10: f64,
    /// Percent of the last minute.
    pub avg60: f64,
    /// Percent of the last five minutes.
    pub avg300: f64,
    /// Microseconds in all.
    pub total_us: u64,
}

/// Huge pages of one size, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HugetlbStats {
    /// In use now.
    pub usage_bytes: u64,
    /// The most that was ever in use; v1 only.
    pub peak_bytes: u64,
    /// How often the limit was hit.
    pub limit_hits: u64,
}

impl Cgroup {
    /// Reads them. What cannot be read is empty.
    pub fn details(&self) -> Details {
        let memory_stat =
            self.dir_of("memory").map(|dir| table(&dir.join("memory.stat"))).unwrap_or_default();
        let percpu = self.v1_dir("cpuacct").map(|dir| text(&dir.join("cpuacct.usage_percpu")));
        let percpu = percpu.unwrap_or_default();
        let all = self.v1_dir("cpuacct").map(|dir| text(&dir.join("cpuacct.usage_all"))).unwrap_or_default();
        let memory = self.v1_dir("memory");
        let cpuset = self.v1_dir("cpuset");
        let list = |file: &str| cpuset.map(|dir| numbers(&text(&dir.join(file)))).unwrap_or_default();
        Details {
            memory_stat,
            usage_of_cpus_ns: percpu.split_whitespace().filter_map(|word| word.parse().ok()).collect(),
            usage_of_cpus_user_ns: column(&all, 1),
            usage_of_cpus_kernel_ns: column(&all, 2),
            hugetlb: self.dir_of("hugetlb").map(hugetlb).unwrap_or_default(),
            swap_limit_hits: memory
                .and_then(|dir| read_number(&dir.join("memory.memsw.failcnt")))
                .unwrap_or(0),
            kernel_memory: memory.map(|dir| kernel_memory(dir, "memory.kmem")).unwrap_or_default(),
            kernel_tcp_memory: memory.map(|dir| kernel_memory(dir, "memory.kmem.tcp")).unwrap_or_default(),
            cpus: list("cpuset.cpus"),
            mems: list("cpuset.mems"),
            cpuset: cpuset.map(cpuset_numbers).unwrap_or_default(),
            pressure: self.v2_dir().map(pressure).unwrap_or_default(),
        }
    }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// A column of `cpuacct.usage_all`, without its head.
fn column(all: &str, at: usize) -> Vec<u64> {
    all.lines().skip(1).filter_map(|line| line.split_whitespace().nth(at)?.parse().ok()).collect()
}

/// `0-2,5`.
fn numbers(list: &str) -> Vec<u16> {
    let range = |part: &str| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.parse::<u16>().ok()?..=last.parse::<u16>().ok()?)
    };
    list.trim().split(',').filter_map(range).flatten().collect()
}

fn kernel_memory(dir: &Path, stem: &str) -> KernelMemory {
    let number = |file: &str| read_number(&dir.join(format!("{stem}.{file}"))).unwrap_or(0);
    KernelMemory {
        usage_bytes: number("usage_in_bytes"),
        peak_bytes: number("max_usage_in_bytes"),
        limit_bytes: number("limit_in_bytes"),
        limit_hits: number("failcnt"),
    }
}

fn cpuset_numbers(dir: &Path) -> BTreeMap<String, i64> {
    let of = |name: &&str| {
        Some(((*name).to_owned(), text(&dir.join(format!("cpuset.{name}"))).trim().parse().ok()?))
    };
    CPUSET_NUMBERS.iter().filter_map(of).collect()
}

fn pressure(dir: &Path) -> BTreeMap<String, BTreeMap<String, Pressure>> {
    let of = |name: &str| (name.to_owned(), pressures(&text(&dir.join(format!("{name}.pressure")))));
    ["cpu", "memory", "io"].map(of).into_iter().filter(|(_, lines)| !lines.is_empty()).collect()
}

/// `some avg10=0.00 avg60=0.00 avg300=0.00 total=0`.
fn pressures(text: &str) -> BTreeMap<String, Pressure> {
    let line = |line: &str| {
        let (kind, rest) = line.split_once(' ')?;
        let value = |name: &str| rest.split(' ').find_map(|word| word.strip_prefix(name)?.strip_prefix('='));
        let percent = |name| value(name)?.parse().ok();
        let total_us = value("total")?.parse().ok()?;
        let pressure = Pressure {
            avg10: percent("avg10")?,
            avg60: percent("avg60")?,
            avg300: percent("avg300")?,
            total_us,
        };
        Some((kind.to_owned(), pressure))
    };
    text.lines().filter_map(line).collect()
}

const CPUSET_NUMBERS: &[&str] = &[
    "cpu_exclusive",
    "mem_hardwall",
    "mem_exclusive",
    "memory_migrate",
    "memory_spread_page",
    "memory_spread_slab",
    "memory_pressure",
    "sched_load_balance",
    "sched_relax_domain_level",
];

fn hugetlb(dir: &Path) -> BTreeMap<String, HugetlbStats> {
    let names = fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let sizes = names.filter_map(|name| {
        let size = name.to_str()?.strip_prefix("hugetlb.")?;
        size.strip_suffix(".limit_in_bytes").or(size.strip_suffix(".max")).map(str::to_owned)
    });
    sizes.filter(|size| !size.contains('.')).map(|size| (size.clone(), hugetlb_of(dir, &size))).collect()
}

fn hugetlb_of(dir: &Path, size: &str) -> HugetlbStats {
    let number = |file: &str| read_number(&dir.join(format!("hugetlb.{size}.{file}")));
    let events = table(&dir.join(format!("hugetlb.{size}.events")));
    HugetlbStats {
        usage_bytes: number("usage_in_bytes").or(number("current")).unwrap_or(0),
        peak_bytes: number("max_usage_in_bytes").unwrap_or(0),
        limit_hits: number("failcnt").or(events.get("max").copied()).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_files() {
        assert_eq!(numbers("0-2,5\n"), [0, 1, 2, 5]);
        assert_eq!(numbers("\n"), [] as [u16; 0]);
        assert_eq!(column("cpu user system\n0 7 8\n1 9 10\n", 2), [8, 10]);
        let found = pressures("some avg10=1.50 avg60=0.00 avg300=0.00 total=42\nbroken\n");
        assert_eq!(found["some"], Pressure { avg10: 1.5, total_us: 42, ..Pressure::default() });
        assert_eq!(found.len(), 1);
    }

    #[test]
    fn huge_pages_are_found_by_their_files_in_both_versions() {
        let dir = std::env::temp_dir().join(format!("hugetlb-{}", std::process::id()));
        fs::create_dir_all(&dir).unwrap();
        for (file, text) in [
            ("hugetlb.2MB.limit_in_bytes", "9"),
            ("hugetlb.2MB.usage_in_bytes", "4194304"),
            ("hugetlb.2MB.failcnt", "3"),
            ("hugetlb.2MB.rsvd.limit_in_bytes", "9"),
            ("hugetlb.1GB.max", "max"),
            ("hugetlb.1GB.current", "0"),
            ("hugetlb.1GB.events", "max 7"),
        ] {
            fs::write(dir.join(file), text).unwrap();
        }
        let found = hugetlb(&dir);
        fs::remove_dir_all(&dir).unwrap();
        let v1 = HugetlbStats { usage_bytes: 4 << 20, peak_bytes: 0, limit_hits: 3 };
        let v2 = HugetlbStats { limit_hits: 7, ..HugetlbStats::default() };
        assert_eq!(found, BTreeMap::from([("1GB".to_owned(), v2), ("2MB".to_owned(), v1)]));
    }
}
