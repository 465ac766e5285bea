//! `strake system failpoints`: where a crash is survivable, for the tests.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system failpoints`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    engine::all_failpoints().try_for_each(|name| context.print_line(name))?;
    Ok(Status::SUCCESS)
}
