//! Who was killed for lack of memory: what the kernel's log says.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;

use serde::{Deserialize, Serialize};

use crate::cgroup::Cgroup;

/// A process that was killed for lack of memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Victim {
    /// Its id, as the host sees it.
    pub pid: i32,
    /// Its name (comm).
    pub name: String,
    /// Its user on the host.
    pub uid: u32,
    /// The cgroup that it was in, as the kernel names it.
    pub cgroup: String,
    /// The cgroup whose limit was hit; `None` when the whole machine was out of memory.
    pub limit_of: Option<String>,
    /// Microseconds between the machine's start and the kill.
    pub at_us: u64,
    /// How much it was offered to the killer.
    pub oom_score_adj: Option<i32>,
    /// What the cgroup whose limit was hit held then, and that limit.
    pub usage_bytes: Option<u64>,
    /// See there.
    pub limit_bytes: Option<u64>,
    /// What of that no file backed.
    pub anon_bytes: Option<u64>,
    /// What of that was page cache, shared memory included.
    pub file_bytes: Option<u64>,
    /// All processes of its group were killed with it (`memory.oom.group`).
    pub whole_group: bool,
    /// The kernel takes the one that it chose once more among the others of its group, and counts it again.
    pub again: bool,
}

impl Cgroup {
    /// The victims in it and below it that are still in the kernel's log, oldest first.
    ///
    /// None where the log cannot be read (a container, or `kernel.dmesg_restrict` without
    /// `CAP_SYSLOG`): the counter of [`crate::OomWatch::kills`] is then all there is.
    pub fn victims(&self) -> Vec<Victim> {
        let Some(path) = self.memory_path() else { return Vec::new() };
        let mut kills = Kills::default();
        let _ = each_record(|record| kills.take(record));
        kills.victims.retain(|victim| is_below(&victim.cgroup, &path));
        kills.victims
    }

    /// Its path in the memory hierarchy, from the mount point.
    fn memory_path(&self) -> Option<String> {
        let dir = self.dir_of("memory")?;
        let mount_point = self.mount_point_of(dir)?;
        Some(format!("/{}", dir.strip_prefix(mount_point).ok()?.display()))
    }
}

/// The kills that a log tells of. The kernel writes of one at a time: first what the cgroup holds,
/// then whom it chose, then that it killed it, then that the others of its group go with it.
#[derive(Debug, Default)]
struct Kills {
    held: Held,
    /// The last that was killed, whether it was chosen or not.
    killed: Option<i32>,
    /// What is killed now goes with the last victim.
    whole_group: bool,
    victims: Vec<Victim>,
}

/// What the cgroup whose limit was hit held.
#[derive(Clone, Copy, Debug, Default)]
struct Held {
    /// And its limit.
    usage: Option<(u64, u64)>,
    anon: Option<u64>,
    file: Option<u64>,
}

impl Kills {
    /// Takes the next record of `/dev/kmsg`.
    fn take(&mut self, record: &str) {
        let Some((_, message)) = record.split_once(';') else { return };
        let message = message.lines().next().unwrap_or_default();
        if message.contains(" invoked oom-killer: ") {
            (self.held, self.whole_group) = (Held::default(), false);
        } else if let Some(figures) = message.strip_prefix("memory: usage ") {
            self.held.usage = parse_memory(figures);
        } else if let Some(victim) = parse_victim(record) {
            let Held { usage, anon, file } = std::mem::take(&mut self.held);
            let (usage_bytes, limit_bytes) = usage.unzip();
            let victim = Victim { usage_bytes, limit_bytes, anon_bytes: anon, file_bytes: file, ..victim };
            self.whole_group = false;
            self.victims.push(victim);
        } else if let Some((_, killed)) = message.split_once("Killed process ") {
            self.killed(killed, parse_time(record));
        } else if message.ends_with(" are going to be killed due to memory.oom.group set")
            && let Some(chosen) = self.victims.last_mut().filter(|victim| Some(victim.pid) == self.killed)
        {
            (chosen.whole_group, self.whole_group) = (true, true);
        } else if self.held.usage.is_some() {
            self.held.take(message);
        }
    }

