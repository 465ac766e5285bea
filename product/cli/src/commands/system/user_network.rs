//! `strake system user-network`: the way out of an ordinary user's network, started by the command that needs it.

use std::collections::BTreeMap;

use crate::context::Context;
use crate::error::{CliError, Status, chain};

/// Arguments of `strake system user-network`.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// Runs the command.
pub fn run(_args: Args, context: &Context) -> Result<Status, CliError> {
    let mut ports: BTreeMap<String, Vec<user_stack::Port>> = BTreeMap::new();
    let networks = attach::Networks::open(&context.root, &context.state)?;
    for attachment in networks.attachments()? {
        let own = ports.entry(attachment.id.to_string()).or_default();
        own.extend(engine::host_ports(&attachment.ports));
    }
    let ports: Vec<_> = ports.into_iter().filter(|(_, ports)| !ports.is_empty()).collect();
    // Who waits for us reads the reason there.
    if let Err(error) = rootless::network::serve(&context.state, &ports) {
        context.print(format_args!("{}", chain(&error)))?;
        return Err(CliError::silent(Status::FAILURE));
    }
    Ok(Status::SUCCESS)
}
