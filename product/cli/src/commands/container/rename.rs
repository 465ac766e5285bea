//! `strake rename`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake rename`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake rename old new")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Its new name
    pub name: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    engine.rename(&engine.resolve(&args.container)?, &args.name)?;
    Ok(Status::SUCCESS)
}
