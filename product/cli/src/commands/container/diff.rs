//! `strake diff`.

use snapshot::ChangeKind;

use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake diff web\n\nA is added, C changed, D deleted.")]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let record = engine.find(&args.container)?;
    for change in engine.changes(&record)? {
        let letter = match change.kind {
            ChangeKind::Added => 'A',
            ChangeKind::Modified => 'C',
            ChangeKind::Deleted => 'D',
        };
        context.print_line(format_args!("{letter} {}", change.path.display()))?;
    }
    Ok(Status::SUCCESS)
}
