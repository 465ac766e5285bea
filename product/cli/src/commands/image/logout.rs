//! `strake logout`.

use super::login::registry_name;
use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake logout`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake logout registry.example.com")]
pub struct Args {
    /// The registry; docker.io when none
    #[arg(value_name = "SERVER", default_value = "docker.io")]
    pub server: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let server = registry_name(&args.server);
    let line = match remote::images(context)?.logout(&server)? {
        true => format!("Removing login credentials for {server}"),
        false => format!("Not logged in to {server}"),
    };
    context.print_line(line)?;
    Ok(Status::SUCCESS)
}
