//! `strake start`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake start`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake start web\n  strake start -ai shell")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Attach to its output and forward signals
    #[arg(short = 'a', long)]
    pub attach: bool,
    /// Attach to its input too
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
