//! `strake start`.

use engine::StartOptions;
use shim::StreamSet;

use super::attached::{Foreground, Outcome};
use super::each::each;
use super::foreign::refused;
use super::run::{daemon_status, last_status, warn_all};
use super::session::{SessionOptions, take_signals};
use super::terminal::{self, DetachKeys};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake start`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake start web\n  strake start -ai shell")]
pub struct Args {
    /// Names or ids of containers
    #[arg(required = true, value_name = "CONTAINER")]
    pub containers: Vec<String>,
    /// Attach to its output and forward signals
    #[arg(short = 'a', long)]
    pub attach: bool,
    /// Attach to its input too
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Restore from this checkpoint
    #[arg(long, value_name = "CHECKPOINT", hide = true)]
    pub checkpoint: Option<String>,
    /// Where checkpoints are
    #[arg(long, value_name = "DIR", hide = true)]
    pub checkpoint_dir: Option<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let checkpoints =
        "the engine keeps no checkpoints; `strake-runtime restore` brings a saved container back";
    refused(args.checkpoint.is_some(), "--checkpoint", checkpoints)?;
    refused(args.checkpoint_dir.is_some(), "--checkpoint-dir", checkpoints)?;
    let engine = context.engine()?;
    if !args.attach && !args.interactive {
        return each(context, &args.containers, |name| {
            let id = engine.resolve(name)?;
            // One that is started again by itself counts as running, as docker has it.
            if engine.look(&id)?.lifecycle.is_up() {
                return Ok(name.to_owned());
            }
            let started = engine.start(&id, &StartOptions::default())?;
            warn_all(context, &started.warnings, &[]);
            Ok(name.to_owned())
        });
    }
    match args.containers.as_slice() {
        [name] => attached(args, name, context).map_err(daemon_status),
        _ => Err(CliError::message(
            "only one container can be attached to at once: start the others without -a and -i",
        )),
    }
}

fn attached(args: &Args, name: &str, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let id = engine.resolve(name)?;
    let tty = engine.look(&id)?.request.process.tty;
    let streams = StreamSet { stdin: args.interactive, stdout: true, stderr: !tty };
    let signals = take_signals(true)?;
    let console_size = terminal::size().filter(|_| tty);
    let start = StartOptions { attach: Some(streams), hold_cleanup: true, console_size };
    let started = engine.start(&id, &start)?;
    warn_all(context, &started.warnings, &[]);
    let foreground = Foreground { engine, record: started.record, streams, holds_cleanup: true };
    let session = SessionOptions { tty, keys };
    match foreground.run(context, started.client, started.attached.unwrap_or_default(), signals, session)? {
        Outcome::Ended(exit) => last_status(engine, &id, &exit),
        Outcome::Detached => Ok(Status::SUCCESS),
    }
}
