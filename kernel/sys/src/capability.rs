//! Capabilities: names, sets, and the five sets of a process (`capabilities(7)`).
#![allow(unsafe_code)]

use std::fmt;
use std::io;

/// A set of capabilities; bit n is capability n of `linux/capability.h`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct CapSet(pub u64);

impl CapSet {
    /// No capability.
    pub const EMPTY: Self = Self(0);

    /// All capabilities that have a name here.
    pub fn known() -> Self {
        Self((1 << NAMES.len()) - 1)
    }

    /// All capabilities up to number `last`.
    pub fn up_to(last: u32) -> Self {
        Self(if last >= 63 { u64::MAX } else { (1 << (last + 1)) - 1 })
    }

    /// The set of one.
    pub fn of(number: u32) -> Self {
        Self(1u64.checked_shl(number).unwrap_or(0))
    }

    /// Whether the capability is in it.
    pub fn contains(self, number: u32) -> bool {
        self.0 & Self::of(number).0 != 0
    }

    /// This set and the other.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// What is in both.
    #[must_use]
    pub fn intersection(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// This set without the other.
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether it is empty.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The numbers, ascending.
    pub fn iter(self) -> impl Iterator<Item = u32> {
        (0..64).filter(move |number| self.contains(*number))
    }

    /// The names with `CAP_`, ascending by number.
    pub fn names(self) -> Vec<String> {
        self.iter().map(name).collect()
    }
}

impl FromIterator<u32> for CapSet {
    fn from_iter<T: IntoIterator<Item = u32>>(numbers: T) -> Self {
        numbers.into_iter().fold(Self::EMPTY, |set, number| set.union(Self::of(number)))
    }
}

impl fmt::Display for CapSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.names().join(","))
    }
}

/// The name with `CAP_`; a number that is newer than this table keeps its number.
pub fn name(number: u32) -> String {
    match NAMES.get(number as usize) {
        Some(name) => format!("CAP_{name}"),
        None => format!("CAP_{number}"),
    }
}

/// Reads `CAP_NET_ADMIN`, `net_admin`, `NET_ADMIN`.
pub fn parse(text: &str) -> Option<u32> {
    let upper = text.to_ascii_uppercase();
    let short = upper.strip_prefix("CAP_").unwrap_or(&upper);
    NAMES.iter().position(|known| *known == short).map(|number| number as u32)
}

/// The highest capability of the running kernel, found with `prctl(2)`.
pub fn last_cap() -> u32 {
    let mut last = NAMES.len() as u32 - 1;
    while bounding_has(last + 1).is_some() && last < 63 {
        last += 1;
    }
    while last > 0 && bounding_has(last).is_none() {
        last -= 1;
    }
    last
}

/// Whether the bounding set has it; `None`: the kernel does not know it.
pub fn bounding_has(number: u32) -> Option<bool> {
    // SAFETY: integers only.
    match unsafe { libc::prctl(libc::PR_CAPBSET_READ, u64::from(number), 0, 0, 0) } {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

/// Drops a capability from the bounding set, for good.
pub fn bounding_drop(number: u32) -> io::Result<()> {
    prctl(libc::PR_CAPBSET_DROP, u64::from(number), 0)
}

/// Empties the ambient set.
pub fn ambient_clear() -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL as u64, 0)
}

/// Adds to the ambient set a capability that is permitted and inheritable.
pub fn ambient_raise(number: u32) -> io::Result<()> {
    prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_RAISE as u64, u64::from(number))
}

fn prctl(option: libc::c_int, a: u64, b: u64) -> io::Result<()> {
    // SAFETY: the options that come here take integers only.
    let rc = unsafe { libc::prctl(option, a, b, 0, 0) };
    if rc >= 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// The three sets of `capget(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ThreadCaps {
    /// What is checked.
    pub effective: CapSet,
    /// What may become effective.
    pub permitted: CapSet,
    /// What survives an exec with the file's help.
    pub inheritable: CapSet,
}

