//! `strake attach`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake attach`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake attach web\n\nCtrl-p Ctrl-q leaves a container with a terminal running."
)]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Don't attach standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Forward signals to the container
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub sig_proxy: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
