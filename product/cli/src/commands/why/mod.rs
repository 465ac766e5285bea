//! `strake why`: the reasons that were recorded.

pub mod dead;
pub mod pending;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Questions.
#[derive(Debug, clap::Subcommand)]
pub enum WhyCommand {
    /// Say how a container ended: code or signal, sent by whom, and what is not known
    Dead(dead::Args),
    /// Say what keeps a pod from each node, and the least that would help
    Pending(pending::Args),
}

impl WhyCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Dead(args) => dead::run(&args, context),
            Self::Pending(args) => pending::run(&args, context),
        }
    }
}
