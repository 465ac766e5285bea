//! What a cgroup uses, and what it may use.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;
use crate::write::read_number;

/// Use and limits. A value that this kernel or layout does not have is `None`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Stats {
    /// Memory.
    pub memory: MemoryStats,
    /// CPU time.
    pub cpu: CpuStats,
    /// Processes and threads.
    pub pids: PidsStats,
    /// Block devices, by number.
    pub io: Vec<IoStats>,
}

/// Memory, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct MemoryStats {
    /// In use now, page cache included.
    pub usage_bytes: Option<u64>,
    /// The most that was ever in use.
    pub peak_bytes: Option<u64>,
    /// The limit; `None` is no limit.
    pub limit_bytes: Option<u64>,
    /// Swap in use, without memory.
    pub swap_usage_bytes: Option<u64>,
    /// The limit of swap alone; `None` is no limit.
    pub swap_limit_bytes: Option<u64>,
    /// Memory of processes that no file backs.
    pub anonymous_bytes: Option<u64>,
    /// Page cache.
    pub file_bytes: Option<u64>,
    /// Page cache that would go first: `usage - inactive_file` is what tools show as used.
    pub inactive_file_bytes: Option<u64>,
    /// How often the limit was hit.
    pub limit_hits: Option<u64>,
    /// How many processes were killed for lack of memory.
    pub oom_kills: Option<u64>,
}

/// CPU time, in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CpuStats {
    /// Used in total.
    pub usage_ns: Option<u64>,
    /// Used in user space.
    pub user_ns: Option<u64>,
    /// Used in the kernel.
    pub system_ns: Option<u64>,
    /// CPU time allowed in each period; `None` is no limit.
    pub quota_us: Option<u64>,
    /// Length of a period.
    pub period_us: Option<u64>,
    /// v1's relative share.
    pub shares: Option<u64>,
    /// v2's relative weight.
    pub weight: Option<u64>,
    /// Periods in which anything ran.
    pub periods: Option<u64>,
    /// Periods in which the quota was used up.
    pub throttled_periods: Option<u64>,
    /// How long processes had to wait for the next period.
    pub throttled_ns: Option<u64>,
}

/// Processes and threads.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct PidsStats {
    /// Now.
    pub current: Option<u64>,
    /// The most that there ever were.
    pub peak: Option<u64>,
    /// The limit; `None` is no limit.
    pub limit: Option<u64>,
    /// How often a fork failed because of it.
    pub limit_hits: Option<u64>,
}

/// One block device.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct IoStats {
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Bytes read.
    pub read_bytes: u64,
    /// Bytes written.
    pub write_bytes: u64,
    /// Reads.
    pub reads: u64,
    /// Writes.
    pub writes: u64,
}

impl Cgroup {
    /// Reads everything there is. What cannot be read is `None`.
    pub fn stats(&self) -> Stats {
        Stats { memory: self.memory(), cpu: self.cpu(), pids: self.pids_stats(), io: self.io() }
    }

    fn memory(&self) -> MemoryStats {
        if let Some(dir) = self.v1_dir("memory") {
            return memory_v1(dir);
        }
        self.v2_dir().map(memory_v2).unwrap_or_default()
    }

    fn cpu(&self) -> CpuStats {
        let (cpu, cpuacct) = (self.v1_dir("cpu"), self.v1_dir("cpuacct"));
        if cpu.is_some() || cpuacct.is_some() {
            return cpu_v1(cpu, cpuacct);
        }
        self.v2_dir().map(cpu_v2).unwrap_or_default()
    }

    fn pids_stats(&self) -> PidsStats {
        let Some(dir) = self.dir_of("pids") else { return PidsStats::default() };
        PidsStats {
            current: read_number(&dir.join("pids.current")),
            peak: read_number(&dir.join("pids.peak")),
            limit: read_number(&dir.join("pids.max")),
            limit_hits: table(&dir.join("pids.events")).get("max").copied(),
        }
    }

    fn io(&self) -> Vec<IoStats> {
        let read = |path: &Path| fs::read_to_string(path).unwrap_or_default();
        if let Some(dir) = self.v1_dir("blkio") {
            let bytes = read(&dir.join("blkio.throttle.io_service_bytes_recursive"));
            return io_v1(&bytes, &read(&dir.join("blkio.throttle.io_serviced_recursive")));
        }
        self.v2_dir().map(|dir| io_v2(&read(&dir.join("io.stat")))).unwrap_or_default()
    }
}

fn memory_v1(dir: &Path) -> MemoryStats {
    let number = |file: &str| read_number(&dir.join(file));
    let limit = |file: &str| number(file).filter(|value| *value < V1_UNLIMITED);
    let stat = table(&dir.join("memory.stat"));
    let memory = limit("memory.limit_in_bytes");
    let both = limit("memory.memsw.limit_in_bytes");
    MemoryStats {
        usage_bytes: number("memory.usage_in_bytes"),
        peak_bytes: number("memory.max_usage_in_bytes"),
        limit_bytes: memory,
        swap_usage_bytes: stat.get("total_swap").copied(),
        swap_limit_bytes: both.zip(memory).map(|(both, memory)| both.saturating_sub(memory)),
        anonymous_bytes: stat.get("total_rss").copied(),
        file_bytes: stat.get("total_cache").copied(),
        inactive_file_bytes: stat.get("total_inactive_file").copied(),
        limit_hits: number("memory.failcnt"),
        oom_kills: table(&dir.join("memory.oom_control")).get("oom_kill").copied(),
    }
}

