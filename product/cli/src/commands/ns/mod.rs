//! `strake ns`: namespaces by hand.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs on namespaces.
#[derive(Debug, clap::Subcommand)]
pub enum NsCommand {}

impl NsCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}
