//! `strake exec`.

use std::os::fd::{AsFd, BorrowedFd};

use engine::ExecRequest;
use shim::{Client, ExecWaiter, StreamSet};
use sys::signal::Signal;

use super::request::environment;
use super::run::daemon_status;
use super::session::{DETACHED, Peer, Session, SessionOptions, Streams, take_signals};
use super::terminal::{self, DetachKeys};
use crate::context::Context;
use crate::error::{CliError, Status};

/// Arguments of `strake exec`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  strake exec web cat /etc/hosts\n  strake exec -it web sh")]
pub struct Args {
    /// Run it without waiting for it
    #[arg(short = 'd', long)]
    pub detach: bool,
    /// Keep standard input open
    #[arg(short = 'i', long)]
    pub interactive: bool,
    /// Give it a terminal
    #[arg(short = 't', long)]
    pub tty: bool,
    /// Set a variable; NAME alone takes its value from here
    #[arg(short = 'e', long = "env", value_name = "NAME[=VALUE]")]
    pub env: Vec<String>,
    /// Read variables from a file
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<String>,
    /// User, and group, by name or number
    #[arg(short = 'u', long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,
    /// Directory that the command starts in
    #[arg(short = 'w', long, value_name = "DIR")]
    pub workdir: Option<String>,
    /// Give it all capabilities
    #[arg(long)]
    pub privileged: bool,
    /// Keys that detach, as in ctrl-p,ctrl-q
    #[arg(long, value_name = "KEYS")]
    pub detach_keys: Option<String>,
    /// Container, then the command and its arguments
    #[arg(required = true, num_args = 2.., trailing_var_arg = true, value_names = ["CONTAINER", "COMMAND"])]
    pub container_and_command: Vec<String>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    exec(args, context).map_err(|error| match error.downcast_ref::<engine::Error>() {
        // The container is there, and the process in it could not be made: of its user or directory.
        Some(engine::Error::User(_)) => error.with_status(Status::NOT_EXECUTABLE),
        Some(engine::Error::Shim { source, .. }) if source.exit_code() == Some(125) => {
            error.with_status(Status::NOT_EXECUTABLE)
        }
        Some(inner) if inner.run_status() != 125 => daemon_status(error),
        _ => error,
    })
}

fn exec(args: &Args, context: &Context) -> Result<Status, CliError> {
    if args.tty && args.interactive && !args.detach && !context.stdin_is_terminal() {
        return Err(CliError::message(
            "the input device is not a TTY: leave -t out, or call from a terminal",
        ));
    }
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let engine = context.engine()?;
    let (name, command) = args
        .container_and_command
        .split_first()
        .ok_or_else(|| CliError::message("a container and a command are missing"))?;
    let request = ExecRequest {
        args: command.to_vec(),
        env: environment(&args.env, &args.env_file, context)?,
        workdir: args.workdir.clone(),
        user: args.user.clone(),
        tty: args.tty,
        privileged: args.privileged,
        streams: StreamSet { stdin: args.interactive, stdout: true, stderr: true },
        detached: args.detach,
        console_size: terminal::size().filter(|_| args.tty),
    };
    let id = engine.resolve(name)?;
    if args.detach {
        engine.exec(&id, &request)?;
        return Ok(Status::SUCCESS);
    }
    // As docker: signals end the client, and the process in the container goes on.
    let signals = take_signals(false)?;
    let running = engine.exec(&id, &request)?;
    let session = running.session;
    let console = session.console;
    let streams = match &console {
        Some(console) => Streams {
            stdin: args.interactive.then(|| console.try_clone()).transpose()?,
            stdout: Some(console.try_clone()?),
            stderr: None,
        },
        None => {
            let stdio = session.stdio;
            Streams { stdin: stdio.stdin, stdout: stdio.stdout, stderr: stdio.stderr }
        }
    };
    let control = engine.connect(&running.record).ok();
    let waiter = running.client.exec_waiter(session.session)?;
    let mut peer = Executed { waiter, control, console, session: session.session };
    peer.resized();
    let options = SessionOptions { tty: args.tty, keys };
    let mut attached = Session::new(context, streams, signals, options)?;
    let over = attached.run(&mut peer)?;
    drop(attached);
    if over == super::session::Over::Detached {
        return Err(CliError::message(DETACHED));
    }
    let end = peer.waiter.finish()?;
    Ok(Status(u8::try_from(end.code).unwrap_or(255)))
}

/// One more process in a container, as a session sees it.
struct Executed {
    waiter: ExecWaiter,
    control: Option<Client>,
    console: Option<std::os::fd::OwnedFd>,
    session: u64,
}

impl Peer for Executed {
    fn ended(&self) -> BorrowedFd<'_> {
        self.waiter.as_fd()
    }

    fn signal(&mut self, signal: Signal) {
        // The process may have ended at this moment.
        let _ = self.control.as_mut().map(|client| client.exec_kill(self.session, signal.number()));
    }

    fn resized(&mut self) {
        if let (Some(console), Some((columns, rows))) = (&self.console, terminal::size()) {
            let _ = sys::tty::set_size(console, columns, rows);
        }
    }
}
