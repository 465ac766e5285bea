//! `strake tag`.

use oci_spec::Reference;

use super::remote;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake tag`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake tag app localhost:5000/team/app:1.2")]
pub struct Args {
    /// Name or id of an image
    #[arg(value_name = "SOURCE")]
    pub source: String,
    /// The new NAME[:TAG]
    #[arg(value_name = "TARGET")]
    pub target: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let target = Reference::parse(&args.target)?;
    if target.digest().is_some() {
        return Err(CliError::message(format!("{}: a new name has a tag, not a digest", args.target)));
    }
    remote::images(context)?.tag(&args.source, &target)?;
    Ok(Status::SUCCESS)
}
