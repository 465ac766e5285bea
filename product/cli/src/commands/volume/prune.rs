//! `strake volume prune`.

use crate::commands::container::prune::filter;
use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake volume prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake volume prune -f\n  strake volume prune -f --all      named ones too"
)]
pub struct Args {
    /// Named volumes too
    #[arg(short = 'a', long)]
    pub all: bool,
    /// Only those that fit: label=, label!=
    #[arg(long, value_name = "FILTER")]
    pub filter: Vec<String>,
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let filter = filter(&args.filter, context)?;
    let which = if args.all {
        "all local volumes not used by at least one container"
    } else {
        "anonymous local volumes not used by at least one container"
    };
    if !args.force && !pruned::confirmed(context, which)? {
        return Ok(Status::SUCCESS);
    }
    let done = context.engine()?.prune_volumes(args.all, &filter)?;
    pruned::print(context, "Volumes", &done.removed, done.reclaimed_bytes)?;
    // What is gone was told all the same.
    done.failure.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}
