//! `strake cgroup`: control groups by hand.

pub mod tree;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs on control groups.
#[derive(Debug, clap::Subcommand)]
pub enum CgroupCommand {
    /// Show the groups as one tree, v1 and v2 merged
    Tree(tree::Args),
}

impl CgroupCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Tree(args) => tree::run(&args, context),
        }
    }
}
