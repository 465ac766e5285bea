//! `strake attach`.

use engine::Lifecycle;
use shim::StreamSet;

use super::attached::{Foreground, Outcome};
use super::run::last_status;
use super::session::{DETACHED, SessionOptions, take_signals};
use super::terminal::{self, DetachKeys};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake attach`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  strake attach web\n\nCtrl-p Ctrl-q leaves a container with a terminal running."
)]
pub struct Args {
    /// Name or id of the container
    #[arg(value_name = "CONTAINER")]
    pub container: String,
    /// Don't attach standard input
    #[arg(long)]
    pub no_stdin: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Forward signals to the container
    #[arg(long, num_args = 0..=1, require_equals = true, default_value = "true", default_missing_value = "true", action = clap::ArgAction::Set)]
    pub sig_proxy: bool,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let engine = context.engine()?;
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let record = engine.find(&args.container)?;
    if let Lifecycle::Running { paused: true, .. } = record.lifecycle {
        return Err(engine::Error::Paused { name: record.name }.into());
    }
    let id = record.id.clone();
    let process = &record.request.process;
    let (tty, stdin) = (process.tty, process.open_stdin && !args.no_stdin);
    let streams = StreamSet { stdin, stdout: true, stderr: !tty };
    let signals = take_signals(args.sig_proxy)?;
    let mut client = engine.connect(&record)?;
    // What follows is seen too; one of an older version starts it by itself.
    let _ = client.hold_restart();
    let attached = client.attach(streams)?;
    if let Some((columns, rows)) = terminal::size().filter(|_| tty) {
        // As docker: the program draws anew when the size changes, which then becomes the right one.
        // The container may have ended at this moment.
        let _ = client.resize(columns, rows.saturating_add(1));
    }
    let foreground = Foreground { engine, record, streams, holds_cleanup: false };
    let session = SessionOptions { tty, keys };
    match foreground.run(context, client, attached, signals, session)? {
        Outcome::Ended(exit) => last_status(engine, &id, &exit),
        Outcome::Detached => Err(CliError::message(DETACHED)),
    }
}
