//! `strake rm`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake rm`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake rm old\n  strake rm -f -v web      also when it runs, with its anonymous volumes"
)]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Kill it when it runs
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Remove its anonymous volumes too
    #[arg(short = 'v', long)]
    pub volumes: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
