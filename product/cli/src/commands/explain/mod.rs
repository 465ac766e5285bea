//! `strake explain`: what the kernel holds of a process.

mod diff;
mod facts;
pub mod target;

use explain::{Report, Style, View};
use inspect::Proc;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

pub(crate) use facts::record_path;

/// Arguments of `strake explain`.
#[derive(Debug, clap::Args)]
#[command(
    long_about = "Shows what the kernel really holds of a container or of any process of the host: its files, \
                  process tree, network, users, kernel, namespaces, control groups and rights. Each line has the \
                  value, where it was read, and what it means. Where strake's own record and the kernel \
                  disagree, that is said first.",
    after_help = "Examples:\n  strake explain web\n  strake explain 1\n  strake explain $$ --json\n  strake explain --diff web db          all that is different between two containers\n  strake explain --diff nginx:1 nginx:2\n  strake explain --diff pod/a pod/b -n shop"
)]
pub struct Args {
    /// A container's name or id, or the id of any process
    #[arg(value_name = "CONTAINER|PID", required_unless_present = "diff")]
    pub target: Option<String>,
    /// Show what is different between two containers, images, or pods (pod/NAME)
    #[arg(long, num_args = 2, value_names = ["A", "B"], conflicts_with = "target")]
    pub diff: Vec<String>,
    /// Where the cluster of the pods is.
    #[command(flatten)]
    pub cluster: Cluster,
    /// The pods' namespace
    #[arg(short = 'n', long, value_name = "NAME", default_value = "default")]
    pub namespace: String,
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
    let Args { target, diff, cluster, namespace, filter, json } = args;
    let Some(target) = target else {
        return diff::run(&diff, (&cluster, &namespace), json, context);
    };
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
    if let Some(facts) = &facts {
        view = view.with_record(facts);
    }
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