/// The sets of this thread.
pub fn current() -> io::Result<ThreadCaps> {
    let header = Header { version: VERSION_3, pid: 0 };
    let mut data = [Data::default(); 2];
    // SAFETY: version 3 takes two data elements, and all live through the call.
    let rc = unsafe { libc::syscall(libc::SYS_capget, &raw const header, data.as_mut_ptr()) };
    if rc != 0 {
        return Err(io::Error::last_os_error());
    }
    let join = |low: u32, high: u32| CapSet(u64::from(low) | u64::from(high) << 32);
    Ok(ThreadCaps {
        effective: join(data[0].effective, data[1].effective),
        permitted: join(data[0].permitted, data[1].permitted),
        inheritable: join(data[0].inheritable, data[1].inheritable),
    })
}

/// Sets the three sets of this thread: `capset(2)`.
pub fn set(caps: &ThreadCaps) -> io::Result<()> {
    let header = Header { version: VERSION_3, pid: 0 };
    let part = |shift: u32| Data {
        effective: (caps.effective.0 >> shift) as u32,
        permitted: (caps.permitted.0 >> shift) as u32,
        inheritable: (caps.inheritable.0 >> shift) as u32,
    };
    let data = [part(0), part(32)];
    // SAFETY: as in `current`; the kernel only reads.
    let rc = unsafe { libc::syscall(libc::SYS_capset, &raw const header, data.as_ptr()) };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Whether this thread has the capability in its effective set.
pub fn has(number: u32) -> bool {
    current().is_ok_and(|caps| caps.effective.contains(number))
}

/// `CAP_SYS_ADMIN`.
pub const SYS_ADMIN: u32 = 21;
/// `CAP_SYS_RESOURCE`: raising hard limits, lowering `oom_score_adj`.
pub const SYS_RESOURCE: u32 = 24;
/// `CAP_MKNOD`.
pub const MKNOD: u32 = 27;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Data {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

const VERSION_3: u32 = 0x2008_0522;

/// Names by number, without `CAP_`: `linux/capability.h`, `capabilities(7)`.
pub const NAMES: [&str; 41] = [
    "CHOWN",
    "DAC_OVERRIDE",
    "DAC_READ_SEARCH",
    "FOWNER",
    "FSETID",
    "KILL",
    "SETGID",
    "SETUID",
    "SETPCAP",
    "LINUX_IMMUTABLE",
    "NET_BIND_SERVICE",
    "NET_BROADCAST",
    "NET_ADMIN",
    "NET_RAW",
    "IPC_LOCK",
    "IPC_OWNER",
    "SYS_MODULE",
    "SYS_RAWIO",
    "SYS_CHROOT",
    "SYS_PTRACE",
    "SYS_PACCT",
    "SYS_ADMIN",
    "SYS_BOOT",
    "SYS_NICE",
    "SYS_RESOURCE",
    "SYS_TIME",
    "SYS_TTY_CONFIG",
    "MKNOD",
    "LEASE",
    "AUDIT_WRITE",
    "AUDIT_CONTROL",
    "SETFCAP",
    "MAC_OVERRIDE",
    "MAC_ADMIN",
    "SYSLOG",
    "WAKE_ALARM",
    "BLOCK_SUSPEND",
    "AUDIT_READ",
    "PERFMON",
    "BPF",
    "CHECKPOINT_RESTORE",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_both_ways() {
        assert_eq!(parse("CAP_SYS_ADMIN"), Some(SYS_ADMIN));
        assert_eq!(parse("sys_resource"), Some(SYS_RESOURCE));
        assert_eq!(parse("CAP_NONE"), None);
        for number in 0..=40 {
            assert_eq!(parse(&name(number)), Some(number));
        }
        assert_eq!(name(63), "CAP_63");
    }

    #[test]
    fn the_kernel_agrees() {
        let text = std::fs::read_to_string("/proc/sys/kernel/cap_last_cap").unwrap();
        assert_eq!(last_cap().to_string(), text.trim());
        let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
        let effective = status.lines().find_map(|line| line.strip_prefix("CapEff:\t")).unwrap();
        assert_eq!(current().unwrap().effective, CapSet(u64::from_str_radix(effective, 16).unwrap()));
    }
}