    /// Takes `12 (sh) total-vm:1kB, … UID:0 pgtables:1kB oom_score_adj:0`.
    fn killed(&mut self, text: &str, at_us: Option<u64>) {
        let Some((pid, rest)) = text.split_once(" (") else { return };
        let Ok(pid) = pid.parse() else { return };
        self.killed = Some(pid);
        let Some(chosen) = self.victims.last_mut() else { return };
        let oom_score_adj =
            rest.rsplit_once("oom_score_adj:").and_then(|(_, adjust)| adjust.trim().parse().ok());
        if !self.whole_group {
            if chosen.pid == pid {
                chosen.oom_score_adj = oom_score_adj;
            }
            return;
        }
        let name = rest.rsplit_once(") ").map_or(rest, |(name, _)| name).to_owned();
        let uid = rest.rsplit_once(" UID:").and_then(|(_, uid)| uid.split(' ').next()?.parse().ok());
        let victim = Victim {
            pid,
            name,
            uid: uid.unwrap_or(chosen.uid),
            at_us: at_us.unwrap_or(chosen.at_us),
            oom_score_adj,
            ..chosen.clone()
        };
        let of_group = self.victims.iter().rev().take_while(|known| known.whole_group);
        let again = of_group.into_iter().any(|known| known.pid == pid);
        self.victims.push(Victim { again, ..victim });
    }
}

impl Held {
    /// Takes a line of the cgroup's `memory.stat`. Kernels before 6.4 write all of them as one message, whose
    /// ends of lines `/dev/kmsg` escapes; on v1 what is below the cgroup is in the `total_` ones.
    fn take(&mut self, message: &str) {
        for line in message.split("\\x0a") {
            let Some((key, bytes)) = line.split_once(' ') else { continue };
            let to = match key {
                "anon" | "total_rss" => &mut self.anon,
                "file" | "total_cache" => &mut self.file,
                _ => continue,
            };
            *to = bytes.trim().parse().ok();
        }
    }
}

/// Microseconds since the machine's start.
fn parse_time(record: &str) -> Option<u64> {
    record.split_once(';')?.0.split(',').nth(2)?.parse().ok()
}

/// `65536kB, limit 65536kB, failcnt 9`.
fn parse_memory(figures: &str) -> Option<(u64, u64)> {
    let (usage, rest) = figures.split_once("kB, limit ")?;
    let (limit, _) = rest.split_once("kB,")?;
    Some((usage.parse::<u64>().ok()?.checked_mul(1024)?, limit.parse::<u64>().ok()?.checked_mul(1024)?))
}

/// Reads a record of `/dev/kmsg` that tells who was chosen.
fn parse_victim(record: &str) -> Option<Victim> {
    let (_, message) = record.split_once(';')?;
    let fields = message.lines().next()?.strip_prefix("oom-kill:")?;
    let mut victim = Victim { at_us: parse_time(record)?, ..Victim::default() };
    // A name may contain commas and equal signs: what stands around it is known.
    let (head, tail) = fields.split_once(",task=")?;
    let (name_and_pid, uid) = tail.rsplit_once(",uid=")?;
    let (name, pid) = name_and_pid.rsplit_once(",pid=")?;
    victim.name = name.to_owned();
    victim.pid = pid.parse().ok()?;
    victim.uid = uid.trim().parse().ok()?;
    let (before, cgroup) = head.split_once(",task_memcg=")?;
    victim.cgroup = cgroup.to_owned();
    victim.limit_of = before.split_once(",oom_memcg=").map(|(_, path)| path.to_owned());
    Some(victim)
}

/// Whether the kernel's `path` is `own` or below it. From inside a container the kernel's
/// path has the container's own in front.
fn is_below(path: &str, own: &str) -> bool {
    path == own
        || path.ends_with(own)
        || path.starts_with(&format!("{own}/"))
        || path.contains(&format!("{own}/"))
}

/// Calls `handle` for each record in the log: dev-kmsg, one record a read.
fn each_record(mut handle: impl FnMut(&str)) -> io::Result<()> {
    let nonblock = rustix::fs::OFlags::NONBLOCK.bits() as i32;
    let mut log: File = File::options().read(true).custom_flags(nonblock).open("/dev/kmsg")?;
    let mut buffer = vec![0u8; RECORD_MAX];
    loop {
        match log.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(length) => handle(&String::from_utf8_lossy(&buffer[..length])),
            // EPIPE: records were overwritten while we read; go on with the oldest.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
            Err(error) => return Err(error),
        }
    }
}

