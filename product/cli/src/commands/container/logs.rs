//! `strake logs`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake logs`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake logs -f --tail 20 web\n  strake logs --since 10m -t web")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Go on as more is written, until the container ends
    #[arg(short = 'f', long)]
    pub follow: bool,
    /// Only that many lines from the end, or all
    #[arg(short = 'n', long, value_name = "N", default_value = "all")]
    pub tail: String,
    /// Only what was written since then: 2026-01-02T13:23:37Z, or 42m for 42 minutes ago
    #[arg(long, value_name = "TIME")]
    pub since: Option<String>,
    /// Only what was written until then
    #[arg(long, value_name = "TIME")]
    pub until: Option<String>,
    /// Put the time before each line
    #[arg(short = 't', long)]
    pub timestamps: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = args;
    context.engine()?;
    Ok(Status::SUCCESS)
}
