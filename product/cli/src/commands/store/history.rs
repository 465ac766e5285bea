//! `strake store history`.

use super::place::Place;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake store history`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake store history /registry/core/configmaps/default/settings --values"
)]
pub struct Args {
    /// The key: /registry/GROUP/RESOURCE/NAMESPACE/NAME, group `core` for core's
    key: String,
    /// Print the values too
    #[arg(long)]
    values: bool,
    #[command(flatten)]
    place: Place,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let place = args.place.existing(context)?;
    let changes = match args.place.online(context)? {
        Some(server) => server.history(args.key.as_bytes())?,
        None => store::history(&place, args.key.as_bytes())?,
    };
    if changes.is_empty() {
        let place = place.display();
        let message = format!("key {} is not in {place}: no kept revision knows it", args.key);
        return Err(CliError::message(message));
    }
    for change in changes {
        let line = match &change.kv {
            None => format!("{}\tdeleted", change.revision),
            Some(kv) if args.values => {
                format!("{}\t{}", change.revision, String::from_utf8_lossy(&kv.value))
            }
            Some(kv) => format!("{}\tversion {}\t{} bytes", change.revision, kv.version, kv.value.len()),
        };
        context.print_line(line)?;
    }
    Ok(Status::SUCCESS)
}
