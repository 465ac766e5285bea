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
                  strake agent --server https://10.0.0.1:6443      once it has joined\n  \
                  strake agent --kubeconfig /etc/kubernetes/kubelet.conf      a node of any Kubernetes"
)]
pub struct Args {
    /// Where the server is
    #[arg(long, value_name = "URL", required_unless_present = "kubeconfig")]
    pub server: Option<String>,
    /// The token to join with (default: $STRAKE_TOKEN); a node that has joined needs none
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub token: Option<String>,
    /// A file with the token
    #[arg(long, value_name = "FILE")]
    pub token_file: Option<PathBuf>,
    /// A kubeconfig of the node's own, for a cluster whose nodes do not join with tokens of ours
    #[arg(long, value_name = "FILE", conflicts_with_all = ["server", "token", "token_file"])]
    pub kubeconfig: Option<PathBuf>,
    /// Who signs the certificate that the API server shows to nodes (default: what the cluster says of it)
    #[arg(long, value_name = "FILE")]
    pub client_ca_file: Option<PathBuf>,
    /// Directory of the node's keys and volumes (default: agent, in the data root)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
    /// The node
    #[command(flatten)]
    pub node: NodeArgs,
}

impl Args {
    /// What says where the cluster is.
    fn place(&self) -> String {
        let file = || self.kubeconfig.as_ref().map(|path| path.display().to_string());
        self.server.clone().or_else(file).unwrap_or_default()
    }

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
