//! `strake volume rm`.

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
    let mut status = Status::SUCCESS;
    for name in &args.volumes {
        match engine.remove_volume(name) {
            Ok(()) => context.print_line(name)?,
            Err(error) if args.force && error.is_not_found() => context.print_line(name)?,
            Err(error) => {
                context.say(format_args!("strake: {}", crate::error::chain(&error)));
                status = Status::FAILURE;
            }
        }
    }
    Ok(status)
}
