//! `strake ps`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake ps`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake ps -a\n  strake ps --filter status=exited --format '{{.Names}}: {{.Status}}'"
)]
pub struct Args {
    /// Also those that don't run
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Only those that fit: name=, id=, label=, status=, ancestor=, exited=, volume=, network=, publish=, before=, since=
    #[arg(short = 'f', long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Only the N newest, running or not
    #[arg(short = 'n', long, value_name = "N")]
    pub last: Option<usize>,
    /// Only the newest, running or not
    #[arg(short = 'l', long)]
    pub latest: bool,
    /// Print everything in full
    #[arg(long)]
    pub no_trunc: bool,
    /// Only ids
    #[arg(short = 'q', long)]
    pub quiet: bool,
    /// With the size on disk
    #[arg(short = 's', long)]
    pub size: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
