//! What the kernel says of this process, under the names that Prometheus' clients have for it.

use std::fmt::Write as _;
use std::fs::{read_dir, read_to_string};

use super::head;

/// Writes what can be read.
pub(super) fn write(out: &mut String) {
    let status = read_to_string("/proc/self/status").unwrap_or_default();
    let of_status = |name: &str| first(status.lines().find_map(|line| line.strip_prefix(name))?);
    let stat = read_to_string("/proc/self/stat").unwrap_or_default();
    let of_stat = |place: usize| field(&stat, place);
    let booted = || {
        let stat = read_to_string("/proc/stat").ok()?;
        first(stat.lines().find_map(|line| line.strip_prefix("btime"))?)
    };
    let limits = || {
        let limits = read_to_string("/proc/self/limits").ok()?;
        first(limits.lines().find_map(|line| line.strip_prefix("Max open files"))?)
    };
    let seconds = |ticks: u64| ticks as f64 / TICKS_PER_SECOND;
    let whole = |number: u64| number as f64;
    let fds = || u64::try_from(read_dir("/proc/self/fd").ok()?.count()).ok();
    let cpu = || Some(of_stat(UTIME)? + of_stat(STIME)?);
    let started = || Some(whole(booted()?) + seconds(of_stat(START_TIME)?));
    for (name, kind, help, value) in [
        ("process_resident_memory_bytes", "gauge", "Resident memory.", of_status("VmRSS:").map(in_bytes)),
        ("process_virtual_memory_bytes", "gauge", "Virtual memory.", of_status("VmSize:").map(in_bytes)),
        ("process_threads", "gauge", "Threads.", of_status("Threads:").map(whole)),
        ("process_cpu_seconds_total", "counter", "Time on processors, the kernel's too.", cpu().map(seconds)),
        ("process_start_time_seconds", "gauge", "When it started, since 1970.", started()),
        ("process_open_fds", "gauge", "Open files.", fds().map(whole)),
        ("process_max_fds", "gauge", "Files that may be open.", limits().map(whole)),
    ] {
        if let Some(value) = value {
            head(out, name, kind, help);
            let _ = writeln!(out, "{name} {value}");
        }
    }
}

fn in_bytes(kib: u64) -> f64 {
    kib as f64 * 1024.0
}

fn first(words: &str) -> Option<u64> {
    words.split_whitespace().next()?.parse().ok()
}

/// A field of `/proc/PID/stat`, counted from 1 as proc(5) does; the second is a name with anything in it.
fn field(stat: &str, place: usize) -> Option<u64> {
    let (_, behind) = stat.rsplit_once(')')?;
    behind.split_whitespace().nth(place.checked_sub(3)?)?.parse().ok()
}

const UTIME: usize = 14;
const STIME: usize = 15;
const START_TIME: usize = 22;
/// What the kernel counts in towards programs, on every machine.
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tells_of_this_process() {
        let mut out = String::new();
        write(&mut out);
        let value = |name: &str| -> f64 {
            let line = out.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
            line.unwrap_or_else(|| panic!("{name}\n{out}")).parse().unwrap()
        };
        assert!(value("process_open_fds") >= 3.0 && value("process_open_fds") <= value("process_max_fds"));
        assert!(value("process_virtual_memory_bytes") > value("process_resident_memory_bytes"));
        assert!(value("process_resident_memory_bytes") > 0.0 && value("process_threads") >= 1.0);
        assert!(value("process_cpu_seconds_total") >= 0.0);
        let now = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs_f64();
        let started = value("process_start_time_seconds");
        assert!(started < now + 2.0 && started > 1e9, "{started}");
    }

    #[test]
    fn names_may_have_anything_in_them() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 1 2 3 4 50 60 0 0 20 0 9 0 777 1000 5";
        assert_eq!([UTIME, STIME, START_TIME].map(|at| field(stat, at)), [Some(50), Some(60), Some(777)]);
        assert_eq!((field("", 14), field("7 (x) S", 14)), (None, None));
    }
}
