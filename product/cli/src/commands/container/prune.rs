//! `strake prune`.

use crate::context::Context;
use crate::error::{CliError, Status};

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
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
