//! `strake kill`.

use engine::request::Signal;

use super::each::each;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake kill`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake kill web\n  strake kill -s HUP web")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Signal to send
    #[arg(short = 's', long, value_name = "SIGNAL", default_value = "KILL")]
    pub signal: String,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let signal = Signal::parse(&args.signal)?;
    each(context, &args.containers, |name| {
        engine.kill(&engine.resolve(name)?, signal)?;
        Ok(name.to_owned())
    })
}
