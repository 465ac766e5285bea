//! What the kernel log says of processes that the out-of-memory killer ended.
//!
//! The record's form is that of `dump_oom_summary` and `__oom_kill_process` in the
//! kernel's `mm/oom_kill.c`; reading the log is `/dev/kmsg` (needs CAP_SYSLOG where
//! `kernel.dmesg_restrict` is 1).

use std::io::{ErrorKind, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;

use rustix::fs::OFlags;
use serde::Serialize;

use crate::error::Error;
use crate::sourced::Sourced;

/// A kill that the log tells of.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct OomKill {
    /// Microseconds after boot.
    pub at_micros: u64,
    /// The victim.
    pub pid: i32,
    /// Its command name.
    pub name: String,
    /// Its user.
    pub uid: Option<u32>,
    /// `CONSTRAINT_MEMCG`: a cgroup's limit; `CONSTRAINT_NONE`: the whole host.
    pub constraint: Option<String>,
    /// The cgroup whose limit was hit.
    pub limited_cgroup: Option<String>,
    /// The cgroup of the victim.
    pub task_cgroup: Option<String>,
    /// Anonymous resident memory.
    pub anon_bytes: Option<u64>,
    /// Resident memory that files back.
    pub file_bytes: Option<u64>,
    /// How much the process was offered to the killer.
    pub oom_score_adj: Option<i32>,
}

/// Picks the kills out of the log: records as `/dev/kmsg` gives them, one a line.
pub fn parse(log: &str) -> Vec<OomKill> {
    let mut kills: Vec<OomKill> = Vec::new();
    let mut summary: Option<OomKill> = None;
    for line in log.lines() {
        let Some((prefix, message)) = line.split_once(';') else { continue };
        let at_micros = prefix.split(',').nth(2).and_then(|word| word.parse().ok()).unwrap_or(0);
        if let Some(fields) = message.strip_prefix("oom-kill:") {
            summary = Some(parse_summary(fields, at_micros));
        } else if let Some((_, rest)) = message.split_once("Killed process ") {
            let kill = parse_killed(rest, at_micros, summary.take());
            kills.extend(kill);
        }
    }
    kills
}

/// `constraint=…,oom_memcg=/x,task_memcg=/x/y,task=sh,pid=12,uid=0`. Names may hold
/// commas, so fields are found by their keys, the last ones from the end.
fn parse_summary(fields: &str, at_micros: u64) -> OomKill {
    let between = |key: &str, next: &str| {
        let start = fields.find(key)? + key.len();
        let rest = &fields[start..];
        Some(rest.find(next).map_or(rest, |end| &rest[..end]).to_owned())
    };
    let last = |key: &str| {
        let start = fields.rfind(key)? + key.len();
        Some(fields[start..].split(',').next().unwrap_or("").to_owned())
    };
    OomKill {
        at_micros,
        constraint: between("constraint=", ","),
        limited_cgroup: between("oom_memcg=", ",task_memcg="),
        task_cgroup: between("task_memcg=", ",task="),
        pid: last(",pid=").and_then(|pid| pid.parse().ok()).unwrap_or(0),
        uid: last(",uid=").and_then(|uid| uid.parse().ok()),
        ..OomKill::default()
    }
}

/// `12 (sh) total-vm:1kB, anon-rss:2kB, … UID:0 pgtables:3kB oom_score_adj:0`.
fn parse_killed(rest: &str, at_micros: u64, summary: Option<OomKill>) -> Option<OomKill> {
    let (pid, rest) = rest.split_once(" (")?;
    let pid = pid.parse().ok()?;
    let (name, figures) = rest.rsplit_once(") ").or_else(|| rest.rsplit_once(')'))?;
    let figure = |key: &str| {
        let start = figures.find(key)? + key.len();
        let rest = &figures[start..];
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '-').unwrap_or(rest.len());
        rest[..end].parse::<i64>().ok()
    };
    let bytes = |key| figure(key).and_then(|kib| u64::try_from(kib).ok()?.checked_mul(1024));
    // The two records belong together only if they name the same victim.
    let summary = summary.filter(|summary| summary.pid == pid).unwrap_or_default();
    Some(OomKill {
        at_micros,
        pid,
        name: name.to_owned(),
        uid: summary.uid.or(figure("UID:").and_then(|uid| u32::try_from(uid).ok())),
        anon_bytes: bytes("anon-rss:"),
        file_bytes: bytes("file-rss:"),
        oom_score_adj: figure("oom_score_adj:").and_then(|adj| i32::try_from(adj).ok()),
        ..summary
    })
}

