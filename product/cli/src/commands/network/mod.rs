//! `strake network …`.

pub mod connect;
pub mod create;
pub mod disconnect;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake network`.
#[derive(Debug, clap::Subcommand)]
pub enum NetworkCommand {
    /// Make a network
    Create(create::Args),
    /// List networks
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Show everything about networks, as JSON
    Inspect(inspect::Args),
    /// Remove networks
    #[command(alias = "remove")]
    Rm(rm::Args),
    /// Remove networks that no running container is in
    Prune(prune::Args),
    /// Connect a container to a network
    Connect(connect::Args),
    /// Disconnect a container from a network
    Disconnect(disconnect::Args),
}

impl NetworkCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Create(args) => create::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Prune(args) => prune::run(&args, context),
            Self::Connect(args) => connect::run(&args, context),
            Self::Disconnect(args) => disconnect::run(&args, context),
        }
    }
}
