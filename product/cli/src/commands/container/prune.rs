//! `strake prune`.

use crate::context::Context;
use crate::error::{CliError, Status};
use engine::{Lifecycle, RemoveOptions};
use std::io::BufRead;

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
    if !args.force {
        context.say("This removes all containers that have ended. Go on? [y/N]");
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if !answer.trim().eq_ignore_ascii_case("y") {
            return Ok(Status::SUCCESS);
        }
    }
    let mut bytes = 0;
    for listed in engine.list()? {
        let record = listed.record;
        if matches!(record.lifecycle, Lifecycle::Created { .. } | Lifecycle::Exited { .. }) {
            let size = engine.size_rw(&record).unwrap_or(0);
            engine.remove(&record.id, RemoveOptions::default())?;
            bytes += size;
            context.print_line(&record.id)?;
        }
    }
    context.print_line(format_args!("Total reclaimed space: {}", crate::humanize::size(bytes)))?;
    Ok(Status::SUCCESS)
}
