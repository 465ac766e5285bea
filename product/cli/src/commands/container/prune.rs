//! `strake prune`.

use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};
use engine::{Lifecycle, RemoveOptions};

/// Arguments of `strake prune`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake container prune -f")]
pub struct Args {
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    if !args.force && !pruned::confirmed(context, "all stopped containers")? {
        return Ok(Status::SUCCESS);
    }
    let mut bytes = 0;
    let mut failed = None;
    let mut gone = Vec::new();
    for listed in engine.list()? {
        let record = listed.record;
        if matches!(record.lifecycle, Lifecycle::Created { .. } | Lifecycle::Exited { .. }) {
            let size = engine.size_rw(&record).unwrap_or(0);
            if let Err(error) = engine.remove(&record.id, RemoveOptions::default()) {
                // What is gone is told all the same.
                failed = Some(error);
                break;
            }
            bytes += size;
            gone.push(record.id.to_string());
        }
    }
    pruned::print(context, "Containers", &gone, bytes)?;
    failed.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}
