//! `strake rm`.

use engine::RemoveOptions;

use super::each::all_at_once_but;
use super::foreign::{NO_LINKS, refused};
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
    /// Remove a link
    #[arg(short = 'l', long, hide = true)]
    pub link: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    refused(args.link, "--link", NO_LINKS)?;
    let options = RemoveOptions { force: args.force, volumes: args.volumes };
    // What is to be gone is gone.
    let forgiven = |error: &engine::Error| args.force && error.is_not_found();
    all_at_once_but(context, &args.containers, forgiven, |engine, name| {
        engine.remove(&engine.resolve(name)?, options)?;
        Ok(name.to_owned())
    })
}
