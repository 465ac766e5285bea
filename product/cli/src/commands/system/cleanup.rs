//! `strake system cleanup`: run by a shim when its container has ended.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system cleanup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The container's full id
    pub id: String,
}

/// Runs the command.
pub fn run(_args: &Args, context: &Context) -> Result<Status, CliError> {
    context.engine()?;
    Ok(Status::SUCCESS)
}
