//! `strake system cleanup`: run by a shim when its container has ended.

use base::ContainerId;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system cleanup`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The container's full id
    pub id: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    context.engine()?.after_exit(&ContainerId::parse(&args.id)?)?;
    Ok(Status::SUCCESS)
}
