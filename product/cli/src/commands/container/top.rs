//! `strake top`.

use std::fs;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Table;

/// Arguments of `strake top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake top web")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let record = engine.find(&args.container)?;
    let Some(pid) = record.lifecycle.pid() else {
        return Err(engine::Error::NotRunning { name: record.name }.into());
    };
    let namespace = |pid: i32| fs::read_link(format!("/proc/{pid}/ns/pid")).ok();
    let own = namespace(pid);
    let mut pids: Vec<i32> =
        fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    pids.retain(|pid| namespace(*pid) == own);
    pids.sort_unstable();
    let mut table = Table::new();
    table.row(["UID", "PID", "PPID", "STAT", "CMD"]);
    for pid in pids {
        let Ok(stat) = sys::process::ProcStat::read(pid) else { continue };
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let uid = status.lines().find_map(|line| line.strip_prefix("Uid:")).unwrap_or("");
        let command = fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let command = command.trim_end_matches(char::from(0)).replace(char::from(0), " ");
        table.row([
            uid.split_whitespace().next().unwrap_or("").to_owned(),
            pid.to_string(),
            stat.ppid.to_string(),
            stat.state.to_string(),
            if command.is_empty() { format!("[{}]", stat.comm) } else { command },
        ]);
    }
    context.print(format_args!("{table}"))?;
    Ok(Status::SUCCESS)
}
