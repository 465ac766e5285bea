//! Who a process is: command line, executable, start time, parents.

use std::time::{Duration, SystemTime};

use serde::Serialize;

use crate::error::{Error, Malformed};
use crate::kernel;
use crate::procfs::{Proc, Process};
use crate::sourced::Sourced;

/// The part of `/proc/PID/stat` that other files lack: `proc_pid_stat(5)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stat {
    /// Command name.
    pub name: String,
    /// State letter.
    pub state: char,
    /// Parent PID.
    pub parent: i32,
    /// Process group.
    pub group: i32,
    /// Session.
    pub session: i32,
    /// Controlling terminal's device number, 0 without.
    pub terminal: i32,
    /// Start, in clock ticks after boot: with the PID it names a process for ever.
    pub start_ticks: u64,
}

impl Stat {
    /// Reads the line. The name may hold spaces and parentheses, so it ends at the
    /// **last** `)`.
    pub fn parse(text: &str) -> Result<Self, Malformed> {
        let bad = |what| Malformed { line: 1, what };
        let open = text.find('(').ok_or(bad("no ( before the name"))?;
        let close = text.rfind(')').filter(|close| *close > open).ok_or(bad("no ) after the name"))?;
        let fields: Vec<&str> = text[close + 1..].split_ascii_whitespace().collect();
        // Field N of the manual page is fields[N - 3].
        let number = |index: usize| {
            fields.get(index).and_then(|field| field.parse::<i64>().ok()).ok_or(bad("a field is missing"))
        };
        let small = |index: usize| number(index).map(|value| value as i32);
        Ok(Self {
            name: text[open + 1..close].to_owned(),
            state: fields.first().and_then(|state| state.chars().next()).ok_or(bad("no state"))?,
            parent: small(1)?,
            group: small(2)?,
            session: small(3)?,
            terminal: small(4)?,
            start_ticks: number(19)?.unsigned_abs(),
        })
    }
}

/// A parent, grandparent…
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Ancestor {
    /// Its PID.
    pub pid: i32,
    /// Its command name.
    pub name: String,
    /// Its arguments.
    pub command: Vec<String>,
}

impl Process {
    /// `/proc/PID/stat`.
    pub fn stat(&self) -> Result<Sourced<Stat>, Error> {
        self.parsed("stat", Stat::parse)
    }

    /// Arguments, as the process holds them now; empty for kernel threads and zombies.
    pub fn command_line(&self) -> Result<Sourced<Vec<String>>, Error> {
        Ok(self.text("cmdline")?.map(|text| split_arguments(&text)))
    }

    /// The program file, as a path in the process's mount namespace.
    pub fn executable(&self) -> Result<Sourced<String>, Error> {
        self.link("exe")
    }

    /// When it was started, by the wall clock, to some hundredths of a second.
    pub fn started(&self, proc: &Proc) -> Result<Sourced<SystemTime>, Error> {
        let stat = self.stat()?;
        // Not from `btime` of /proc/stat, which is whole seconds.
        let uptime = kernel::uptime(proc)?;
        let per_second = rustix::param::clock_ticks_per_second().max(1);
        let start = Duration::from_millis(stat.value.start_ticks.saturating_mul(1000) / per_second);
        let at = SystemTime::now().checked_sub(uptime.value.saturating_sub(start));
        let source = format!("{} and {}", stat.source, uptime.source);
        Ok(Sourced::new(at.unwrap_or(SystemTime::UNIX_EPOCH), source))
    }

    /// Parents up to PID 1, nearest first.
    pub fn ancestors(&self, proc: &Proc) -> Result<Sourced<Vec<Ancestor>>, Error> {
        let mut chain = Vec::new();
        let mut parent = self.stat()?.value.parent;
        while parent > 0 && chain.len() < ANCESTORS_MAX {
            let Ok(process) = proc.process(parent) else { break };
            let Ok(stat) = process.stat() else { break };
            let command = process.command_line().map(|line| line.value).unwrap_or_default();
            chain.push(Ancestor { pid: parent, name: stat.value.name, command });
            parent = stat.value.parent;
        }
        Ok(Sourced::new(chain, self.path("stat")))
    }

    /// Its children, ascending, from a list of all processes.
    pub fn children(&self, proc: &Proc) -> Result<Vec<i32>, Error> {
        let mut children = Vec::new();
        for pid in proc.pids()? {
            match proc.process(pid).and_then(|process| process.stat()) {
                Ok(stat) if stat.value.parent == self.pid() => children.push(pid),
                _ => {}
            }
        }
        Ok(children)
    }
}

/// The kernel ends each argument with a NUL.
fn split_arguments(text: &str) -> Vec<String> {
    let body = text.strip_suffix('\0').unwrap_or(text);
    if body.is_empty() { Vec::new() } else { body.split('\0').map(str::to_owned).collect() }
}

/// Parents may change while we climb; this ends a climb in circles.
const ANCESTORS_MAX: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str =
        "4711 (a b) c) S 4700 4711 4711 0 -1 4194560 1 0 0 0 1 2 3 4 20 0 1 0 123456 1000 50 0\n";

    #[test]
    fn the_name_ends_at_the_last_parenthesis() {
        let stat = Stat::parse(SAMPLE).unwrap();
        assert_eq!(
            (stat.name.as_str(), stat.state, stat.parent, stat.start_ticks),
            ("a b) c", 'S', 4700, 123456)
        );
    }

    #[test]
    fn truncated_and_hostile_text_never_panics() {
        for end in 0..SAMPLE.len() {
            let _ = Stat::parse(&SAMPLE[..end]);
        }
        for bad in ["", "()", ")(", "1 (x)", "1 (x) S", "1 (x) S a b c"] {
            assert!(Stat::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn splits_arguments() {
        assert_eq!(split_arguments("sh\0-c\0\0"), ["sh", "-c", ""]);
        assert!(split_arguments("").is_empty());
        assert_eq!(split_arguments("setproctitle style"), ["setproctitle style"]);
    }

    #[test]
    fn a_child_starts_now_and_has_us_as_parent() {
        let proc = Proc::open().unwrap();
        let before = SystemTime::now();
        let mut child = std::process::Command::new("/bin/sleep").arg("60").spawn().unwrap();
        let process = proc.process(child.id() as i32).unwrap();
        let started = process.started(&proc).unwrap().value;
        let ancestors = process.ancestors(&proc).unwrap().value;
        let children = proc.this().unwrap().children(&proc).unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let apart = started.duration_since(before).unwrap_or_else(|error| error.duration());
        assert!(apart < Duration::from_secs(1), "{apart:?}");
        assert_eq!(ancestors.first().map(|a| a.pid), Some(std::process::id() as i32));
        assert!(children.contains(&(child.id() as i32)));
    }
}
