//! `strake explain`: what the kernel holds of a process.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake explain`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A container's name or id, or the id of any process
    pub target: String,
}

/// Runs the command.
pub fn run(args: Args, context: &Context) -> Result<Status, CliError> {
    context.print_line(args.target)?;
    Ok(Status::SUCCESS)
}
