//! `strake cni`: our networks for a runtime of somebody else's, as a CNI plugin.
//!
//! Runtimes run plugins by the name of their program, without arguments: a link named
//! [`PROGRAM`] to `strake` is one.

mod config;
mod network;

use std::io::Read as _;

use cni::{Version, plugin};

use crate::context::Context;
use crate::error::{CliError, Status};

/// The name of the program by which runtimes run the plugin.
pub const PROGRAM: &str = "strake-cni";

/// Arguments of `strake cni`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  ln -s \"$(command -v strake)\" /opt/cni/bin/strake-cni\n  \
                  echo '{\"cniVersion\":\"1.0.0\",\"name\":\"pods\",\"type\":\"strake-cni\"}' > /etc/cni/net.d/10-pods.conf\n  \
                  CNI_COMMAND=VERSION strake cni")]
pub struct Args {}

/// Runs the command.
pub fn run(_: &Args, context: &Context) -> Result<Status, CliError> {
    let variables = &context.environment.variables;
    if context.environment.variable("CNI_COMMAND").is_none() {
        let versions: Vec<&str> = Version::ALL.iter().map(|version| version.as_str()).collect();
        context.say(format_args!("CNI plugin strake {}", env!("CARGO_PKG_VERSION")));
        context.say(format_args!("CNI protocol versions supported: {}", versions.join(", ")));
        return Ok(Status::SUCCESS);
    }
    let stdin = || {
        let mut bytes = Vec::new();
        std::io::stdin().read_to_end(&mut bytes).map(|_| bytes)
    };
    let answer = plugin::serve(variables, stdin, &network::Plugin::new(context));
    context.print(format_args!("{}", answer.stdout))?;
    Ok(if answer.success { Status::SUCCESS } else { Status::FAILURE })
}
