//! `strake explain`: what the kernel holds of a process.

mod facts;
pub mod target;

use explain::{Report, Style, View};
use inspect::Proc;

use crate::context::Context;
use crate::error::{CliError, Status};

pub(crate) use facts::record_path;

/// Arguments of `strake explain`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Shows what the kernel really holds of a container or of any process of the host: its files, \
                  process tree, network, users, kernel, namespaces, control groups and rights. Each line has the \
                  value, where it was read, and what it means. Where strake's own record and the kernel \
                  disagree, that is said first.",
    after_help = "Examples:\n  strake explain web\n  strake explain 1\n  strake explain $$ --json"
)]
pub struct Args {
    /// A container's name or id, or the id of any process
    #[arg(value_name = "CONTAINER|PID")]
    pub target: String,
    /// Also read the system call filters out of the kernel and name the calls that they deny; the
    /// process is stopped for some microseconds
    #[arg(long)]
    pub filter: bool,
    /// Print JSON: the same lines as {name, value, source, meaning}
    #[arg(short = 'J', long)]
    pub json: bool,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<Status, CliError> {
    let Args { target, filter, json } = args;
    let target = target::resolve(&target, context)?;
    let proc = Proc::open()?;
    let mut view = View::gather(&proc, target.running_pid()?)?;
    if filter {
        view = view.with_filter(&proc);
    }
    let facts = match &target {
        target::Target::Container(record) => Some(facts::of(context.engine()?, record, context)),
        target::Target::Process(_) => None,
    };
    print(&explain::explain(&view, facts.as_ref()), json, context)?;
    Ok(Status::SUCCESS)
}

/// Prints a report as text or JSON.
pub(crate) fn print(report: &Report, json: bool, context: &Context) -> Result<(), CliError> {
    if json {
        return context.print_line(serde_json::to_string_pretty(report)?);
    }
    let columns = || sys::tty::size(std::io::stdout()).ok().map(|(columns, _)| usize::from(columns));
    let width = if context.stdout_is_terminal() { columns().filter(|columns| *columns >= 20) } else { None };
    let text = explain::render(report, Style { width, colour: context.colour() });
    context.print(format_args!("{text}"))
}
