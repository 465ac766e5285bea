//! `strake run`.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};

use base::ContainerId;
use engine::request::InvalidOption;
use engine::{Engine, ImageSource, Record, StartOptions};
use oci_spec::image::Platform;
use shim::{Exit, StreamSet};

use super::attached::{Foreground, Outcome};
use super::options::ContainerOptions;
use super::request::request;
use super::session::{SessionOptions, take_signals};
use super::terminal::{self, DetachKeys};
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
    let options = &args.container;
    if args.detach && !options.attach.is_empty() {
        return Err(CliError::message("-a and -d exclude each other: leave one out"));
    }
    if options.tty && options.interactive && !args.detach && !context.stdin_is_terminal() {
        return Err(CliError::message(
            "the input device is not a TTY: leave -t out, or call from a terminal",
        ));
    }
    run_container(args, context).map_err(daemon_status)
}

fn run_container(args: &Args, context: &Context) -> Result<Status, CliError> {
    let keys = DetachKeys::parse(args.detach_keys.as_deref())?;
    let options = &args.container;
    let engine = context.engine()?;
    let record = create(options, args.detach, context)?;
    let [stdin, stdout, stderr] = record.request.process.attach;
    let streams = StreamSet { stdin, stdout, stderr: stderr && !record.request.process.tty };
    if args.detach || (!stdout && !stderr) {
        // As docker: who sees nothing of it gets its id to find the rest by, also when it cannot be
        // started.
        context.print_line(&record.id)?;
    }
    if args.detach {
        let started = engine.start(&record.id, &StartOptions::default())?;
        warn_all(context, &started.warnings, &record.warnings);
        return Ok(Status::SUCCESS);
    }
    let signals = take_signals(args.sig_proxy)?;
    let start = StartOptions {
        attach: Some(streams),
        hold_cleanup: true,
        console_size: terminal::size().filter(|_| record.request.process.tty),
    };
    let started = engine.start(&record.id, &start)?;
    warn_all(context, &started.warnings, &record.warnings);
    let foreground = Foreground { engine, record: started.record, streams, holds_cleanup: true };
    let session = SessionOptions { tty: record.request.process.tty, keys };
    let attached = started.attached.unwrap_or_default();
    match foreground.run(context, started.client, attached, signals, session)? {
        Outcome::Ended(exit) => last_status(engine, &record.id, &exit),
        Outcome::Detached => Ok(Status::SUCCESS),
    }
}

/// The status of a container that has ended in the foreground. One that is started again by
/// somebody else is waited for until it stays ended.
pub(super) fn last_status(engine: &Engine, id: &ContainerId, exit: &Exit) -> Result<Status, CliError> {
    if exit.restart.is_none() {
        return Ok(Status(exit.status()));
    }
    // Nothing is attached any more: signals are ours.
    sys::signal::unblock_all()?;
    match engine.wait_for_good(id) {
        Ok(last) => Ok(Status(last.map_or(0, |last| last.status()))),
        // Removed meanwhile.
        Err(error) if error.is_not_found() => Ok(Status(exit.status())),
        Err(error) => Err(error.into()),
    }
}

/// The image, here or pulled, and the container made of it; its id in `--cidfile`. What is wrong with
/// the options is docker's 125.
pub(super) fn create(
    options: &ContainerOptions,
    detached: bool,
    context: &Context,
) -> Result<Record, CliError> {
    let engine = context.engine()?;
    let request = request(options, detached, context).map_err(|error| error.with_status(Status::DAEMON))?;
    let cidfile = options.cidfile.as_deref().map(CidFile::make).transpose()?;
    let image = image(engine, options, context)?;
    let record = engine.create(request, ImageSource::from(&image))?;
    if let Some(cidfile) = cidfile {
        cidfile.fill(&record)?;
    }
    Ok(record)
}

fn image(
    engine: &Engine,
    options: &ContainerOptions,
    context: &Context,
) -> Result<engine::images::Image, CliError> {
    let name = &options.image_and_command[0];
    if Engine::is_tools_image(name) {
        engine.ensure_tools_image(&context.environment.executable, &crate::tools::TOOLS)?;
        return Ok(engine.images()?.find(name, None)?);
    }
    let why = "invalid pull option: must be one of \"always\", \"missing\" or \"never\"";
    let pull = options.pull.parse().map_err(|_| InvalidOption::new("--pull", &options.pull, why))?;
    let platform = options.platform.as_deref().map(Platform::parse).transpose()?;
    crate::commands::image::remote::ensure(context, name, pull, platform.as_ref(), options.quiet)
}

/// The file of `--cidfile`: made before the container, so that none is left without its id, and
/// removed again when there is none to be written.
struct CidFile<'a> {
    path: &'a str,
    file: Option<File>,
}

impl<'a> CidFile<'a> {
    fn make(path: &'a str) -> Result<Self, CliError> {
        let made = OpenOptions::new().write(true).create_new(true).open(path);
        let file = made.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => CliError::message(format!(
                "container ID file found, make sure the other container isn't running or delete {path}: \
                 --cidfile wants a file that is not there"
            )),
            _ => CliError::message(format!(
                "failed to create the container ID file: --cidfile {path:?}: {error}"
            )),
        })?;
        Ok(Self { path, file: Some(file) })
    }

    fn fill(mut self, record: &Record) -> Result<(), CliError> {
        self.file.take().map_or(Ok(()), |mut file| write!(file, "{}", record.id))?;
        Ok(())
    }
}

impl Drop for CidFile<'_> {
    fn drop(&mut self) {
        if self.file.is_some() {
            // It is empty, and ours.
            let _ = std::fs::remove_file(self.path);
        }
    }
}

/// What was known when the container was made was said then.
pub(super) fn warn_all(context: &Context, warnings: &[String], _known: &[String]) {
    for warning in warnings {
        context.warn(warning);
    }
}

/// Docker's status for a container that did not come to run: 126 and 127 for its command,
/// otherwise 125.
pub(super) fn daemon_status(error: CliError) -> CliError {
    if error.status() != Status::FAILURE || error.is_silent() {
        return error;
    }
    let status =
        error.downcast_ref::<engine::Error>().map_or(Status::DAEMON, |error| Status(error.run_status()));
    error.with_status(status)
}
