//! `strake store backup`.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::place::{Place, describe};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store backup`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "A running server is asked for its store as it is now, and goes on meanwhile; root and the server's \
                  user may ask.\n\nExamples:\n  strake store backup /backup/monday"
)]
pub struct Args {
    /// The directory to make; it must not exist
    target: PathBuf,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let report = match args.place.online(context)? {
        Some(server) => {
            let mut next = Instant::now() + PROGRESS_EVERY;
            server.backup(&args.target, |come, of| {
                // Asking for the time costs more than a row.
                if come % PROGRESS_ROWS == 0 && Instant::now() >= next {
                    next = Instant::now() + PROGRESS_EVERY;
                    context.say(format_args!("{come} of {of} rows"));
                }
            })?
        }
        // A restore is a checked copy, and so is a backup of a store that nobody writes to.
        None => store::restore(&args.place.existing(context)?, &args.target)?,
    };
    context.print_line(format!("{}: {}", args.target.display(), describe(&report)))?;
    Ok(Status::SUCCESS)
}

/// A backup that takes longer says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(1);
const PROGRESS_ROWS: u64 = 256;
