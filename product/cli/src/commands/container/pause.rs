//! `strake pause`.

use super::each::each;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake pause`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake pause web")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    each(context, &args.containers, |name| {
        engine.pause(&engine.resolve(name)?)?;
        Ok(name.to_owned())
    })
}
