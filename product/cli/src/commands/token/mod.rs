//! `strake token …`: what nodes join the cluster with.

pub mod create;
pub mod ls;
pub mod rm;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use client::{Api, Call, HttpClient};
use kube_object::resource::GroupVersionResource;
use serde_json::Value;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Verbs of `strake token`.
#[derive(Debug, clap::Subcommand)]
pub enum TokenCommand {
    /// Make a token and print it
    Create(create::Args),
    /// List tokens, without their secrets
    #[command(visible_alias = "list")]
    Ls(ls::Args),
    /// Take tokens back; nodes that have joined stay
    #[command(visible_alias = "delete")]
    Rm(rm::Args),
}

impl TokenCommand {
    /// Does it.
    pub fn run(self, context: &Context) -> Result<Status, CliError> {
        match self {
            Self::Create(args) => create::run(&args, context),
            Self::Ls(args) => ls::run(&args, context),
            Self::Rm(args) => rm::run(&args, context),
        }
    }
}

/// Where tokens are kept.
const NAMESPACE: &str = "kube-system";

/// What tokens are kept as.
fn secrets() -> GroupVersionResource {
    GroupVersionResource::new("", "v1", "secrets")
}

/// Makes a call and waits for its answer.
fn ask(client: &HttpClient, call: Call) -> Result<Value, CliError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    Ok(runtime.block_on(client.call(call))?)
}

/// A part of a secret, decoded.
fn part(secret: &Value, name: &str) -> String {
    let data = secret.get("data").and_then(|data| data.get(name)).and_then(Value::as_str);
    let bytes = data.and_then(|data| STANDARD.decode(data).ok()).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}
