//! `strake run`.

use crate::commands::container::options::ContainerOptions;
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake run`.
#[derive(Debug, clap::Args)]
#[command(
    disable_help_flag = true,
    after_help = "Examples:\n  strake run --rm -it debian bash\n  strake run -d --name web -p 8080:80 nginx\n  \
                  strake run --rm -m 64m --cpus 0.5 -v \"$PWD\":/work -w /work debian ./build.sh\n  \
                  strake run --rm -p 8080:80 strake.local/tools      needs no registry"
)]
pub struct Args {
    /// Don't wait for it; print its id
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Forward signals to the container
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub sig_proxy: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    #[allow(missing_docs, reason = "a doc comment would become help text")]
    #[command(flatten)]
    pub container: ContainerOptions,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let _ = &args.container;
    context.engine()?;
    Ok(Status::SUCCESS)
}
