//! `strake system start-all`: run once when the host has booted.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system start-all`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Containers that run already are left alone. The systemd unit strake.service and the OpenRC \
                  script strake call this at boot.\n\nExamples:\n  strake system start-all"
)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    let done = context.engine()?.start_all()?;
    for name in &done.started {
        context.print_line(name)?;
    }
    for (name, error) in &done.failed {
        context.say(format_args!("strake: {name}: {}", engine::error_chain(error)));
    }
    Ok(if done.failed.is_empty() { Status::SUCCESS } else { Status::FAILURE })
}
