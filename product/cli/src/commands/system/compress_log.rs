//! `strake system compress-log`: run by a shim that has rotated its container's log.

use base::ContainerId;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system compress-log`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The container's full id
    pub id: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    // Nobody waits for it. Refused, it is done at the usual priority.
    let _ = rustix::process::nice(NICENESS);
    context.engine()?.compress_log(&ContainerId::parse(&args.id)?)?;
    Ok(Status::SUCCESS)
}

const NICENESS: i32 = 19;
