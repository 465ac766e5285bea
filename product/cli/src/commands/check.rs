//! `strake check`: what this host can do.

use explain::Style;
use inspect::host::HostFacts;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake check`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Finds out what this host can do for containers: kernel features, control groups, firewall, \
                  security, limits, space, and what rootless containers need. Features are tried in processes \
                  that are thrown away, not read off the kernel's version. Each finding says what follows for \
                  containers and the smallest thing to do about it. Exits with 1 if no container can run at all.",
    after_help = "Examples:\n  strake check\n  strake check --all                  what everything is good for\n  strake check --json | jq '.findings[] | select(.level == \"warning\")'"
)]
pub struct Args {
    /// Say also of what is well what it is good for
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Print JSON: {version, can_run, summary, findings: [{id, group, level, value, consequence, fix}]}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let report = explain::judge(&HostFacts::gather(&context.root));
    if args.json {
        context.print_line(serde_json::to_string_pretty(&report)?)?;
    } else {
        let columns = || sys::tty::size(std::io::stdout()).ok().map(|(columns, _)| usize::from(columns));
        let width = if context.stdout_is_terminal() { columns() } else { None };
        let style = Style { width: width.filter(|columns| *columns >= 40), colour: context.colour() };
        let text = explain::render_host(&report, style, args.all);
        context.print(format_args!("{text}"))?;
    }
    Ok(if report.can_run { Status::SUCCESS } else { Status::FAILURE })
}
