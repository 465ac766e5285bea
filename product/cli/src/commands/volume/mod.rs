//! `strake volume …`.

pub mod create;
pub mod inspect;
pub mod ls;
pub mod prune;
pub mod rm;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake volume`.
#[derive(Debug, clap::Subcommand)]
pub enum VolumeCommand {
    /// Make a volume
    Create(create::Args),
    /// List volumes
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Show everything about volumes, as JSON
    Inspect(inspect::Args),
    /// Remove volumes
    #[command(alias = "remove")]
    Rm(rm::Args),
    /// Remove anonymous volumes that no container uses
    Prune(prune::Args),
}

impl VolumeCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Create(args) => create::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Prune(args) => prune::run(&args, context),
        }
    }
}
