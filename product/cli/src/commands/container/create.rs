//! `strake create`.

use super::options::ContainerOptions;
use super::run::warn_all;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake create`.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  strake create --name web -p 8080:80 nginx\n  strake start web"
)]
pub struct Args {
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub container: ContainerOptions,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let record = super::run::create(&args.container, false, context)?;
    warn_all(context, &record.warnings, &[]);
    context.print_line(record.id)?;
    Ok(Status::SUCCESS)
}
