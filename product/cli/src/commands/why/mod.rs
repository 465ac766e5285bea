//! `strake why`: the reasons that were recorded.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Questions.
#[derive(Debug, clap::Subcommand)]
pub enum WhyCommand {}

impl WhyCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}
