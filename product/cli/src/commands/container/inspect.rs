//! `strake inspect`.

use engine::{Engine, InspectOptions};
use serde_json::Value;

use crate::commands::volume::inspect::one as inspect_volume;
use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::print_each_inspected;

/// What the names given may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Containers, images, networks and volumes.
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
    /// Only look at things of this type: container, image, network or volume
    #[arg(long = "type", value_name = "TYPE", value_parser = ["container", "image", "network", "volume"])]
    pub kind: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context, scope: Scope) -> Result<Status, CliError> {
    print_each_inspected(context, args.format.as_deref(), &args.names, |name| one(args, name, context, scope))
}

/// Looks for something of one kind.
type Find = fn(&Args, &str, &Engine) -> Result<Option<Value>, CliError>;

/// All kinds, in the order in which docker looks.
const KINDS: [(&str, Find); 4] =
    [("container", container), ("image", image), ("network", network), ("volume", volume)];

fn one(args: &Args, name: &str, context: &Context, scope: Scope) -> Result<Value, CliError> {
    let engine = context.engine()?;
    let only = if scope == Scope::Containers { Some("container") } else { args.kind.as_deref() };
    if only == Some("container") {
        return Ok(engine.inspect(&engine.find(name)?, InspectOptions { size: args.size })?);
    }
    for (_, find) in KINDS.iter().filter(|(kind, _)| only.is_none_or(|only| only == *kind)) {
        if let Some(found) = find(args, name, engine)? {
            return Ok(found);
        }
    }
    Err(match only {
        Some(kind) => CliError::message(format!("no such {kind}: {name}")),
        None => CliError::message(format!(
            "no such object: {name}; `strake ps -a`, `strake images`, `strake network ls` and `strake volume ls` \
             list what there is"
        )),
    })
}

fn container(args: &Args, name: &str, engine: &Engine) -> Result<Option<Value>, CliError> {
    match engine.find(name) {
        Ok(record) => Ok(Some(engine.inspect(&record, InspectOptions { size: args.size })?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn image(_: &Args, name: &str, engine: &Engine) -> Result<Option<Value>, CliError> {
    let images = engine.images()?;
    Ok(images.try_find(name, None)?.map(|image| images.inspect(&image)).transpose()?)
}

fn network(_: &Args, name: &str, engine: &Engine) -> Result<Option<Value>, CliError> {
    match engine.network(name) {
        Ok(network) => Ok(Some(engine.inspect_network(&network)?)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn volume(_: &Args, name: &str, engine: &Engine) -> Result<Option<Value>, CliError> {
    match inspect_volume(engine, name) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error.into()),
    }
}
