//! Tables of `list` and `ps`.

use std::collections::HashMap;
use std::process::Command;

use anyhow::{Context, ensure};
use sys::process::ProcStat;

/// Lays out rows in columns that are as wide as their widest cell.
pub(crate) fn columns(rows: &[Vec<String>], least: usize, gap: usize) -> String {
    let count = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |at: usize| rows.iter().filter_map(|row| row.get(at)).map(String::len).max().unwrap_or(0);
    let widths: Vec<usize> = (0..count).map(|at| (width(at) + gap).max(least)).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        text.push_str(cells.collect::<String>().trim_end());
        text.push('\n');
    }
    text
}

/// The lines of `ps -ef` for these processes.
pub(crate) fn processes(pids: &[i32]) -> String {
    let users = users();
    let boot = boot_time();
    let mut rows =
        vec![["UID", "PID", "PPID", "C", "STIME", "TTY", "TIME", "CMD"].map(str::to_owned).to_vec()];
    for pid in pids {
        if let Some(row) = process(*pid, &users, boot) {
            rows.push(row);
        }
    }
    columns(&rows, 0, 2)
}

/// The lines of `ps ARGS` for these processes: its columns are ps(1)'s own.
pub(crate) fn of_ps(args: &[String], pids: &[i32]) -> anyhow::Result<String> {
    let output = Command::new("ps").args(args).output().context("run ps for its options")?;
    ensure!(
        output.status.success(),
        "ps {}: {}",
        args.join(" "),
        String::from_utf8_lossy(&output.stderr).trim()
    );
    lines_of(&String::from_utf8_lossy(&output.stdout), pids)
}

fn lines_of(text: &str, pids: &[i32]) -> anyhow::Result<String> {
    let mut lines = text.lines();
    let head = lines.next().unwrap_or_default();
    let at = head.split_whitespace().position(|word| word == "PID");
    let at = at.context("couldn't find PID field in ps output")?;
    let pid_of = |line: &&str| line.split_whitespace().nth(at).and_then(|word| word.parse().ok());
    let of_ours = lines.filter(|line| pid_of(line).is_some_and(|pid: i32| pids.contains(&pid)));
    Ok(std::iter::once(head).chain(of_ours).flat_map(|line| [line, "\n"]).collect())
}

fn process(pid: i32, users: &HashMap<u32, String>, boot: u64) -> Option<Vec<String>> {
    use std::os::unix::fs::MetadataExt;
    let stat = ProcStat::read(pid).ok()?;
    let uid = std::fs::metadata(format!("/proc/{pid}")).ok()?.uid();
    let command = std::fs::read(format!("/proc/{pid}/cmdline")).ok()?;
    let command = String::from_utf8_lossy(&command).trim_end_matches('\0').replace('\0', " ");
    let seconds = (stat.utime + stat.stime) / TICKS;
    let started = boot + stat.start_time / TICKS;
    Some(vec![
        users.get(&uid).cloned().unwrap_or_else(|| uid.to_string()),
        pid.to_string(),
        stat.ppid.to_string(),
        "0".to_owned(),
        format!("{:02}:{:02}", started / 3600 % 24, started / 60 % 60),
        terminal(stat.tty).unwrap_or_else(|| "?".to_owned()),
        format!("{:02}:{:02}:{:02}", seconds / 3600, seconds / 60 % 60, seconds % 60),
        if command.is_empty() { format!("[{}]", stat.comm) } else { command },
    ])
}

/// Majors 136 to 143 are pseudo-terminals (`devices.txt` of the kernel).
fn terminal(tty: i32) -> Option<String> {
    let (major, minor) = ((tty >> 8) & 0xfff, (tty & 0xff) | ((tty >> 12) & 0xfff00));
    (136..=143).contains(&major).then(|| format!("pts/{}", minor + (major - 136) * 256))
}

/// Names of users by number.
pub(crate) fn users() -> HashMap<u32, String> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let line = |line: &str| {
        let mut fields = line.split(':');
        let name = fields.next()?.to_owned();
        Some((fields.nth(1)?.parse().ok()?, name))
    };
    text.lines().filter_map(line).collect()
}

fn boot_time() -> u64 {
    let text = std::fs::read_to_string("/proc/stat").unwrap_or_default();
    text.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok()).unwrap_or(0)
}

// USER_HZ, which is 100 on every architecture that we run on.
const TICKS: u64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![vec!["ID".to_owned(), "PID".to_owned()], vec!["web".to_owned(), "7".to_owned()]];
        assert_eq!(columns(&rows, 0, 2), "ID   PID\nweb  7\n");
    }

    #[test]
    fn our_own_process_is_listed() {
        let text = processes(&[std::process::id() as i32]);
        assert_eq!(text.lines().count(), 2);
    }

    #[test]
    fn lines_of_ps_are_chosen_by_its_own_column() {
        let text = "  UID   PID CMD\n    0    17 sh\n    0     7 init\n";
        assert_eq!(lines_of(text, &[7]).unwrap(), "  UID   PID CMD\n    0     7 init\n");
        assert!(lines_of("UID CMD\n", &[7]).is_err());
    }

    #[test]
    fn terminals() {
        assert_eq!(terminal(0x8803).as_deref(), Some("pts/3"));
        assert_eq!(terminal(0), None);
    }
}
