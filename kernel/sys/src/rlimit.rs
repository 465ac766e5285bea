//! Resource limits: `prlimit(2)`.
#![allow(unsafe_code)]

use std::io;

/// A soft and a hard limit; [`Limit::INFINITY`] is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// What is enforced.
    pub soft: u64,
    /// How far the soft limit may be raised.
    pub hard: u64,
}

impl Limit {
    /// No limit.
    pub const INFINITY: u64 = u64::MAX;
}

/// The number of the resource `RLIMIT_name`; the prefix may be left out and case does not matter.
pub fn resource(name: &str) -> Option<u32> {
    let upper = name.to_ascii_uppercase();
    let short = upper.strip_prefix("RLIMIT_").unwrap_or(&upper);
    NAMES.iter().find(|(known, _)| *known == short).map(|(_, number)| *number)
}

/// The name with `RLIMIT_`.
pub fn name(resource: u32) -> String {
    match NAMES.iter().find(|(_, number)| *number == resource) {
        Some((name, _)) => format!("RLIMIT_{name}"),
        None => format!("RLIMIT_{resource}"),
    }
}

/// The limit of this process.
pub fn get(resource: u32) -> io::Result<Limit> {
    prlimit(0, resource, None)
}

/// Sets the limit of this process.
pub fn set(resource: u32, limit: Limit) -> io::Result<()> {
    prlimit(0, resource, Some(limit)).map(drop)
}

/// Sets the limit of another process (0: this one) and gives the old one: `prlimit(2)`.
pub fn prlimit(pid: i32, resource: u32, new: Option<Limit>) -> io::Result<Limit> {
    let new = new.map(|limit| libc::rlimit64 { rlim_cur: limit.soft, rlim_max: limit.hard });
    let new = new.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `new` is null or points to a limit that lives through the call, and
    // the kernel writes one limit to `old`.
    let rc = unsafe { libc::syscall(libc::SYS_prlimit64, pid, resource, new, &raw mut old) };
    if rc == 0 {
        Ok(Limit { soft: old.rlim_cur, hard: old.rlim_max })
    } else {
        Err(io::Error::last_os_error())
    }
}

const NAMES: &[(&str, u32)] = &[
    ("CPU", 0),
    ("FSIZE", 1),
    ("DATA", 2),
    ("STACK", 3),
    ("CORE", 4),
    ("RSS", 5),
    ("NPROC", 6),
    ("NOFILE", 7),
    ("MEMLOCK", 8),
    ("AS", 9),
    ("LOCKS", 10),
    ("SIGPENDING", 11),
    ("MSGQUEUE", 12),
    ("NICE", 13),
    ("RTPRIO", 14),
    ("RTTIME", 15),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values() {
        assert_eq!(resource("RLIMIT_NOFILE"), Some(7));
        assert_eq!(resource("nofile"), Some(7));
        assert_eq!(resource("RLIMIT_X"), None);
        let limit = get(7).unwrap();
        assert!(limit.soft <= limit.hard);
        set(7, limit).unwrap();
    }
}
