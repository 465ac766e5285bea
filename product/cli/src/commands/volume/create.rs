//! `strake volume create`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake volume create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake volume create data\n  strake run --rm -v data:/data debian touch /data/x"
)]
pub struct Args {
    /// Its name; made up when left out
    pub name: Option<String>,
    /// Label it
    #[arg(long, value_name = "KEY[=VALUE]")]
    pub label: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let labels = args.label.iter().map(|label| {
        let (key, value) = label.split_once('=').unwrap_or((label, ""));
        (key.to_owned(), value.to_owned())
    });
    let volume = context.engine()?.create_volume(args.name.as_deref(), labels.collect())?;
    context.print_line(volume.name)?;
    Ok(Status::SUCCESS)
}
