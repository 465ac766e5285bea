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
}

impl Cgroup {
    /// The victims in it and below it that are still in the kernel's log, oldest first.
    ///
    /// None where the log cannot be read (a container, or `kernel.dmesg_restrict` without
    /// `CAP_SYSLOG`): the counter of [`crate::OomWatch::kills`] is then all there is.
    pub fn victims(&self) -> Vec<Victim> {
        let Some(path) = self.memory_path() else { return Vec::new() };
        let mut victims = Vec::new();
        let _ = each_record(|record| {
            victims.extend(parse_victim(record).filter(|victim| is_below(&victim.cgroup, &path)));
        });
        victims
    }

    /// Its path in the memory hierarchy, from the mount point.
    fn memory_path(&self) -> Option<String> {
        let dir = self.dir_of("memory")?;
        let mount_point = self.mount_point_of(dir)?;
        Some(format!("/{}", dir.strip_prefix(mount_point).ok()?.display()))
    }
}

/// Reads a record of `/dev/kmsg` that tells of a kill.
pub fn parse_victim(record: &str) -> Option<Victim> {
    let (prefix, message) = record.split_once(';')?;
    let fields = message.lines().next()?.strip_prefix("oom-kill:")?;
    let mut victim = Victim { at_us: prefix.split(',').nth(2)?.parse().ok()?, ..Victim::default() };
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
            }
        );
        assert!(is_below(&victim.cgroup, "/strake/web"));
        assert!(!is_below("/strake/web2", "/strake/web"));
        assert!(is_below("/docker/x/strake/web", "/strake/web"));
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
