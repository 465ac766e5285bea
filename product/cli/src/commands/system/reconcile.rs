//! `strake system reconcile`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system reconcile`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    context.engine()?;
    Ok(Status::SUCCESS)
}
