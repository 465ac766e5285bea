//! What a command gets: where things are, whom to talk to, and what time it is.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use engine::Engine;

use crate::cli::GlobalOptions;
use crate::error::CliError;

/// What the roof read from the process's surroundings.
pub struct Environment {
    /// The environment variables (those that are not UTF-8 are left out).
    pub variables: BTreeMap<String, String>,
    /// How this program was called: the first word that commands run later need.
    pub executable: PathBuf,
    /// Where the shim's and the runtime's executables come from.
    pub companions: engine::Companions,
    /// The three standard streams.
    pub streams: Streams,
    /// The clock.
    pub now: fn() -> SystemTime,
    /// Gives memory that is free back to the kernel.
    pub give_back_memory: fn(),
}

/// The standard streams and whether each is a terminal.
pub struct Streams {
    /// Where data goes.
    pub out: Box<dyn Write>,
    /// Where everything else goes.
    pub err: Box<dyn Write>,
    /// Whether standard input is a terminal.
    pub stdin_is_terminal: bool,
    /// Whether standard output is a terminal.
    pub stdout_is_terminal: bool,
    /// Whether standard error is a terminal.
    pub stderr_is_terminal: bool,
}

impl Streams {
    /// This process's own streams.
    pub fn of_process() -> Self {
        Self {
            out: Box::new(io::BufWriter::new(io::stdout())),
            err: Box::new(io::stderr()),
            stdin_is_terminal: io::stdin().is_terminal(),
            stdout_is_terminal: io::stdout().is_terminal(),
            stderr_is_terminal: io::stderr().is_terminal(),
        }
    }
}

impl Environment {
    /// A variable's value, if it is set and not empty.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.variables.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Everything that a command may use.
pub struct Context {
    /// The data root.
    pub root: PathBuf,
    /// The state root.
    pub state: PathBuf,
    /// Whether to say what is being done.
    pub debug: bool,
    /// The surroundings.
    pub environment: Environment,
    out: RefCell<Box<dyn Write>>,
    err: RefCell<Box<dyn Write>>,
    engine: OnceCell<Engine>,
}

impl Context {
    /// A context for one command line.
    pub fn new(global: &GlobalOptions, mut environment: Environment) -> Self {
        let place = |option: &Option<PathBuf>, variable: &str, default: &str| {
            option.clone().unwrap_or_else(|| environment.variable(variable).unwrap_or(default).into())
        };
        let root = absolute(place(&global.root, "STRAKE_ROOT", DEFAULT_ROOT));
        let state = absolute(place(&global.state, "STRAKE_STATE", DEFAULT_STATE));
        let out = std::mem::replace(&mut environment.streams.out, Box::new(io::sink()));
        let err = std::mem::replace(&mut environment.streams.err, Box::new(io::sink()));
        Self {
            root,
            state,
            debug: global.debug || global.log_level == "debug",
            environment,
            out: RefCell::new(out),
            err: RefCell::new(err),
            engine: OnceCell::new(),
        }
    }

    /// The engine, opened at first use.
    pub fn engine(&self) -> Result<&Engine, CliError> {
        if let Some(engine) = self.engine.get() {
            return Ok(engine);
        }
        let engine = Engine::open(&self.root, &self.state)?
            .with_companions(self.environment.companions.clone())
            .with_cleanup_command(self.cleanup_command());
        Ok(self.engine.get_or_init(|| engine))
    }

    /// The time now.
    pub fn now(&self) -> SystemTime {
        (self.environment.now)()
    }

    /// Writes data to standard output.
    pub fn print(&self, text: fmt::Arguments<'_>) -> Result<(), CliError> {
        Ok(self.out.borrow_mut().write_fmt(text)?)
    }

    /// Writes one line of data to standard output.
    pub fn print_line(&self, line: impl fmt::Display) -> Result<(), CliError> {
        Ok(writeln!(self.out.borrow_mut(), "{line}")?)
    }

    /// Writes raw bytes to standard output.
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.out.borrow_mut().write_all(bytes)?)
    }

    /// Writes raw bytes to standard error, for a container's own error stream.
    pub fn print_error_bytes(&self, bytes: &[u8]) -> Result<(), CliError> {
        Ok(self.err.borrow_mut().write_all(bytes)?)
    }

    /// Says something to the user, on standard error.
    pub fn say(&self, text: impl fmt::Display) {
        self.complain(format_args!("{text}"));
    }

    /// Warns the user, on standard error.
    pub fn warn(&self, text: impl fmt::Display) {
        self.complain(format_args!("strake: warning: {text}"));
    }

    /// Writes a line to standard error; there is nobody left to tell when that fails.
    pub(crate) fn complain(&self, text: fmt::Arguments<'_>) {
        let _ = self.out.borrow_mut().flush();
        let _ = writeln!(self.err.borrow_mut(), "{text}");
    }

    /// Hands all that was printed to the kernel.
    pub fn flush(&self) -> Result<(), CliError> {
        self.out.borrow_mut().flush()?;
        Ok(self.err.borrow_mut().flush()?)
    }

    /// Whether standard input is a terminal.
    pub fn stdin_is_terminal(&self) -> bool {
        self.environment.streams.stdin_is_terminal
    }

    /// Whether standard output is a terminal.
    pub fn stdout_is_terminal(&self) -> bool {
        self.environment.streams.stdout_is_terminal
    }

    /// Whether standard error is a terminal.
    pub fn stderr_is_terminal(&self) -> bool {
        self.environment.streams.stderr_is_terminal
    }

    /// Whether standard output may be coloured (<https://no-color.org>).
    pub fn colour(&self) -> bool {
        self.stdout_is_terminal() && self.environment.variable("NO_COLOR").is_none()
    }

    /// The user's docker configuration directory: `$DOCKER_CONFIG` or `~/.docker`.
    pub fn docker_config_dir(&self) -> Option<PathBuf> {
        let environment = &self.environment;
        environment
            .variable("DOCKER_CONFIG")
            .map(PathBuf::from)
            .or_else(|| environment.variable("HOME").map(|home| Path::new(home).join(".docker")))
    }

    /// What the shim runs when a container has ended and nobody waits to clean up.
    fn cleanup_command(&self) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut command = vec![text(&self.environment.executable)];
        command.extend(["--root".to_owned(), text(&self.root), "--state".to_owned(), text(&self.state)]);
        command.extend(["system".to_owned(), "cleanup".to_owned()]);
        command
    }
}

/// The kernel resolves relative paths against a directory that later commands don't have.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

const DEFAULT_ROOT: &str = "/var/lib/strake";
const DEFAULT_STATE: &str = "/run/strake";
