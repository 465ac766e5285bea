//! `strake network inspect`.

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_each_inspected;

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
    print_each_inspected(context, args.format.as_deref(), &args.networks, |name| {
        Ok(engine.inspect_network(&engine.network(name)?)?)
    })
}
