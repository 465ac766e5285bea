//! Names of capabilities.

use std::collections::HashSet;
use std::fmt;
use std::str::FromStr;

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::UnknownWord;

/// A set of capabilities.
pub type Capabilities = HashSet<Capability>;

macro_rules! capabilities {
    ($($variant:ident = $name:literal,)*) => {
        /// A capability (`capabilities(7)`). Its text has no `CAP_`; in JSON it has, and is read in
        /// any case and without it, too.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Capability {
            $(#[doc = concat!("`CAP_", $name, "`")] $variant,)*
        }

        const ALL: &[(&str, Capability)] = &[$(($name, Capability::$variant),)*];
    };
}

capabilities! {
    AuditControl = "AUDIT_CONTROL",
    AuditRead = "AUDIT_READ",
    AuditWrite = "AUDIT_WRITE",
    BlockSuspend = "BLOCK_SUSPEND",
    Bpf = "BPF",
    CheckpointRestore = "CHECKPOINT_RESTORE",
    Chown = "CHOWN",
    DacOverride = "DAC_OVERRIDE",
    DacReadSearch = "DAC_READ_SEARCH",
    Fowner = "FOWNER",
    Fsetid = "FSETID",
    IpcLock = "IPC_LOCK",
    IpcOwner = "IPC_OWNER",
    Kill = "KILL",
    Lease = "LEASE",
    LinuxImmutable = "LINUX_IMMUTABLE",
    MacAdmin = "MAC_ADMIN",
    MacOverride = "MAC_OVERRIDE",
    Mknod = "MKNOD",
    NetAdmin = "NET_ADMIN",
    NetBindService = "NET_BIND_SERVICE",
    NetBroadcast = "NET_BROADCAST",
    NetRaw = "NET_RAW",
    Perfmon = "PERFMON",
    Setgid = "SETGID",
    Setfcap = "SETFCAP",
    Setpcap = "SETPCAP",
    Setuid = "SETUID",
    SysAdmin = "SYS_ADMIN",
    SysBoot = "SYS_BOOT",
    SysChroot = "SYS_CHROOT",
    SysModule = "SYS_MODULE",
    SysNice = "SYS_NICE",
    SysPacct = "SYS_PACCT",
    SysPtrace = "SYS_PTRACE",
    SysRawio = "SYS_RAWIO",
    SysResource = "SYS_RESOURCE",
    SysTime = "SYS_TIME",
    SysTtyConfig = "SYS_TTY_CONFIG",
    Syslog = "SYSLOG",
    WakeAlarm = "WAKE_ALARM",
}

impl Capability {
    /// The name without `CAP_`.
    pub fn as_str(self) -> &'static str {
        ALL[self as usize].0
    }

    /// The capability of this name, in any case, with `CAP_` or without.
    pub fn named(text: &str) -> Option<Self> {
        let has_prefix = text.get(..4).is_some_and(|start| start.eq_ignore_ascii_case("CAP_"));
        let name = if has_prefix { &text[4..] } else { text };
        // As nearly all are written; then in any case.
        let found = ALL.iter().find(|(known, _)| *known == name);
        found.or_else(|| ALL.iter().find(|(known, _)| known.eq_ignore_ascii_case(name))).map(|(_, it)| *it)
    }
}

impl fmt::Display for Capability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Capability {
    type Err = UnknownWord;

    fn from_str(name: &str) -> Result<Self, UnknownWord> {
        ALL.iter().find(|(known, _)| *known == name).map(|(_, it)| *it).ok_or(UnknownWord)
    }
}

impl Serialize for Capability {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("CAP_{self}"))
    }
}

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Name)
    }
}

struct Name;

impl Visitor<'_> for Name {
    type Value = Capability;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a capability")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Capability, E> {
        let known = Capability::named(text);
        known.ok_or_else(|| E::custom(format_args!("no capability has the name {text}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_in_any_case_and_written_in_one() {
        for text in ["SYSLOG", "CAP_SYSLOG", "cap_SYSLOG", "sySloG"] {
            let read: Capability = serde_json::from_value(text.into()).unwrap();
            assert_eq!(read, Capability::Syslog);
        }
        assert_eq!(serde_json::to_value(Capability::SysAdmin).unwrap(), "CAP_SYS_ADMIN");
        assert!(serde_json::from_value::<Capability>("CAP_".into()).is_err());
        assert!(serde_json::from_value::<Capability>("CAP_CAP_KILL".into()).is_err());
    }

    #[test]
    fn each_has_its_own_name() {
        for (name, it) in ALL {
            assert_eq!(it.to_string(), *name);
            assert_eq!(name.parse(), Ok(*it));
        }
    }
}
