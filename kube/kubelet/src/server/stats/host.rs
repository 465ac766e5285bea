//! The node's own figures, from `/proc`.

use std::fs;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use super::figures::{Cpu, FileSystem, Host, Memory, Usage};
use crate::server::Server;

/// The unit of times in `/proc/stat`, on every architecture that Linux has today.
const TICKS_PER_SECOND: u64 = 100;

impl Server {
    /// What the node uses now.
    pub(super) fn host(&self) -> Host {
        let time = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = i64::try_from(time.as_nanos()).unwrap_or(i64::MAX);
        let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
        let stat = read("/proc/stat");
        let mut usage = Usage { memory: memory(&read("/proc/meminfo"), time), ..Usage::default() };
        usage.cpu = cpu_time(&stat).map(|cumulative| Cpu {
            time,
            cumulative,
            rate: self.samples.rate("", time, cumulative),
        });
        Host {
            usage,
            time,
            started: field(&stat, "btime").and_then(|value| value.parse().ok()).unwrap_or_default(),
            disk: file_system(&self.root),
            processes: processes(&read("/proc/loadavg")),
            processes_max: read("/proc/sys/kernel/pid_max").trim().parse().unwrap_or_default(),
        }
    }
}

/// Nanoseconds that all cores have worked.
fn cpu_time(stat: &str) -> Option<u64> {
    let fields: Vec<u64> =
        field(stat, "cpu")?.split_whitespace().map_while(|word| word.parse().ok()).collect();
    // user, nice, system, (idle, iowait,) irq, softirq, steal; guests are in user already.
    let busy = [0, 1, 2, 5, 6, 7].iter().filter_map(|at| fields.get(*at)).sum::<u64>();
    busy.checked_mul(1_000_000_000 / TICKS_PER_SECOND)
}

/// What is used, and not only by caches that can go.
fn memory(meminfo: &str, time: i64) -> Option<Memory> {
    let bytes = |name: &str| {
        let value = field(meminfo, name)?.split_whitespace().next()?.parse::<u64>().ok()?;
        Some(value * 1024)
    };
    let (total, free) = (bytes("MemTotal:")?, bytes("MemFree:")?);
    let usage = total.saturating_sub(free);
    let working_set = usage.saturating_sub(bytes("Inactive(file):").unwrap_or_default());
    Some(Memory {
        time,
        working_set,
        usage: Some(usage),
        rss: bytes("AnonPages:"),
        available: Some(total.saturating_sub(working_set)),
        page_faults: None,
        major_page_faults: None,
    })
}

/// What follows a name at the beginning of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let found = text.lines().find_map(|line| line.strip_prefix(name).filter(|rest| rest.starts_with(' ')));
    found.map(str::trim)
}

/// `1.00 1.00 1.00 2/345 678`.
fn processes(load: &str) -> u64 {
    let counts = load.split_whitespace().nth(3).and_then(|word| word.split_once('/'));
    counts.and_then(|(_, all)| all.parse().ok()).unwrap_or_default()
}

pub(super) fn file_system(path: &Path) -> Option<FileSystem> {
    let found = rustix::fs::statvfs(path).ok()?;
    Some(FileSystem {
        capacity: found.f_blocks * found.f_frsize,
        available: found.f_bavail * found.f_frsize,
        used: found.f_blocks.saturating_sub(found.f_bfree) * found.f_frsize,
        inodes: found.f_files,
        inodes_free: found.f_ffree,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_proc() {
        let stat = "cpu  100 10 50 1000 20 5 5 30 7 7\ncpu0 1 2 3\nbtime 1700000000\n";
        assert_eq!(cpu_time(stat), Some(200 * 10_000_000));
        assert_eq!(field(stat, "btime"), Some("1700000000"));
        assert_eq!((cpu_time(""), cpu_time("cpu0 1 2")), (None, None));
        let meminfo = "MemTotal:       1000 kB\nMemFree:  400 kB\nAnonPages: 9 kB\nInactive(file): 100 kB\n";
        let memory = memory(meminfo, 1).unwrap();
        assert_eq!((memory.working_set, memory.available), (500 * 1024, Some(500 * 1024)));
        assert_eq!(processes("0.1 0.2 0.3 2/345 678\n"), 345);
    }
}
