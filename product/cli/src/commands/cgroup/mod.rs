//! `strake cgroup`: control groups by hand.

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs on control groups.
#[derive(Debug, clap::Subcommand)]
pub enum CgroupCommand {}

impl CgroupCommand {
    /// Does it.
    pub fn run(self, _context: &Context) -> Result<Status, CliError> {
        match self {}
    }
}
