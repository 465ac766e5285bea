//! `strake network prune`.

use crate::commands::container::prune::filter;
use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake network prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake network prune -f\n  strake network prune -f --filter until=24h")]
pub struct Args {
    /// What goes, and whether to ask.
    #[command(flatten)]
    pub options: pruned::Options,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let filter = filter(&args.options.filter, context)?;
    let which = "all custom networks not used by at least one container";
    if !args.options.force && !pruned::confirmed(context, which)? {
        return Ok(Status::SUCCESS);
    }
    let done = context.engine()?.prune_networks(&filter)?;
    pruned::print_removed(context, "Networks", &done.removed)?;
    // What is gone was told all the same.
    done.failure.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}
