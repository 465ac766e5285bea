//! `strake rm`.

use engine::RemoveOptions;

use super::each::all_at_once;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake rm`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake rm old\n  strake rm -f -v web      also when it runs, with its anonymous volumes"
)]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Kill it when it runs
    #[arg(short = 'f', long)]
    pub force: bool,
    /// Remove its anonymous volumes too
    #[arg(short = 'v', long)]
    pub volumes: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let options = RemoveOptions { force: args.force, volumes: args.volumes };
    all_at_once(context, &args.containers, |engine, name| {
        let removed = engine.resolve(name).and_then(|id| engine.remove(&id, options));
        match removed {
            // What is to be gone is gone.
            Err(error) if args.force && error.is_not_found() => Ok(name.to_owned()),
            removed => removed.map(|()| name.to_owned()),
        }
    })
}
