//! `strake top`.

use crate::context::Context;
use crate::error::{CliError, Status};
use crate::format::Table;

/// Arguments of `strake top`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake top web\n  strake top web -o pid,rss,args")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Options of the host's ps; -ef without any
    #[arg(value_name = "PS OPTIONS", trailing_var_arg = true, allow_hyphen_values = true)]
    pub options: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let top = engine.top(&engine.find(&args.container)?, &args.options)?;
    let mut table = Table::new();
    table.row(top.titles);
    top.processes.into_iter().for_each(|process| table.row(process));
    context.print(format_args!("{table}"))?;
    Ok(Status::SUCCESS)
}
