//! `strake port`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake port`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake port web\n  strake port web 80/tcp")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Only this port of the container
    #[arg(value_name = "PORT[/PROTOCOL]")]
    pub port: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
