//! `strake volume prune`.

use crate::context::Context;
use crate::error::{CliError, Status};

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
    if !args.force {
        return Err(CliError::message("this removes volumes and what is in them: say so with -f"));
    }
    for volume in engine.volumes()? {
        if (args.all || volume.anonymous) && engine.volume_user(&volume.name)?.is_none() {
            engine.remove_volume(&volume.name)?;
            context.print_line(&volume.name)?;
        }
    }
    Ok(Status::SUCCESS)
}
