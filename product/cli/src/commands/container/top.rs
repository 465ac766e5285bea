//! `strake top`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake top web")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
