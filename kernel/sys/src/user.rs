//! User and group ids of this process: `setresuid(2)`, `setresgid(2)`, `setgroups(2)`.
//!
//! The raw calls, which change this thread only: the C library's versions signal
//! all threads, and our callers have one.

use std::io;
use std::path::Path;

use rustix::process::{Gid, Uid};

/// Sets all user ids.
pub fn set_uid(uid: u32) -> io::Result<()> {
    let uid = Uid::from_raw(valid(uid)?);
    Ok(rustix::thread::set_thread_res_uid(uid, uid, uid)?)
}

/// Sets all group ids.
pub fn set_gid(gid: u32) -> io::Result<()> {
    let gid = Gid::from_raw(valid(gid)?);
    Ok(rustix::thread::set_thread_res_gid(gid, gid, gid)?)
}

/// Sets the supplementary groups.
pub fn set_groups(groups: &[u32]) -> io::Result<()> {
    let groups = groups.iter().map(|gid| valid(*gid).map(Gid::from_raw)).collect::<io::Result<Vec<_>>>()?;
    Ok(rustix::thread::set_thread_groups(&groups)?)
}

/// The effective user id.
pub fn effective_uid() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// The effective group id.
pub fn effective_gid() -> u32 {
    rustix::process::getegid().as_raw()
}

/// How many ids this user namespace knows from 0 on without a gap, of users and of groups: `None` in the
/// first one, where there is no map (`user_namespaces(7)`).
///
/// A file that cannot be read counts as no map: without procfs nothing can be told. Read once: who goes
/// into another user namespace asks afterwards.
pub fn mapped() -> Option<Mapped> {
    static MAPPED: std::sync::OnceLock<Option<Mapped>> = std::sync::OnceLock::new();
    *MAPPED.get_or_init(read_maps)
}

fn read_maps() -> Option<Mapped> {
    // The kernel gives the first one this number (`include/linux/proc_ns.h`, PROC_USER_INIT_INO).
    let first = rustix::fs::stat("/proc/self/ns/user").is_ok_and(|stat| stat.st_ino == 0xEFFF_FFFD);
    if first {
        return None;
    }
    let read = |file: &str| crate::file::read_to_string(Path::new(&format!("/proc/self/{file}"))).ok();
    let count = |text: String| known_from_zero(&text);
    let (uids, gids) = (count(read("uid_map")?), count(read("gid_map")?));
    (uids != u32::MAX || gids != u32::MAX).then_some(Mapped { uids, gids })
}

/// Whether `setgroups(2)` was given up for this user namespace.
pub fn setgroups_denied() -> bool {
    std::fs::read_to_string("/proc/self/setgroups").is_ok_and(|text| text.trim() == "deny")
}

/// Ids of a user namespace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapped {
    /// Users 0 to this one, which is not among them.
    pub uids: u32,
    /// Groups 0 to this one, which is not among them.
    pub gids: u32,
}

/// The first id that a map (lines of inside, outside, count) lacks.
fn known_from_zero(map: &str) -> u32 {
    let mut ranges: Vec<(u32, u32)> = map
        .lines()
        .filter_map(|line| {
            let mut numbers = line.split_ascii_whitespace().map(str::parse);
            let (inside, _, count) = (numbers.next()?.ok()?, numbers.next()?, numbers.next()?.ok()?);
            Some((inside, count))
        })
        .collect();
    ranges.sort_unstable();
    ranges
        .into_iter()
        .fold(0, |end, (inside, count)| if inside == end { end.saturating_add(count) } else { end })
}

/// -1 means "leave as it is" to the kernel: as an id it would silently keep root.
fn valid(id: u32) -> io::Result<u32> {
    if id == u32::MAX { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(id) }
}

#[cfg(test)]
mod tests {
    use super::known_from_zero;

    #[test]
    fn ids_are_counted_up_to_the_first_gap() {
        for (map, known) in [
            ("         0          0 4294967295\n", u32::MAX),
            ("0 1000 1\n", 1),
            ("0 1000 1\n1 100000 65536\n", 65537),
            ("1 100000 65536\n0 1000 1\n", 65537),
            ("0 1000 1\n5 100000 65536\n", 1),
            ("5 1000 1\n", 0),
            ("", 0),
        ] {
            assert_eq!(known_from_zero(map), known, "{map:?}");
        }
    }

    #[test]
    fn minus_one_is_no_id() {
        assert!(super::set_uid(u32::MAX).is_err());
        assert!(super::set_gid(u32::MAX).is_err());
        assert!(super::set_groups(&[0, u32::MAX]).is_err());
    }
}
