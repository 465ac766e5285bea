//! `strake image …` and docker's top-level image commands.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs that docker has at the top level: `pull`, `push`, `images`, `rmi`, `tag`, `login`…
#[derive(Debug, clap::Subcommand)]
pub enum TopLevelCommand {}

impl TopLevelCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}

/// Verbs of `strake image`.
#[derive(Debug, clap::Subcommand)]
pub enum ImageCommand {}

impl ImageCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}
