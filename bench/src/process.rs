//! What processes have used.

use std::fs;

use anyhow::{Context, Result};

/// Resident memory of a process.
pub(crate) fn resident_mib(pid: u32) -> Result<f64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).context("read a process's status")?;
    kib(&status, "VmRSS:").map(|kib| kib / 1024.0)
}

/// Resident memory of a process, as a table shows it.
pub(crate) fn resident(pid: u32) -> Result<String> {
    Ok(format!("{:.1} MiB", resident_mib(pid)?))
}

/// The memory that a process has to itself, and its share of what it has with others.
pub(crate) fn proportional_mib(pid: u32) -> Result<f64> {
    let sums = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).context("read a process's memory")?;
    kib(&sums, "Pss:").map(|kib| kib / 1024.0)
}

/// Processor time that a process has used.
pub(crate) fn cpu_seconds(pid: u32) -> Result<f64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).context("read a process's times")?;
    let behind = stat.rsplit(')').next().context("a name")?;
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks = |at: usize| -> Result<f64> { Ok(fields.get(at).context("too few fields")?.parse::<f64>()?) };
    Ok((ticks(11)? + ticks(12)?) / rustix::param::clock_ticks_per_second() as f64)
}

/// The running processes and their commands.
pub(crate) fn all() -> Result<Vec<(u32, String)>> {
    let pids = fs::read_dir("/proc").context("list processes")?.flatten();
    let pids = pids.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let command = |pid: u32| Some((pid, fs::read_to_string(format!("/proc/{pid}/cmdline")).ok()?));
    Ok(pids.filter_map(command).collect())
}

fn kib(text: &str, name: &str) -> Result<f64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    let line = line.with_context(|| format!("no {name}"))?;
    line.trim().trim_end_matches(" kB").trim().parse().with_context(|| name.to_owned())
}