/// The kernel's `PRINTK_MESSAGE_MAX`; a smaller buffer gets EINVAL.
const RECORD_MAX: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_who_was_killed() {
        let record = "6,921,8723456,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=web,\
                      mems_allowed=0,oom_memcg=/strake/web,task_memcg=/strake/web/sub,task=a,b=c,pid=4242,uid=1000\n\
                      SUBSYSTEM=x\n";
        let victim = parse_victim(record).unwrap();
        assert_eq!(
            victim,
            Victim {
                pid: 4242,
                name: "a,b=c".to_owned(),
                uid: 1000,
                cgroup: "/strake/web/sub".to_owned(),
                limit_of: Some("/strake/web".to_owned()),
                at_us: 8_723_456,
                ..Victim::default()
            }
        );
        assert!(is_below(&victim.cgroup, "/strake/web"));
        assert!(!is_below("/strake/web2", "/strake/web"));
        assert!(is_below("/docker/x/strake/web", "/strake/web"));
    }

    #[test]
    fn what_the_group_held_and_the_victims_score_come_with_it() {
        let chosen =
            |pid| format!("6,3,7,-;oom-kill:constraint=X,oom_memcg=/a,task_memcg=/a,task=st,pid={pid},uid=0");
        let mut kills = Kills::default();
        for record in [
            "4,1,5,-;st invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            "6,2,6,-;memory: usage 65532kB, limit 65536kB, failcnt 28",
            "6,2,6,-;memory+swap: usage 65536kB, limit 65536kB, failcnt 3",
            &chosen(7),
            "3,4,8,-;Memory cgroup out of memory: Killed process 7 (st) total-vm:1kB, UID:0 pgtables:1kB oom_score_adj:-5",
            // The kernel keeps quiet about some of many; what it says of another is not this one's.
            "4,5,9,-;st invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0",
            &chosen(8),
            "3,6,9,-;Memory cgroup out of memory: Killed process 80 (st) total-vm:1kB, oom_score_adj:3",
        ] {
            kills.take(record);
        }
        let found: Vec<_> =
            kills.victims.iter().map(|v| (v.pid, v.oom_score_adj, v.usage_bytes, v.limit_bytes)).collect();
        assert_eq!(found, [(7, Some(-5), Some(65532 << 10), Some(64 << 20)), (8, None, None, None)]);
        assert_eq!(parse_memory("18446744073709551615kB, limit 1kB, x"), None);
    }

    #[test]
    fn what_was_held_is_split_in_each_kernels_way() {
        let check = |stat: &[&str]| {
            let mut kills = Kills::default();
            kills.take("6,1,5,-;anon 1");
            kills.take("6,2,6,-;memory: usage 96kB, limit 96kB, failcnt 28");
            for line in stat {
                kills.take(&format!("6,2,6,-;{line}"));
            }
            kills.take("6,3,7,-;oom-kill:constraint=X,oom_memcg=/a,task_memcg=/a,task=st,pid=7,uid=0");
            (kills.victims[0].anon_bytes, kills.victims[0].file_bytes)
        };
        let split = (Some(65536), Some(32768));
        assert_eq!(check(&["Memory cgroup stats for /a:", "anon 65536", "file 32768", "anon_thp 0"]), split);
        assert_eq!(check(&["cache 1", "rss 2", "total_cache 32768", "total_rss 65536", "total_x 0"]), split);
        assert_eq!(check(&[r"anon 65536\x0afile 32768\x0akernel 5\x0a"]), split);
        assert_eq!(check(&["anon x", "nothing"]), (None, None));
    }

    #[test]
    fn all_of_a_group_are_named() {
        let killed = |at, pid| {
            format!(
                "3,4,{at},-;Memory cgroup out of memory: Killed process {pid} (a) b{pid}) total-vm:1kB, UID:{pid} pgtables:1kB oom_score_adj:3"
            )
        };
        let group = "6,3,9,-;Tasks in /a are going to be killed due to memory.oom.group set";
        let chosen = "6,3,7,-;oom-kill:constraint=X,oom_memcg=/a,task_memcg=/a,task=st,pid=7,uid=0";
        let mut kills = Kills::default();
        // The first is of a kill whose report was left out.
        for record in [&killed(5, 6), group, chosen, &killed(8, 7), group, &killed(10, 7), &killed(11, 8)] {
            kills.take(record);
        }
        let found: Vec<_> = kills
            .victims
            .iter()
            .map(|v| (v.pid, v.name.as_str(), v.uid, v.at_us, v.whole_group, v.again))
            .collect();
        assert_eq!(
            found,
            [(7, "st", 0, 7, true, false), (7, "a) b7", 7, 10, true, true), (8, "a) b8", 8, 11, true, false)]
        );
        kills.take("4,5,12,-;st invoked oom-killer: gfp_mask=0xcc0(GFP_KERNEL), order=0, oom_score_adj=0");
        kills.take(&killed(13, 9));
        assert_eq!(kills.victims.len(), 3);
    }

    #[test]
    fn global_lack_of_memory_has_no_limit() {
        let record = "6,1,5,-;oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),cpuset=/,mems_allowed=0,\
                      global_oom,task_memcg=/a,task=x,pid=7,uid=0";
        assert_eq!(parse_victim(record).unwrap().limit_of, None);
        assert_eq!(parse_victim("6,1,5,-;Memory cgroup out of memory: Killed process 7 (x)"), None);
        assert_eq!(parse_victim("garbage"), None);
    }
}
