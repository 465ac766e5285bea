//! The processes of a container, as `ps` shows them.
//!
//! Without options they are read here, in the columns of `ps -ef`. With options it is the host's
//! `ps` that knows them, as docker has it: what it prints of other processes is left out.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;
use std::time::SystemTime;

use cgroup::Layout;
use inspect::Proc;
use sys::process::ProcStat;

use super::resources::need_cgroups;
use crate::container::Record;
use crate::engine::Engine;
use crate::error::Error;
use crate::request::InvalidOption;

/// A table of processes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Top {
    /// The headings of the columns.
    pub titles: Vec<String>,
    /// A process a row, with as many cells as there are titles.
    pub processes: Vec<Vec<String>>,
}

impl Engine {
    /// The processes of a running container; `options` are those of `ps`.
    pub fn top(&self, record: &Record, options: &[String]) -> Result<Top, Error> {
        let Some(init) = record.lifecycle.pid() else {
            return Err(Error::NotRunning { name: record.name.clone() });
        };
        let pids = match need_cgroups("list the processes of", record) {
            Ok(()) => {
                let layout = Layout::detect().map_err(Error::cgroup(&record.name))?;
                let pids = self.cgroup_of(record, &layout)?.pids().map_err(Error::cgroup(&record.name))?;
                pids.into_iter().collect()
            }
            Err(_) => of_namespace(init),
        };
        super::still_there(std::slice::from_ref(record))?;
        if options.is_empty() { Ok(own(&pids)) } else { Ok(asked(options, &pids)?) }
    }
}

/// Without a control group: who shares init's process namespace.
fn of_namespace(init: i32) -> BTreeSet<i32> {
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(init);
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    pids.filter(|pid| namespace(*pid) == own).collect()
}

/// The columns of `ps -ef`.
fn own(pids: &BTreeSet<i32>) -> Top {
    let titles = ["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let now = SystemTime::now();
    let rows =
        Proc::open().map(|proc| pids.iter().filter_map(|pid| row(&proc, *pid, &passwd, now)).collect());
    Top { titles, processes: rows.unwrap_or_default() }
}

/// None for a process that has ended by now.
fn row(proc: &Proc, pid: i32, passwd: &str, now: SystemTime) -> Option<Vec<String>> {
    let stat = ProcStat::read(pid).ok()?;
    let process = proc.process(pid).ok()?;
    let started = process.started(proc).ok()?.value;
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let uid = status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_whitespace().nth(1)?;
    let command = process.command_line().map(|line| line.value.join(" ")).unwrap_or_default();
    let used = (stat.utime + stat.stime) / rustix::param::clock_ticks_per_second().max(1);
    let lived = now.duration_since(started).unwrap_or_default();
    let share = (used * 100).checked_div(lived.as_secs()).unwrap_or(0).min(99);
    let day = if lived.as_secs() < DAY { "%H:%M" } else { "%b%d" };
    let start = jiff::Timestamp::try_from(started).ok()?.strftime(day).to_string();
    let command = if command.is_empty() { format!("[{}]", stat.comm) } else { command };
    let time = format!("{:02}:{:02}:{:02}", used / 3600, used / 60 % 60, used % 60);
    let (pid, parent, share) = (pid.to_string(), stat.ppid.to_string(), share.to_string());
    Some(vec![user_name(passwd, uid), pid, parent, share, start, terminal(stat.tty), time, command])
}

/// The name in `passwd`, the number when it has none.
fn user_name(passwd: &str, uid: &str) -> String {
    let named = passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == uid).then_some(name)
    });
    named.unwrap_or(uid).to_owned()
}

/// The name of a terminal by its device number, as the kernel packs that.
fn terminal(device: i32) -> String {
    let device = device.cast_unsigned();
    let (major, minor) = ((device >> 8) & 0xfff, (device & 0xff) | ((device >> 12) & 0xf_ff00));
    match major {
        136..=143 => format!("pts/{}", ((major - 136) << 20) + minor),
        4 => format!("tty{minor}"),
        _ => "?".to_owned(),
    }
}

/// What the host's `ps` says of these processes.
fn asked(options: &[String], pids: &BTreeSet<i32>) -> Result<Top, InvalidOption> {
    let given = options.join(" ");
    let wrong = |why: String| InvalidOption::new("ps OPTIONS", &given, why);
    let numbers = pids.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
    let ps = |more: Option<String>| {
        Command::new("ps").args(given.split_whitespace()).args(more).env("LC_ALL", "C").output()
    };
    // Some options do not go with a choice of processes.
    let output = match ps(Some(format!("-q{numbers}"))) {
        Ok(output) if !output.status.success() => ps(None),
        other => other,
    };
    let output = output
        .map_err(|error| wrong(format!("the host's ps does not run: {error}: leave its options out")))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(wrong(format!("ps: {}", said.lines().find(|line| !line.is_empty()).unwrap_or("failed"))));
    }
    chosen(&String::from_utf8_lossy(&output.stdout), pids)
        .ok_or_else(|| wrong("Couldn't find PID field in ps output".to_owned()))
}

/// The rows of the table that `ps` has printed which are about these processes.
fn chosen(printed: &str, pids: &BTreeSet<i32>) -> Option<Top> {
    let mut lines = printed.lines();
    let titles: Vec<String> = lines.next()?.split_whitespace().map(str::to_owned).collect();
    let at = titles.iter().position(|title| title == "PID")?;
    let mut processes: Vec<Vec<String>> = Vec::new();
    let mut taken = false;
    for line in lines {
        let cells: Vec<&str> = line.split_whitespace().collect();
        // A thread of the process above.
        let is_thread = cells.get(at) == Some(&"-");
        let pid = cells.get(at).and_then(|cell| cell.parse().ok());
        taken = if is_thread { taken } else { pid.is_some_and(|pid| pids.contains(&pid)) };
        if !taken {
            continue;
        }
        // The last column is the only one with blanks in it.
        let (firsts, last) = cells.split_at(cells.len().min(titles.len() - 1));
        let firsts = firsts.iter().map(|cell| (*cell).to_owned());
        processes.push(firsts.chain([last.join(" ")]).collect());
    }
    Some(Top { titles, processes })
}

const DAY: u64 = 24 * 3600;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_other_processes_are_left_out() {
        let printed =
            "  PID TT   COMMAND\n    1 ?    init\n   70 ?    sh -c  x\n    - -    -\n   71 ?    ps\n";
        let top = chosen(printed, &BTreeSet::from([70])).unwrap();
        assert_eq!(top.titles, ["PID", "TT", "COMMAND"]);
        assert_eq!(top.processes, [["70", "?", "sh -c x"], ["-", "-", "-"]]);
        assert_eq!(chosen("COMMAND\nsh\n", &BTreeSet::new()), None);
        assert_eq!(chosen("PID\n70\n", &BTreeSet::from([70])).unwrap().processes, [["70"]]);
    }

    #[test]
    fn terminals_and_users_have_names() {
        assert_eq!([0, 0x8803, 0x0401].map(terminal), ["?", "pts/3", "tty1"]);
        assert_eq!(user_name("root:x:0:0\nme:x:7:7", "7"), "me");
        assert_eq!(user_name("root:x:0:0\n", "7"), "7");
    }
}
