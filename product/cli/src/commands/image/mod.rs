//! `strake image …` and docker's top-level image commands.

pub mod history;
pub mod import;
pub mod inspect;
pub mod load;
pub mod login;
pub mod logout;
pub mod ls;
pub mod progress;
pub mod prune;
pub mod pull;
pub mod push;
pub mod remote;
pub mod rm;
pub mod save;
pub mod tag;

use clap::Subcommand;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs that docker has at the top level: `pull`, `push`, `images`, `rmi`, `tag`, `login`…
#[derive(Debug, Subcommand)]
pub enum TopLevelCommand {
    /// The same as under `image`.
    #[command(flatten)]
    Verb(Verb),
    /// List images
    Images(ls::Args),
    /// Remove images or names of them
    Rmi(rm::Args),
    /// Log in to a registry
    Login(login::Args),
    /// Forget a registry's credentials
    Logout(logout::Args),
}

/// Verbs of `strake image`.
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// The same as at the top level.
    #[command(flatten)]
    Verb(Verb),
    /// List images
    #[command(alias = "list")]
    Ls(ls::Args),
    /// Remove images or names of them
    #[command(alias = "remove")]
    Rm(rm::Args),
    /// Show everything about images, as JSON
    Inspect(inspect::Args),
    /// Remove images that have lost their names, or all that no container uses
    Prune(prune::Args),
}

/// Verbs that mean the same in both places.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Fetch an image from its registry
    Pull(pull::Args),
    /// Send an image to its registry
    Push(push::Args),
    /// Give an image one more name
    Tag(tag::Args),
    /// Show how an image came to be
    History(history::Args),
    /// Write images to an archive
    Save(save::Args),
    /// Read images from an archive
    Load(load::Args),
    /// Make an image of a root filesystem's archive
    Import(import::Args),
}

impl TopLevelCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Verb(verb) => verb.run(context),
            Self::Images(args) => ls::run(&args, context),
            Self::Rmi(args) => rm::run(&args, context),
            Self::Login(args) => login::run(&args, context),
            Self::Logout(args) => logout::run(&args, context),
        }
    }
}

impl ImageCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Verb(verb) => verb.run(context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
            Self::Inspect(args) => inspect::run(&args, context),
            Self::Prune(args) => prune::run(&args, context),
        }
    }
}

impl Verb {
    fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Pull(args) => pull::run(&args, context),
            Self::Push(args) => push::run(&args, context),
            Self::Tag(args) => tag::run(&args, context),
            Self::History(args) => history::run(&args, context),
            Self::Save(args) => save::run(&args, context),
            Self::Load(args) => load::run(&args, context),
            Self::Import(args) => import::run(&args, context),
        }
    }
}