fn memory_v2(dir: &Path) -> MemoryStats {
    let number = |file: &str| read_number(&dir.join(file));
    let stat = table(&dir.join("memory.stat"));
    let events = table(&dir.join("memory.events"));
    MemoryStats {
        usage_bytes: number("memory.current"),
        peak_bytes: number("memory.peak"),
        limit_bytes: number("memory.max"),
        swap_usage_bytes: number("memory.swap.current"),
        swap_limit_bytes: number("memory.swap.max"),
        anonymous_bytes: stat.get("anon").copied(),
        file_bytes: stat.get("file").copied(),
        inactive_file_bytes: stat.get("inactive_file").copied(),
        limit_hits: events.get("max").copied(),
        oom_kills: events.get("oom_kill").copied(),
    }
}

fn cpu_v1(cpu: Option<&Path>, cpuacct: Option<&Path>) -> CpuStats {
    let number = |dir: Option<&Path>, file: &str| dir.and_then(|dir| read_number(&dir.join(file)));
    let stat = cpu.map(|dir| table(&dir.join("cpu.stat"))).unwrap_or_default();
    CpuStats {
        usage_ns: number(cpuacct, "cpuacct.usage"),
        user_ns: number(cpuacct, "cpuacct.usage_user"),
        system_ns: number(cpuacct, "cpuacct.usage_sys"),
        quota_us: number(cpu, "cpu.cfs_quota_us"),
        period_us: number(cpu, "cpu.cfs_period_us"),
        shares: number(cpu, "cpu.shares"),
        weight: None,
        periods: stat.get("nr_periods").copied(),
        throttled_periods: stat.get("nr_throttled").copied(),
        throttled_ns: stat.get("throttled_time").copied(),
    }
}

fn cpu_v2(dir: &Path) -> CpuStats {
    let stat = table(&dir.join("cpu.stat"));
    let from_us = |key: &str| stat.get(key).map(|us| us.saturating_mul(1000));
    let max = fs::read_to_string(dir.join("cpu.max")).unwrap_or_default();
    let mut max = max.split_whitespace().map(|word| word.parse().ok());
    CpuStats {
        usage_ns: from_us("usage_usec"),
        user_ns: from_us("user_usec"),
        system_ns: from_us("system_usec"),
        quota_us: max.next().flatten(),
        period_us: max.next().flatten(),
        shares: None,
        weight: read_number(&dir.join("cpu.weight")),
        periods: stat.get("nr_periods").copied(),
        throttled_periods: stat.get("nr_throttled").copied(),
        throttled_ns: from_us("throttled_usec"),
    }
}

/// `8:0 Read 4096` in two files.
fn io_v1(bytes: &str, operations: &str) -> Vec<IoStats> {
    let mut devices: BTreeMap<(u32, u32), IoStats> = BTreeMap::new();
    for (text, is_bytes) in [(bytes, true), (operations, false)] {
        for line in text.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let [device, operation, value] = words[..] else { continue };
            let (Some(number), Ok(value)) = (device_number(device), value.parse()) else { continue };
            let entry = devices.entry(number).or_insert_with(|| io_of(number));
            match (operation, is_bytes) {
                ("Read", true) => entry.read_bytes = value,
                ("Write", true) => entry.write_bytes = value,
                ("Read", false) => entry.reads = value,
                ("Write", false) => entry.writes = value,
                _ => {}
            }
        }
    }
    devices.into_values().collect()
}

/// `8:0 rbytes=4096 wbytes=0 rios=1 wios=0`
fn io_v2(text: &str) -> Vec<IoStats> {
    let mut devices = Vec::new();
    for line in text.lines() {
        let mut words = line.split_whitespace();
        let Some(number) = words.next().and_then(device_number) else { continue };
        let mut entry = io_of(number);
        for (key, value) in words.filter_map(|word| word.split_once('=')) {
            let value = value.parse().unwrap_or(0);
            match key {
                "rbytes" => entry.read_bytes = value,
                "wbytes" => entry.write_bytes = value,
                "rios" => entry.reads = value,
                "wios" => entry.writes = value,
                _ => {}
            }
        }
        devices.push(entry);
    }
    devices
}

fn io_of((major, minor): (u32, u32)) -> IoStats {
    IoStats { major, minor, ..IoStats::default() }
}

fn device_number(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.split_once(':')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// A file of `key value` lines.
pub(crate) fn table(path: &Path) -> BTreeMap<String, u64> {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.lines()
        .filter_map(|line| line.split_once(' '))
        .filter_map(|(key, value)| Some((key.to_owned(), value.trim().parse().ok()?)))
        .collect()
}

/// v1 writes "no limit" as the largest number of pages, in bytes.
const V1_UNLIMITED: u64 = i64::MAX as u64 & !0xffff;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_block_devices() {
        let bytes = "8:0 Read 4096\n8:0 Write 10\n8:0 Sync 1\n8:0 Total 4106\n259:1 Read 7\nTotal 4113\n";
        let operations = "8:0 Read 1\n8:0 Write 2\nTotal 3\n";
        let expected = IoStats { major: 8, minor: 0, read_bytes: 4096, write_bytes: 10, reads: 1, writes: 2 };
        let devices = io_v1(bytes, operations);
        assert_eq!(devices[0], expected);
        assert_eq!((devices[1].major, devices[1].read_bytes), (259, 7));
        assert_eq!(io_v2("8:0 rbytes=4096 wbytes=10 rios=1 wios=2 dbytes=0 dios=0\n8:16 \n")[0], expected);
    }
}
