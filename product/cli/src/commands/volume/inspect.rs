//! `strake volume inspect`.

use engine::Engine;
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_each_inspected;

/// Arguments of `strake volume inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake volume inspect -f '{{.Mountpoint}}' data")]
pub struct Args {
    /// Names of volumes
    #[arg(required = true, value_name = "VOLUME")]
    pub volumes: Vec<String>,
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    print_each_inspected(context, args.format.as_deref(), &args.volumes, |name| Ok(one(engine, name)?))
}

/// Everything about a volume.
pub(crate) fn one(engine: &Engine, name: &str) -> Result<Value, engine::Error> {
    let volume = engine.volume(name)?;
    Ok(json!({
        "Name": volume.name, "Driver": "local", "Scope": "local", "CreatedAt": volume.created.to_string(),
        "Mountpoint": engine.volume_data(&volume.name), "Labels": volume.labels, "Options": if volume.options.is_empty() { Value::Null } else { json!(volume.options) },
    }))
}
