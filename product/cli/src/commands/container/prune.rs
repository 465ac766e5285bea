//! `strake container prune`.

use engine::PruneFilter;

use super::time;
use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake container prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake container prune -f\n  strake container prune -f --filter until=24h --filter label!=keep"
)]
pub struct Args {
    /// What goes, and whether to ask.
    #[command(flatten)]
    pub options: pruned::Options,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let filter = filter(&args.options.filter, context)?;
    if !args.options.force && !pruned::confirmed(context, "all stopped containers")? {
        return Ok(Status::SUCCESS);
    }
    let done = context.engine()?.prune_containers(&filter)?;
    pruned::print(context, "Containers", &done.removed, done.reclaimed_bytes)?;
    // What is gone was told all the same.
    done.failure.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}

/// Reads the filters of a prune.
pub(crate) fn filter(texts: &[String], context: &Context) -> Result<PruneFilter, CliError> {
    let now = context.now();
    Ok(PruneFilter::parse(texts, |text| time::parse("--filter", text, now).ok())?)
}