/// The kills that the kernel's log still holds, oldest first.
pub fn oom_kills() -> Result<Sourced<Vec<OomKill>>, Error> {
    let failed = |errno: std::io::Error| match errno.kind() {
        ErrorKind::PermissionDenied => {
            Error::Denied { path: KMSG.to_owned(), needs: "it needs CAP_SYSLOG (root)", errno }
        }
        ErrorKind::NotFound => Error::Missing { path: KMSG.to_owned(), why: "no devtmpfs is mounted here" },
        _ => Error::Read { path: KMSG.to_owned(), errno },
    };
    let flags = OFlags::NONBLOCK.bits() as i32;
    let mut file = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(KMSG).map_err(failed)?;
    let mut log = String::new();
    let mut record = [0; RECORD_BYTES];
    loop {
        match file.read(&mut record) {
            Ok(0) => break,
            Ok(length) => log.push_str(&String::from_utf8_lossy(&record[..length])),
            Err(errno) if errno.kind() == ErrorKind::WouldBlock => break,
            // EPIPE: records were overwritten while we read; the next read goes on.
            Err(errno) if matches!(errno.kind(), ErrorKind::BrokenPipe | ErrorKind::Interrupted) => {}
            Err(errno) => return Err(failed(errno)),
        }
    }
    Ok(Sourced::new(parse(&log), KMSG))
}

const KMSG: &str = "/dev/kmsg";
/// The kernel gives one record a read and refuses a smaller buffer.
const RECORD_BYTES: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    const LOG: &str = "\
4,1201,5000000,-;sh invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0
6,1202,5000001,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,oom_memcg=/strake/abc,task_memcg=/strake/abc,task=st,ress,pid=77,uid=1000
3,1203,5000002,-;Memory cgroup out of memory: Killed process 77 (st,ress) total-vm:70000kB, anon-rss:65536kB, file-rss:4kB, shmem-rss:0kB, UID:1000 pgtables:180kB oom_score_adj:-5
6,1204,5000003,-;something else
";

    #[test]
    fn finds_the_victim_and_the_limit() {
        let kills = parse(LOG);
        assert_eq!(
            kills,
            [OomKill {
                at_micros: 5000002,
                pid: 77,
                name: "st,ress".to_owned(),
                uid: Some(1000),
                constraint: Some("CONSTRAINT_MEMCG".to_owned()),
                limited_cgroup: Some("/strake/abc".to_owned()),
                task_cgroup: Some("/strake/abc".to_owned()),
                anon_bytes: Some(65536 << 10),
                file_bytes: Some(4 << 10),
                oom_score_adj: Some(-5),
            }]
        );
    }

    #[test]
    fn a_summary_of_another_victim_is_not_mixed_in() {
        let log = LOG.replace("pid=77", "pid=78");
        assert_eq!(parse(&log)[0].limited_cgroup, None);
        assert_eq!(parse(&log)[0].uid, Some(1000));
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..LOG.len() {
            let _ = parse(&LOG[..end]);
        }
        for log in
            ["", ";", "1,2,3;Killed process ", ";Killed process x (y)", ";Killed process 1 ()", ";oom-kill:"]
        {
            let _ = parse(log);
        }
        assert_eq!(parse(";Killed process 1 (a) b) anon-rss:99999999999999999999kB")[0].name, "a) b");
    }
}
