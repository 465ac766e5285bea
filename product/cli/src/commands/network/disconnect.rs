//! `strake network disconnect`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake network disconnect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake network disconnect web db")]
pub struct Args {
    /// Name or id of the network
    #[arg(value_name = "NETWORK")]
    pub network: String,
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Don't mind when it is not connected
    #[arg(short = 'f', long)]
    pub force: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let id = engine.resolve(&args.container)?;
    engine.leave_network(&id, &args.network, args.force)?;
    Ok(Status::SUCCESS)
}
