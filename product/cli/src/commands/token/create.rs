//! `strake token create`.

use std::time::Duration;

use auth::join::JoinToken;
use client::Call;
use jiff::{SignedDuration, Timestamp};
use kube_object::resource::GroupVersionResource;
use rustix::rand::{GetRandomFlags, getrandom};
use serde_json::Value;

use super::{NAMESPACE, ask, secrets};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::humanize::duration_argument;
use crate::kubeconfig::Cluster;

/// Arguments of `strake token create`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake token create\n  strake token create --ttl 0 --description 'the machines of hall 2'"
)]
pub struct Args {
    /// How long it is valid, such as 30m or 24h; 0 is for ever
    #[arg(long, value_name = "DURATION", default_value = "24h", value_parser = duration_argument)]
    pub ttl: Duration,
    /// What it is for
    #[arg(long, value_name = "TEXT", default_value = "")]
    pub description: String,
    #[command(flatten)]
    cluster: Cluster,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let client = args.cluster.client(context, "token")?;
    let maps = GroupVersionResource::new("", "v1", "configmaps");
    let root = ask(&client, Call::get(&maps, NAMESPACE, "kube-root-ca.crt"))?;
    let authority = root.pointer("/data/ca.crt").and_then(Value::as_str).unwrap_or_default();
    let token = random(authority)?;
    let lives = SignedDuration::try_from(args.ttl).unwrap_or(SignedDuration::MAX);
    let until = (!args.ttl.is_zero()).then(|| Timestamp::now().saturating_add(lives));
    let until = until.transpose().map_err(|error| CliError::message(format!("--ttl: {error}")))?;
    ask(&client, Call::create(&secrets(), NAMESPACE, token.secret(&args.description, until)))?;
    context.print_line(&token)?;
    Ok(Status::SUCCESS)
}

/// A token that nobody can guess.
pub fn random(authority: &str) -> Result<JoinToken, CliError> {
    let mut bytes = [0; 22];
    // The kernel gives so few bytes whole.
    getrandom(&mut bytes, GetRandomFlags::empty()).map_err(std::io::Error::from)?;
    Ok(JoinToken::new(authority, bytes))
}
