//! `strake agent`: this machine as a node of a cluster.

mod run;

use std::path::PathBuf;

use auth::join::JoinToken;

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::node::args::NodeArgs;

/// Arguments of `strake agent`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "The server keeps a token in its file node-token; `strake token create` prints others.\n\n\
                  Examples:\n  \
                  strake agent --server https://10.0.0.1:6443 --token K10…::abcdef.0123456789abcdef\n  \
                  strake agent --server https://10.0.0.1:6443      once it has joined"
)]
pub struct Args {
    /// Where the server is
    #[arg(long, value_name = "URL")]
    pub server: String,
    /// The token to join with (default: $STRAKE_TOKEN); a node that has joined needs none
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// Directory of the node's keys and volumes (default: agent, in the data root)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The node
    #[command(flatten)]
    pub node: NodeArgs,
}

impl Args {
    /// The token, wherever it was given.
    fn token(&self, context: &Context) -> Result<Option<JoinToken>, CliError> {
        let text = match (&self.token, &self.token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(file)) => Some(
                std::fs::read_to_string(file)
                    .map_err(|error| CliError::message(format!("read {}: {error}", file.display())))?,
            ),
            (None, None) => context.environment.variable("STRAKE_TOKEN").map(str::to_owned),
        };
        Ok(text.map(|text| text.parse()).transpose()?)
    }
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    run::serve(args, context)
}
