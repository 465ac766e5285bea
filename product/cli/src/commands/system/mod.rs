//! `strake system …`: looking after strake itself.

pub mod cleanup;
pub mod compress_log;
pub mod df;
pub mod events;
pub mod failpoints;
pub mod fsck;
pub mod info;
pub mod prune;
pub mod reconcile;
pub mod start_all;
pub mod user_network;
pub mod warden;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake system`.
#[derive(Debug, clap::Subcommand)]
pub enum SystemCommand {
    /// Show how much disk images, containers and volumes use
    Df(df::Args),
    /// Show what happens to containers, images, volumes and networks
    Events(events::Args),
    /// Find everything that is damaged or belongs to nobody, and put it right
    Fsck(fsck::Args),
    /// Show what there is on this host, and what the host is
    Info(info::Args),
    /// Remove containers that have ended, and images that have lost their names
    Prune(prune::Args),
    /// Put right what a crash or a reboot left behind
    Reconcile(reconcile::Args),
    /// Start what is to run after a boot: restart policies always and unless-stopped
    StartAll(start_all::Args),
    /// Be the way out of an ordinary user's network (run by the command that needs it)
    #[command(hide = true)]
    UserNetwork(user_network::Args),
    /// Clean up after a container that has ended (run by its supervisor)
    #[command(hide = true)]
    Cleanup(cleanup::Args),
    /// Compress the rotated files of a container's log (run by its supervisor)
    #[command(hide = true)]
    CompressLog(compress_log::Args),
    /// Answer for container names and look after rules (started with the first who needs it)
    #[command(hide = true)]
    Warden(warden::Args),
    /// List the named places where a test may end a command (see STRAKE_FAILPOINT)
    #[command(hide = true)]
    Failpoints(failpoints::Args),
}

impl SystemCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Df(args) => df::run(&args, context),
            Self::Fsck(args) => fsck::run(&args, context),
            Self::Info(args) => info::run(&args, context),
            Self::Prune(args) => prune::run(&args, context),
            Self::Events(args) => events::run(&args, context),
            Self::Reconcile(args) => reconcile::run(args, context),
            Self::StartAll(args) => start_all::run(args, context),
            Self::Cleanup(args) => cleanup::run(&args, context),
            Self::CompressLog(args) => compress_log::run(&args, context),
            Self::UserNetwork(args) => user_network::run(args, context),
            Self::Warden(args) => warden::run(args, context),
            Self::Failpoints(args) => failpoints::run(args, context),
        }
    }
}
