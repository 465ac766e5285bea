//! `strake container …`, and the same verbs at the top level.

pub mod attach;
mod attached;
pub mod commit;
pub mod cp;
pub mod create;
pub mod diff;
pub(super) mod each;
pub mod exec;
pub mod export;
mod filter;
pub mod foreign;
pub mod inspect;
pub mod kill;
pub mod logs;
pub mod options;
pub mod pause;
pub mod port;
pub mod prune;
pub mod ps;
pub mod rename;
mod request;
pub mod restart;
pub mod rm;
pub(crate) mod row;
pub mod run;
mod session;
pub mod start;
pub mod stats;
pub mod stop;
mod terminal;
pub(crate) mod time;
pub mod top;
pub mod unpause;
pub mod update;
pub mod wait;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Status};

/// The verbs that docker has at the top level.
#[derive(Debug, Subcommand)]
pub enum ContainerCommand {
    /// The same as under `container`.
    #[command(flatten)]
    Verb(Verb),
    /// List containers
    Ps(ps::Args),
    /// Show everything about containers, images or volumes, as JSON
    Inspect(inspect::Args),
}

/// The verbs under `strake container`.
#[derive(Debug, Subcommand)]
pub enum ContainerNounCommand {
    /// The same as at the top level.
    #[command(flatten)]
    Verb(Verb),
    /// List containers
    #[command(aliases = ["ps", "list"])]
    Ls(ps::Args),
    /// Show everything about containers, as JSON
    Inspect(inspect::Args),
    /// Remove all containers that have ended
    Prune(prune::Args),
}

/// Verbs that mean the same in both places.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Run a command in a new container
    Run(Box<run::Args>),
    /// Make a container without starting it
    Create(Box<create::Args>),
    /// Start containers that are not running
    Start(start::Args),
    /// Stop containers: ask, wait, then kill
    Stop(stop::Args),
    /// Stop containers and start them again
    Restart(restart::Args),
    /// Send a signal to containers
    Kill(kill::Args),
    /// Remove containers
    #[command(alias = "remove")]
    Rm(rm::Args),
    /// Show what a container has written
    Logs(logs::Args),
    /// Run a command in a running container
    Exec(exec::Args),
    /// Wait until containers end, and print their exit codes
    Wait(wait::Args),
    /// Attach to a running container
    Attach(attach::Args),
    /// Freeze all processes of containers
    Pause(pause::Args),
    /// Let frozen containers go on
    Unpause(unpause::Args),
    /// Give a container another name
    Rename(rename::Args),
    /// Copy files between a container and this host
    Cp(cp::Args),
    /// Show what a container has changed of its image's files
    Diff(diff::Args),
    /// Make an image of what a container has changed
    Commit(commit::Args),
    /// Write a container's files as an archive
    Export(export::Args),
    /// List a container's published ports
    Port(port::Args),
    /// List the processes of a container
    Top(top::Args),
    /// Show what running containers use, second by second
    Stats(stats::Args),
    /// Change what containers may use
    Update(Box<update::Args>),
}

impl ContainerCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Verb(verb) => verb.run(context),
            Self::Ps(args) => ps::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context, inspect::Scope::Everything),
        }
    }
}

impl ContainerNounCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Verb(verb) => verb.run(context),
            Self::Ls(args) => ps::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context, inspect::Scope::Containers),
            Self::Prune(args) => prune::run(&args, context),
        }
    }
}

impl Verb {
    fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Run(args) => run::run(&args, context),
            Self::Create(args) => create::run(&args, context),
            Self::Start(args) => start::run(&args, context),
            Self::Stop(args) => stop::run(&args, context),
            Self::Restart(args) => restart::run(&args, context),
            Self::Kill(args) => kill::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Logs(args) => logs::run(&args, context),
            Self::Exec(args) => exec::run(&args, context),
            Self::Wait(args) => wait::run(&args, context),
            Self::Attach(args) => attach::run(&args, context),
            Self::Pause(args) => pause::run(&args, context),
            Self::Unpause(args) => unpause::run(&args, context),
            Self::Rename(args) => rename::run(&args, context),
            Self::Cp(args) => cp::run(&args, context),
            Self::Diff(args) => diff::run(&args, context),
            Self::Commit(args) => commit::run(&args, context),
            Self::Export(args) => export::run(&args, context),
            Self::Port(args) => port::run(&args, context),
            Self::Top(args) => top::run(&args, context),
            Self::Stats(args) => stats::run(&args, context),
            Self::Update(args) => update::run(&args, context),
        }
    }
}
