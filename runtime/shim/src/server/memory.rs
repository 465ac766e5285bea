//! What the container's memory cgroup tells at its end.
//!
//! The kernel counts OOM kills in the cgroup itself (`oom_kill` in v1's
//! `memory.oom_control` and v2's `memory.events`), so nothing has to be watched while the
//! container runs, nothing can be missed, and an adopting shim sees the same.

use std::fs;
use std::path::Path;

use cgroup::Cgroup;

use super::cause::Memory;
use crate::Victim;

/// Reads the container's cgroup, if it has one. Limit, peak and victims are looked for only
/// when there was a kill: most ends pay for one small file.
pub(super) fn observe(cgroup: Option<&Cgroup>) -> Memory {
    let Some(cgroup) = cgroup else { return Memory::default() };
    let oom_kills = oom_kills_so_far(Some(cgroup));
    if oom_kills == 0 {
        return Memory::default();
    }
    let stats = cgroup.stats().memory;
    let victims =
        cgroup.victims().into_iter().map(|v| Victim { pid: v.pid, command: v.name, oom_score_adj: None });
    Memory { oom_kills, limit: stats.limit_bytes, peak: stats.peak_bytes, victims: victims.collect() }
}

/// How many processes of the container the OOM killer has taken so far.
pub(super) fn oom_kills_so_far(cgroup: Option<&Cgroup>) -> u64 {
    cgroup.and_then(|cgroup| cgroup.dir_of("memory")).map_or(0, oom_kills)
}

fn oom_kills(dir: &Path) -> u64 {
    let files = ["memory.oom_control", "memory.events"];
    let text = files.iter().find_map(|file| fs::read_to_string(dir.join(file)).ok());
    parse_kills(&text.unwrap_or_default())
}

fn parse_kills(text: &str) -> u64 {
    let count = text.lines().find_map(|line| line.strip_prefix("oom_kill "));
    count.and_then(|count| count.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::parse_kills;

    #[test]
    fn reads_both_forms() {
        assert_eq!(parse_kills("oom_kill_disable 0\nunder_oom 0\noom_kill 2\n"), 2);
        assert_eq!(parse_kills("low 0\nhigh 0\nmax 4\noom 1\noom_kill 1\noom_group_kill 0\n"), 1);
        assert_eq!(parse_kills(""), 0);
    }
}
