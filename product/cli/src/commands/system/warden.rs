//! `strake system warden`: the companion of networks, started by whoever attaches a container.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake system warden`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let Some(place) = engine.warden() else { return Ok(Status::SUCCESS) };
    warden::run(&place, &mut |happened| match happened {
        warden::Happened::RulesMended(why) => engine.tell_rules(why),
    })?;
    Ok(Status::SUCCESS)
}
