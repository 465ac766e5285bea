//! `strake volume rm`.

use crate::commands::container::each::each;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake volume rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake volume rm data")]
pub struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// Don't mind when it is not there
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    each(context, &args.volumes, |name| match engine.remove_volume(name) {
        Err(error) if args.force && error.is_not_found() => Ok(name.to_owned()),
        done => Ok(done.map(|()| name.to_owned())?),
    })
}
