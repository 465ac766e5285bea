//! `/proc/PID/status`: `proc_pid_status(5)`.

use std::collections::HashMap;

use serde::Serialize;

use crate::capabilities::{CapSet, CapSets};
use crate::error::{Error, Malformed};
use crate::procfs::Process;
use crate::signals::SignalSet;
use crate::sourced::Sourced;

/// What of the file we use.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Status {
    /// Command name, at most 15 bytes.
    pub name: String,
    /// `R`, `S`, `D`, `T`, `Z`…
    pub state: char,
    /// Process id as the procfs's PID namespace numbers it.
    pub pid: i32,
    /// Parent, 0 when it is outside of the procfs's PID namespace.
    pub parent: i32,
    /// A tracer's PID, 0 without.
    pub tracer: i32,
    /// User ids.
    pub uid: Ids,
    /// Group ids.
    pub gid: Ids,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// The PID in each PID namespace from the procfs's inwards.
    pub ns_pids: Vec<i32>,
    /// Resident memory; kernel threads and zombies have none.
    pub resident_bytes: Option<u64>,
    /// Threads.
    pub threads: u32,
    /// Signals by what the process does with them.
    pub signals: Signals,
    /// The five capability sets.
    pub capabilities: CapSets,
    /// `execve` grants nothing any more (`prctl(2)` PR_SET_NO_NEW_PRIVS).
    pub no_new_privs: Option<bool>,
    /// Whether system calls are filtered.
    pub seccomp: Option<SeccompMode>,
    /// How many filters are stacked (Linux ≥ 5.9).
    pub seccomp_filters: Option<u32>,
}

/// The four ids of a credential.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ids {
    /// Who started it.
    pub real: u32,
    /// Whose rights it has.
    pub effective: u32,
    /// What it may switch back to.
    pub saved: u32,
    /// For file access.
    pub filesystem: u32,
}

/// Signal dispositions of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Signals {
    /// Held back.
    pub blocked: SignalSet,
    /// Thrown away.
    pub ignored: SignalSet,
    /// With a handler.
    pub caught: SignalSet,
}

/// `Seccomp:` of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SeccompMode {
    /// 0: any call.
    Disabled,
    /// 1: read, write, exit only.
    Strict,
    /// 2: BPF filters.
    Filter,
}

impl Status {
    /// Reads the file's text.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let fields = Fields::new(text);
        Ok(Self {
            name: fields.text("Name").ok_or(fields.lacks("Name"))?.to_owned(),
            state: fields.text("State").and_then(|s| s.chars().next()).ok_or(fields.lacks("State"))?,
            pid: fields.number("Pid").ok_or(fields.lacks("Pid"))?,
            parent: fields.number("PPid").ok_or(fields.lacks("PPid"))?,
            tracer: fields.number("TracerPid").unwrap_or(0),
            uid: fields.ids("Uid").ok_or(fields.lacks("four numbers in Uid"))?,
            gid: fields.ids("Gid").ok_or(fields.lacks("four numbers in Gid"))?,
            groups: fields.numbers("Groups"),
            ns_pids: fields.numbers("NSpid"),
            resident_bytes: fields.kibibytes("VmRSS"),
            threads: fields.number("Threads").unwrap_or(1),
            signals: Signals {
                blocked: SignalSet(fields.mask("SigBlk")),
                ignored: SignalSet(fields.mask("SigIgn")),
                caught: SignalSet(fields.mask("SigCgt")),
            },
            capabilities: CapSets {
                inheritable: CapSet(fields.mask("CapInh")),
                permitted: CapSet(fields.mask("CapPrm")),
                effective: CapSet(fields.mask("CapEff")),
                bounding: CapSet(fields.mask("CapBnd")),
                ambient: CapSet(fields.mask("CapAmb")),
            },
            no_new_privs: fields.number::<u8>("NoNewPrivs").map(|set| set != 0),
            seccomp: match fields.number::<u8>("Seccomp") {
                Some(0) => Some(SeccompMode::Disabled),
                Some(1) => Some(SeccompMode::Strict),
                Some(2) => Some(SeccompMode::Filter),
                _ => None,
            },
            seccomp_filters: fields.number("Seccomp_filters"),
        })
    }
}

