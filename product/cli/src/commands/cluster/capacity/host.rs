//! What bounds a node that the API does not count: read from the kernel of the machine that this runs on.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// A resource, how much of it is used, and how much there is if that is known.
pub(super) type Bound = (&'static str, i64, Option<i64>);

/// All of them; looks twice, a moment apart, for what is a rate.
pub(super) fn bounds() -> Vec<Bound> {
    let (before, started) = ((network_bytes(), disk_millis()), Instant::now());
    std::thread::park_timeout(MOMENT);
    let (after, millis) = ((network_bytes(), disk_millis()), started.elapsed().as_millis().max(1));
    let millis = i64::try_from(millis).unwrap_or(i64::MAX);
    let mut all = vec![
        ("pids", threads(), number("/proc/sys/kernel/pid_max").min(number("/proc/sys/kernel/threads-max"))),
        ("files", file_handles(0).unwrap_or(0), file_handles(2)),
    ];
    if let Some(count) = number("/proc/sys/net/netfilter/nf_conntrack_count") {
        all.push(("connections tracked", count, number("/proc/sys/net/netfilter/nf_conntrack_max")));
    }
    let (instances, watches) = inotify();
    all.push(("inotify instances", instances, number("/proc/sys/fs/inotify/max_user_instances")));
    all.push(("inotify watches", watches, number("/proc/sys/fs/inotify/max_user_watches")));
    let megabits = after.0.saturating_sub(before.0) * 8 / 1000 / millis;
    all.push(("network Mbit/s", megabits, link_speed()));
    let busiest = after.1.iter().map(|(disk, spent)| spent - before.1.get(disk).unwrap_or(spent)).max();
    if let Some(busy) = busiest {
        all.push(("disk busy %", busy.saturating_mul(100) / millis, Some(100)));
    }
    all
}

fn number(path: &str) -> Option<i64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Everything that takes a process id, threads too.
fn threads() -> i64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let all = text.split_whitespace().nth(3).and_then(|field| field.split_once('/'));
    all.and_then(|(_, all)| all.parse().ok()).unwrap_or(0)
}

/// A field of `file-nr`: open ones, none, and the most.
fn file_handles(at: usize) -> Option<i64> {
    fs::read_to_string("/proc/sys/fs/file-nr").ok()?.split_whitespace().nth(at)?.parse().ok()
}

/// Inotify instances and watches of the processes that this user may look at.
fn inotify() -> (i64, i64) {
    let (mut instances, mut watches) = (0, 0);
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in
        processes.filter(|it| it.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
    {
        for file in fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten() {
            if fs::read_link(file.path()).is_ok_and(|to| to == Path::new("anon_inode:inotify")) {
                instances += 1;
                let info = process.path().join("fdinfo").join(file.file_name());
                let info = fs::read_to_string(info).unwrap_or_default();
                watches += info.lines().filter(|line| line.starts_with("inotify ")).count() as i64;
            }
        }
    }
    (instances, watches)
}

/// Bytes that all links but loopback have sent and received.
fn network_bytes() -> i64 {
    let text = fs::read_to_string("/proc/net/dev").unwrap_or_default();
    let links = text.lines().filter_map(|line| line.split_once(':'));
    links
        .filter(|(name, _)| name.trim() != "lo")
        .map(|(_, fields)| {
            let fields: Vec<i64> = fields.split_whitespace().filter_map(|field| field.parse().ok()).collect();
            fields.first().unwrap_or(&0) + fields.get(8).unwrap_or(&0)
        })
        .sum()
}

/// The fastest link's speed in Mbit/s, if the kernel knows one: links of virtual machines may have none.
fn link_speed() -> Option<i64> {
    let links = fs::read_dir("/sys/class/net").into_iter().flatten().flatten();
    links
        .filter_map(|link| number(&link.path().join("speed").to_string_lossy()).filter(|speed| *speed > 0))
        .max()
}

/// How long each disk has been busy.
fn disk_millis() -> BTreeMap<String, i64> {
    let text = fs::read_to_string("/proc/diskstats").unwrap_or_default();
    let line = |line: &str| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (name, busy) = (*fields.get(2)?, fields.get(12)?.parse().ok()?);
        (!name.starts_with("loop") && !name.starts_with("ram")).then(|| (name.to_owned(), busy))
    };
    text.lines().filter_map(line).collect()
}

/// Long enough for a rate, short enough for a question.
const MOMENT: Duration = Duration::from_millis(200);
