//! `strake store backup`.

use std::path::PathBuf;

use super::place::{Place, describe};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store backup`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake store backup /backup/monday")]
pub struct Args {
    /// The file to make; it must not exist
    target: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    // A restore is a checked copy, and so is a backup of a store that nobody writes to.
    let report = store::restore(&args.place.file(context), &args.target)?;
    context.print_line(format!("{}: {}", args.target.display(), describe(&report)))?;
    Ok(Status::SUCCESS)
}
