//! `strake cgroup tree`.

use base::ByteSize;
use inspect::Proc;
use inspect::cgroups::{self, Group, Mode};
use serde_json::json;

use crate::commands::explain::target;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Table;

/// Arguments of `strake cgroup tree`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake cgroup tree\n  strake cgroup tree /strake\n  strake cgroup tree web\n\n\
    On v1 each controller has a tree of its own; groups of the same path are shown as one, with the trees \
    that have it in the last column."
)]
pub struct Args {
    /// Where to begin: a path in the tree, or a container or process
    #[arg(value_name = "PATH|CONTAINER|PID", default_value = "/")]
    pub top: String,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let proc = Proc::open()?;
    let mounts = proc.this()?.mounts()?;
    let hierarchies = cgroups::hierarchies(&mounts.value);
    let mode = cgroups::mode(&hierarchies);
    if mode == Mode::Absent {
        return Err(CliError::message(
            "no cgroup file system is mounted; most hosts have it at /sys/fs/cgroup",
        ));
    }
    let top = if args.top.starts_with('/') { args.top.clone() } else { group_of(&proc, &args.top, context)? };
    let groups = cgroups::tree(&hierarchies, &top);
    if groups.is_empty() {
        let error = CliError::message(format!("no mounted cgroup tree has the group {top}"));
        return Err(error.with_fix("`strake cgroup tree` shows all groups"));
    }
    if args.json {
        let value = json!({ "mode": mode, "groups": groups });
        context.print_line(serde_json::to_string_pretty(&value)?)?;
        return Ok(Status::SUCCESS);
    }
    context.print(format_args!("{}", table(&groups)))?;
    Ok(Status::SUCCESS)
}

/// The deepest group of a process: on v1 the trees may differ, and the one that was
/// made for it is deeper than the root that it is left in elsewhere.
fn group_of(proc: &Proc, text: &str, context: &Context) -> Result<String, CliError> {
    let pid = target::resolve(text, context)?.running_pid()?;
    let memberships = proc.process(pid)?.cgroup_memberships()?.value;
    let paths = memberships.into_iter().map(|membership| membership.path);
    Ok(paths
        .max_by_key(|path| path.split('/').filter(|part| !part.is_empty()).count())
        .unwrap_or_else(|| "/".to_owned()))
}

fn table(groups: &[Group]) -> Table {
    let depth = |group: &Group| group.path.split('/').filter(|part| !part.is_empty()).count();
    let top = groups.first().map(depth).unwrap_or_default();
    let mut table = Table::new();
    table.row(["GROUP", "PROCESSES", "MEMORY", "LIMIT", "CPU TIME", "TREES"]);
    for group in groups {
        let level = depth(group).saturating_sub(top);
        let name = match group.path.rsplit('/').next() {
            // The first line has the whole path, those below it what they add.
            Some(name) if level > 0 => format!("{}{name}", "  ".repeat(level)),
            _ => group.path.clone(),
        };
        let size = |bytes: Option<u64>| bytes.map(|bytes| ByteSize(bytes).to_string()).unwrap_or_default();
        let cpu = group.cpu_micros.map(|micros| format!("{:.2}s", micros as f64 / 1e6)).unwrap_or_default();
        table.row([
            name.chars().map(|c| if c.is_control() { '?' } else { c }).collect(),
            group.pids.len().to_string(),
            size(group.memory_bytes),
            size(group.memory_limit_bytes),
            cpu,
            group.trees.join(" "),
        ]);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indents_by_depth_below_the_top() {
        let group =
            |path: &str| Group { path: path.to_owned(), trees: vec!["v2".to_owned()], ..Group::default() };
        let text = table(&[group("/a"), group("/a/b"), group("/a/b/c"), group("/a/d")]).to_string();
        let names: Vec<&str> =
            text.lines().skip(1).map(|line| line.split("  0").next().unwrap_or(line).trim_end()).collect();
        assert_eq!(names, ["/a", "  b", "    c", "  d"]);
    }
}
