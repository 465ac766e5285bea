//! `strake network inspect`.

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_inspected;

/// Arguments of `strake network inspect`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake network inspect bridge\n  strake network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' web"
)]
pub struct Args {
    /// Names or ids of networks
    #[arg(required = true, value_name = "NETWORK")]
    pub networks: Vec<String>,
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// Accepted; there is nothing more to tell
    #[arg(short = 'v', long)]
    pub verbose: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let (mut found, mut status) = (Vec::new(), Status::SUCCESS);
    for name in &args.networks {
        match engine.network(name).and_then(|network| engine.inspect_network(&network)) {
            Ok(value) => found.push(value),
            Err(error) => {
                context.say(format_args!("strake: {}", crate::error::chain(&error)));
                status = Status::FAILURE;
            }
        }
    }
    print_inspected(context, args.format.as_deref(), &found)?;
    Ok(status)
}