impl Process {
    /// `/proc/PID/status`.
    pub fn status(&self) -> Result<Sourced<Status>, Error> {
        self.parsed("status", Status::parse)
    }
}

struct Fields<'a> {
    values: HashMap<&'a str, &'a str>,
    lines: usize,
}

impl<'a> Fields<'a> {
    fn new(text: &'a str) -> Self {
        let mut values = HashMap::new();
        for line in text.lines() {
            if let Some((key, value)) = line.split_once(':') {
                // The first one counts: a command name cannot forge a later line,
                // the kernel escapes its newlines.
                values.entry(key).or_insert(value.trim());
            }
        }
        Self { values, lines: text.lines().count() }
    }

    fn lacks(&self, what: &'static str) -> Malformed {
        Malformed { line: self.lines, what }
    }

    fn text(&self, key: &str) -> Option<&'a str> {
        self.values.get(key).copied().filter(|value| !value.is_empty() || key == "Name")
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        self.text(key)?.parse().ok()
    }

    fn numbers<T: std::str::FromStr>(&self, key: &str) -> Vec<T> {
        let words = self.text(key).unwrap_or("").split_ascii_whitespace();
        words.filter_map(|word| word.parse().ok()).collect()
    }

    fn ids(&self, key: &str) -> Option<Ids> {
        match self.numbers(key).as_slice() {
            [real, effective, saved, filesystem] => {
                Some(Ids { real: *real, effective: *effective, saved: *saved, filesystem: *filesystem })
            }
            _ => None,
        }
    }

    fn mask(&self, key: &str) -> u64 {
        self.text(key).and_then(|hex| u64::from_str_radix(hex, 16).ok()).unwrap_or(0)
    }

    fn kibibytes(&self, key: &str) -> Option<u64> {
        self.text(key)?.strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "Name:\tnginx\nUmask:\t0022\nState:\tS (sleeping)\nTgid:\t4711\nPid:\t4711\nPPid:\t4700\n\
        TracerPid:\t0\nUid:\t101\t101\t101\t101\nGid:\t101\t101\t101\t101\nGroups:\t101 \nNSpid:\t4711\t1\n\
        VmRSS:\t    7112 kB\nThreads:\t3\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001000\n\
        SigCgt:\t0000000000004002\nCapInh:\t0000000000000000\nCapPrm:\t00000000a80425fb\n\
        CapEff:\t00000000a80425fb\nCapBnd:\t00000000a80425fb\nCapAmb:\t0000000000000000\nNoNewPrivs:\t1\n\
        Seccomp:\t2\nSeccomp_filters:\t1\n";

    #[test]
    fn reads_a_container() {
        let status = Status::parse(SAMPLE).unwrap();
        assert_eq!(
            (status.name.as_str(), status.state, status.pid, status.parent),
            ("nginx", 'S', 4711, 4700)
        );
        assert_eq!(status.ns_pids, [4711, 1]);
        assert_eq!(status.uid.effective, 101);
        assert_eq!(status.groups, [101]);
        assert_eq!(status.resident_bytes, Some(7112 << 10));
        assert_eq!(status.capabilities.effective.len(), 14);
        assert!(status.signals.caught.has(15) && status.signals.ignored.has(13));
        assert_eq!(status.no_new_privs, Some(true));
        assert_eq!((status.seccomp, status.seccomp_filters), (Some(SeccompMode::Filter), Some(1)));
    }

    #[test]
    fn old_kernels_lack_lines() {
        let text: String = SAMPLE
            .lines()
            .filter(|l| !l.starts_with("Seccomp") && !l.starts_with("NSpid"))
            .fold(String::new(), |text, line| text + line + "\n");
        let status = Status::parse(&text).unwrap();
        assert_eq!(status.seccomp, None);
        assert!(status.ns_pids.is_empty());
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..SAMPLE.len() {
            let _ = Status::parse(&SAMPLE[..end]);
        }
        for text in
            ["", ":", "Name:", "Pid:\t99999999999999", "Uid:\t1\t2\t3", "VmRSS: 18446744073709551615 kB"]
        {
            assert!(Status::parse(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn a_name_cannot_forge_fields() {
        let text = SAMPLE.replace("Name:\tnginx", "Name:\tx\\nUid:\t0\t0\t0\t0");
        assert_eq!(Status::parse(&text).unwrap().uid.real, 101);
    }
}
