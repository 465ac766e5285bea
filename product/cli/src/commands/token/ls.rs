//! `strake token ls`.

use client::Call;
use serde_json::{Value, json};

use super::{NAMESPACE, ask, part, secrets};
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::{Column, Format, Listing};
use crate::kubeconfig::Cluster;

/// Arguments of `strake token ls`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake token ls\n  strake token ls --format json")]
pub struct Args {
    /// json, a template, or table and a template
    #[arg(long, value_name = "FORMAT")]
    pub format: Option<String>,
    #[command(flatten)]
    cluster: Cluster,
}

const LISTING: Listing<'_> = Listing {
    columns: &[
        Column { field: "ID", heading: "TOKEN ID" },
        Column { field: "Expires", heading: "EXPIRES" },
        Column { field: "Description", heading: "DESCRIPTION" },
    ],
    default_fields: &["ID", "Expires", "Description"],
};

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let client = args.cluster.client(context, "token")?;
    let mut call = Call::list(&secrets(), NAMESPACE);
    call.options.field_selector = Some("type=bootstrap.kubernetes.io/token".to_owned());
    let list = ask(&client, call)?;
    let rows = list.get("items").and_then(Value::as_array).into_iter().flatten().map(|secret| {
        let expires = part(secret, "expiration");
        json!({
            "ID": part(secret, "token-id"),
            "Expires": if expires.is_empty() { "never".to_owned() } else { expires },
            "Description": part(secret, "description"),
        })
    });
    let rows: Vec<Value> = rows.collect();
    LISTING.print(context, &Format::parse(args.format.as_deref())?, &rows)?;
    Ok(Status::SUCCESS)
}
