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
    let place = args.place.existing(context)?;
    let (report, what) = match args.place.online(context)? {
        Some(server) => (server.check()?, "every record is sound, the server goes on"),
        None => (store::check(&place)?, "every frame and record is sound"),
    };
    context.print_line(format!("{}: {what}: {}", place.display(), describe(&report)))?;
    Ok(Status::SUCCESS)
}
