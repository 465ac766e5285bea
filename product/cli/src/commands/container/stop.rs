//! `strake stop`.

use engine::request::Signal;

use super::each::all_at_once;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake stop`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake stop web          asks, and kills after 10 seconds\n  strake stop -t 60 db"
)]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Seconds to wait before SIGKILL; -1 for ever [default: the container's, or 10]
    #[arg(
        short = 't',
        long,
        visible_alias = "timeout",
        value_name = "SECONDS",
        allow_negative_numbers = true
    )]
    pub time: Option<i64>,
    /// Signal to ask with [default: the container's]
    #[arg(short = 's', long, value_name = "SIGNAL")]
    pub signal: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let signal = args.signal.as_deref().map(Signal::parse).transpose()?;
    all_at_once(context, &args.containers, |engine, name| {
        engine.stop(&engine.resolve(name)?, signal, args.time)?;
        Ok(name.to_owned())
    })
}
