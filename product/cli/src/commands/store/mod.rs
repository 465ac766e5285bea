//! `strake store …`: the store under the control plane, or the etcd in its place.

pub mod backup;
pub mod check;
pub mod history;
pub mod migrate;
pub mod place;
pub mod restore;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake store`.
#[derive(Debug, clap::Subcommand)]
pub enum StoreCommand {
    /// Check every record, and every frame of the log too when no server has the store open
    Check(check::Args),
    /// Copy a store to a new directory, also while its server runs
    Backup(backup::Args),
    /// Make a new store from a backup
    Restore(restore::Args),
    /// Show every kept version of a key
    History(history::Args),
    /// Carry all keys from the embedded store to etcd, or back
    Migrate(migrate::Args),
}

impl StoreCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Check(args) => check::run(&args, context),
            Self::Backup(args) => backup::run(&args, context),
            Self::Restore(args) => restore::run(&args, context),
            Self::History(args) => history::run(&args, context),
            Self::Migrate(args) => migrate::run(&args, context),
        }
    }
}
