//! What a command gets: where things are, whom to talk to, and what time it is.

use std::cell::{OnceCell, RefCell};
use std::collections::BTreeMap;
use std::fmt;
use std::io::{self, IsTerminal, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
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
    /// The network that an ordinary user's containers hang on.
    pub network: Option<Arc<OwnedFd>>,
    /// Keeps the process of that network for as long as the command runs.
    pub line: Option<rootless::network::Line>,
    /// Where CNI configurations and plugins are.
    pub chains: attach::ChainSettings,
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
        let place = |option: &Option<PathBuf>, variable: &str, default: PathBuf| {
            let option = option.clone().or_else(|| environment.variable(variable).map(PathBuf::from));
            option.unwrap_or(default)
        };
        let (root, state) = match crate::rootless::places(&environment) {
            Some(own) => (own.root, own.state),
            None => (DEFAULT_ROOT.into(), DEFAULT_STATE.into()),
        };
        let root = absolute(place(&global.root, "STRAKE_ROOT", root));
        let state = absolute(place(&global.state, "STRAKE_STATE", state));
        let chains = chains(global, &environment);
        let out = std::mem::replace(&mut environment.streams.out, Box::new(io::sink()));
        let err = std::mem::replace(&mut environment.streams.err, Box::new(io::sink()));
        Self {
            root,
            state,
            network: None,
            line: None,
            chains,
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
        let mut engine = Engine::open(&self.root, &self.state)?
            .with_companions(self.environment.companions.clone())
            .with_chains(self.chains.clone())
            .with_cleanup_command(self.own_command(&["system", "cleanup"]))
            .with_compress_command(self.own_command(&["system", "compress-log"]))
            .with_warden_command(self.own_command(&["system", "warden"]));
        if let Some(network) = &self.network {
            engine = engine.with_network_namespace(Arc::clone(network));
        }
        let house = rootless::directory(&self.state);
        if sys::user::mapped().is_some() && house.is_dir() {
            engine = engine.with_outside(house);
        }
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

    /// A command line of ours on the same roots: what the shim runs when a container has ended
    /// and nobody waits to clean up, and what becomes the companion of networks.
    fn own_command(&self, verb: &[&str]) -> Vec<String> {
        let text = |path: &Path| path.to_string_lossy().into_owned();
        let mut command = vec![text(&self.environment.executable)];
        command.extend(["--root".to_owned(), text(&self.root), "--state".to_owned(), text(&self.state)]);
        let (default, own) = (attach::ChainSettings::default(), &self.chains);
        if own.configurations != default.configurations {
            command.extend(["--cni-conf-dir".to_owned(), text(&own.configurations)]);
        }
        if own.plugins != default.plugins
            && let Ok(directories) = std::env::join_paths(&own.plugins)
        {
            command.extend(["--cni-bin-dir".to_owned(), directories.to_string_lossy().into_owned()]);
        }
        command.extend(verb.iter().map(|word| (*word).to_owned()));
        command
    }
}

/// Where CNI configurations and plugins are: by options, by the environment, by custom.
fn chains(global: &GlobalOptions, environment: &Environment) -> attach::ChainSettings {
    let mut settings = attach::ChainSettings::default();
    let told = |variable: &str| environment.variable(variable).map(str::to_owned);
    let directory = global.cni_conf_dir.clone().or_else(|| told("STRAKE_CNI_CONF_DIR").map(PathBuf::from));
    if let Some(directory) = directory {
        settings.configurations = absolute(directory);
    }
    if let Some(directories) = global.cni_bin_dir.clone().or_else(|| told("STRAKE_CNI_BIN_DIR")) {
        settings.plugins = std::env::split_paths(&directories).map(absolute).collect();
    }
    settings.path = told("PATH").map(Into::into);
    settings
}

/// The kernel resolves relative paths against a directory that later commands don't have.
fn absolute(path: PathBuf) -> PathBuf {
    std::path::absolute(&path).unwrap_or(path)
}

const DEFAULT_ROOT: &str = "/var/lib/strake";
const DEFAULT_STATE: &str = "/run/strake";
