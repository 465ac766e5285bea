//! `strake ns ls`.

use inspect::namespaces::NamespaceUse;
use inspect::{Census, Namespace, NamespaceKind, Proc};
use serde_json::{Value, json};

use super::parse_kind;
use crate::commands::explain::target;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Table;

/// Arguments of `strake ns ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake ns ls\n  strake ns ls -t net\n  strake ns ls web")]
pub struct Args {
    /// Only the namespaces of this container or process
    #[arg(value_name = "CONTAINER|PID")]
    pub target: Option<String>,
    /// Only this kind: mnt, pid, net, user, uts, ipc, cgroup or time
    #[arg(short = 't', long = "type", value_name = "KIND", value_parser = parse_kind)]
    pub kind: Option<NamespaceKind>,
    /// Print JSON
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let proc = Proc::open()?;
    let only = args.target.as_deref().map(|text| namespaces_of(&proc, text, context)).transpose()?;
    let census = Census::take(&proc)?;
    let wanted = |found: &NamespaceUse| {
        args.kind.is_none_or(|kind| found.namespace.kind == kind)
            && only.as_ref().is_none_or(|only| only.contains(&found.namespace))
    };
    let rows: Vec<Row> =
        census.list().into_iter().filter(wanted).map(|found| Row::of(&proc, found)).collect();
    if args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        context.print_line(serde_json::to_string_pretty(&json!({ "namespaces": rows }))?)?;
    } else {
        let mut table = Table::new();
        table.row(["NS", "TYPE", "NPROCS", "PID", "USER", "COMMAND"]);
        for row in &rows {
            table.row(row.cells());
        }
        context.print(format_args!("{table}"))?;
    }
    if census.unreadable > 0 {
        let are = match census.unreadable {
            1 => "1 process is".to_owned(),
            count => format!("{count} processes are"),
        };
        context.warn(format_args!("{are} not counted: their namespaces may not be read"));
    }
    Ok(Status::SUCCESS)
}

fn namespaces_of(proc: &Proc, text: &str, context: &Context) -> Result<Vec<Namespace>, CliError> {
    let target = target::resolve(text, context)?;
    let namespaces = proc.process(target.running_pid()?)?.namespaces()?;
    Ok(namespaces.into_iter().map(|namespace| namespace.value).collect())
}

struct Row {
    found: NamespaceUse,
    user: Option<String>,
    command: String,
}

impl Row {
    fn of(proc: &Proc, found: NamespaceUse) -> Self {
        let line = found.pid.and_then(|pid| proc.process(pid).ok()?.command_line().ok());
        let command = match line.map(|line| line.value) {
            Some(words) if !words.is_empty() => words.join(" "),
            // Kernel threads have no arguments; a namespace that only a mount keeps has no process.
            _ => found.command.clone().unwrap_or_else(|| found.mounted_at.join(" ")),
        };
        let printable = command.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        Self { user: found.uid.map(user_name), command: printable, found }
    }

    fn cells(&self) -> [String; 6] {
        let found = &self.found;
        [
            found.namespace.inode.to_string(),
            found.namespace.kind.to_string(),
            found.processes.to_string(),
            found.pid.map(|pid| pid.to_string()).unwrap_or_default(),
            self.user.clone().unwrap_or_default(),
            self.command.clone(),
        ]
    }

    /// The field names of `lsns --json`.
    fn json(&self) -> Value {
        let found = &self.found;
        json!({
            "ns": found.namespace.inode,
            "type": found.namespace.kind,
            "nprocs": found.processes,
            "pid": found.pid,
            "user": self.user,
            "command": self.command,
            "nsfs": found.mounted_at,
        })
    }
}

/// The name in `/etc/passwd`, the number when it has none.
fn user_name(uid: u32) -> String {
    let table = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let number = uid.to_string();
    let named = table.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == number).then(|| name.to_owned())
    });
    named.unwrap_or(number)
}
