//! `strake token rm`.

use auth::join::{JoinToken, secret_name};
use client::Call;

use super::{NAMESPACE, ask, secrets};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::kubeconfig::Cluster;

/// Arguments of `strake token rm`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake token rm abcdef")]
pub struct Args {
    /// Ids of tokens, or whole tokens
    #[arg(value_name = "TOKEN", required = true)]
    pub tokens: Vec<String>,
    #[command(flatten)]
    cluster: Cluster,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let client = args.cluster.client(context, "token")?;
    for text in &args.tokens {
        let token = text.parse::<JoinToken>().ok();
        let id = token.as_ref().map_or(text.as_str(), JoinToken::id);
        ask(&client, Call::delete(&secrets(), NAMESPACE, &secret_name(id)))?;
        context.print_line(id)?;
    }
    Ok(Status::SUCCESS)
}
