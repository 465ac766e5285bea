//! `strake volume …`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake volume`.
#[derive(Debug, clap::Subcommand)]
pub enum VolumeCommand {}

impl VolumeCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}
