//! `strake restart`.

use engine::request::Signal;

use super::each::all_at_once;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake restart`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake restart web")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Signal that asks it to stop [default: the container's, or SIGTERM]
    #[arg(short = 's', long, value_name = "SIGNAL")]
    pub signal: Option<String>,
    /// Seconds to wait before SIGKILL; -1 for ever [default: the container's, or 10]
    #[arg(
        short = 't',
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub time: Option<i64>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let signal = args.signal.as_deref().map(Signal::parse).transpose()?;
    all_at_once(context, &args.containers, |engine, name| {
        let id = engine.resolve(name)?;
        engine.restart(&id, signal, args.time)?;
        Ok(name.to_owned())
    })
}
