//! `strake network rm`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake network rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake network rm web")]
pub struct Args {
    /// Names or ids of networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
    /// Don't mind when it is not there
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let mut status = Status::SUCCESS;
    for name in &args.networks {
        match engine.remove_network(name) {
            Ok(()) => context.print_line(name)?,
            Err(error) if args.force && error.is_not_found() => {}
            Err(error) => {
                context.say(format_args!("strake: {}", crate::error::chain(&error)));
                status = Status::FAILURE;
            }
        }
    }
    Ok(status)
}
