//! `strake store restore`.

use std::path::PathBuf;

use super::place::{Place, describe};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store restore`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  mv /var/lib/strake/server/store{,.old}\n  strake store restore /backup/monday"
)]
pub struct Args {
    /// The backup
    backup: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let target = args.place.store(context);
    if let Some(dir) = target.parent() {
        let made = std::fs::create_dir_all(dir);
        made.map_err(|error| CliError::message(format!("make {}: {error}", dir.display())))?;
    }
    let report = store::restore(&args.backup, &target)?;
    context.print_line(format!("{}: {}", target.display(), describe(&report)))?;
    Ok(Status::SUCCESS)
}
