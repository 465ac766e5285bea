//! `strake inspect`.

use crate::context::Context;
use crate::error::{CliError, Status};

/// What the names given may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Containers and images.
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
    /// Only look at things of this type: container or image
    #[arg(long = "type", value_name = "TYPE", value_parser = ["container", "image"])]
    pub kind: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context, scope: Scope) -> Result<Status, CliError> {
    let _ = (args, scope);
    context.engine()?;
    Ok(Status::SUCCESS)
}
