//! `strake inspect`.

use engine::InspectOptions;
use serde_json::Value;

use crate::commands::volume::inspect::one as volume;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_inspected;

/// What the names given may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Containers, images and volumes.
    Everything,
    /// Containers only.
    Containers,
}

/// Arguments of `strake inspect`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake inspect web\n  strake inspect -f '{{.State.Pid}}' web")]
pub struct Args {
    /// Names or ids
    #[arg(required = true, value_name = "NAME")]
    pub names: Vec<String>,
    /// json, or a template
    #[arg(short = 'f', long, value_name = "FORMAT")]
    pub format: Option<String>,
    /// With the sizes of a container's files
    #[arg(short = 's', long)]
    pub size: bool,
    /// Only look at things of this type: container, image or volume
    #[arg(long = "type", value_name = "TYPE", value_parser = ["container", "image", "volume"])]
    pub kind: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context, scope: Scope) -> Result<Status, CliError> {
    let mut found = Vec::new();
    let mut status = Status::SUCCESS;
    for name in &args.names {
        match one(args, name, context, scope) {
            Ok(value) => found.push(value),
            Err(error) => {
                context.say(format_args!("strake: {error}"));
                status = Status::FAILURE;
            }
        }
    }
    // What was found is printed also when something was not.
    if !found.is_empty() || args.format.is_none() {
        print_inspected(context, args.format.as_deref(), &found)?;
    }
    Ok(status)
}

fn one(args: &Args, name: &str, context: &Context, scope: Scope) -> Result<Value, CliError> {
    let engine = context.engine()?;
    let kind = args.kind.as_deref();
    if kind == Some("volume") {
        return Ok(volume(engine, name)?);
    }
    if kind != Some("image") {
        match engine.find(name) {
            Ok(record) => return Ok(engine.inspect(&record, InspectOptions { size: args.size })?),
            Err(error) if error.is_not_found() && kind.is_none() && scope == Scope::Everything => {}
            Err(error) => return Err(error.into()),
        }
    }
    let images = engine.images()?;
    match (images.try_find(name, None)?, kind) {
        (Some(image), _) => Ok(images.inspect(&image)?),
        (None, Some(kind)) => Err(CliError::message(format!("no such {kind}: {name}"))),
        (None, None) => volume(engine, name).map_err(|error| match error.is_not_found() {
            true => CliError::message(format!(
                "no such object: {name}; `strake ps -a`, `strake images` and `strake volume ls` list what there is"
            )),
            false => error.into(),
        }),
    }
}
