//! `strake wait`.

use super::each::each;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake wait`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake wait web      prints 0 when web has ended well")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    each(context, &args.containers, |name| {
        // As docker: what does not run is not waited for, and 0 is the code of what never ran.
        let exit = engine.wait(&engine.resolve(name)?)?;
        Ok(exit.map_or(0, |exit| exit.status()))
    })
}
