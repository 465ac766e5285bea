//! `strake store check`.

use super::place::{Place, describe};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store check`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake store check\n  strake store check --data-dir /srv/strake")]
pub struct Args {
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let file = args.place.file(context);
    let report = store::check(&file)?;
    context.print_line(format!("{} is sound: {}", file.display(), describe(&report)))?;
    Ok(Status::SUCCESS)
}
