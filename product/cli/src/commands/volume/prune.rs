//! `strake volume prune`.

use crate::commands::pruned;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::files::bytes_below;

/// Arguments of `strake volume prune`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake volume prune -f\n  strake volume prune -f --all      named ones too"
)]
pub struct Args {
    /// Don't ask
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Named volumes too
    #[arg(short = 'a', long)]
    pub all: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let which = if args.all {
        "all volumes not used by at least one container"
    } else {
        "anonymous volumes not used by at least one container"
    };
    if !args.force && !pruned::confirmed(context, which)? {
        return Ok(Status::SUCCESS);
    }
    let mut bytes = 0;
    let mut failed = None;
    let mut gone = Vec::new();
    for volume in engine.volumes()? {
        if (args.all || volume.anonymous) && engine.volume_user(&volume.name)?.is_none() {
            let size = bytes_below(&engine.volume_data(&volume.name));
            if let Err(error) = engine.remove_volume(&volume.name) {
                // What is gone is told all the same.
                failed = Some(error);
                break;
            }
            bytes += size;
            gone.push(volume.name);
        }
    }
    pruned::print(context, "Volumes", &gone, bytes)?;
    failed.map_or(Ok(Status::SUCCESS), |error| Err(error.into()))
}
