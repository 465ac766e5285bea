//! `strake-shim`: the supervisor of one container, and small things for inside one.
//!
//! The engine starts `serve` with a socket as its stdin; a person uses `adopt` at most.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::process::ExitCode;

const USAGE: &str = "\
strake-shim: supervises one container

  strake-shim serve                 serve the launch socket on stdin (for the engine)
  strake-shim adopt STATE_DIR       give a container whose shim was killed a new one
  strake-shim init -- COMMAND...    run a command as a container's init
  strake-shim pause                 hold a sandbox's namespaces open
  strake-shim --version | --help
";

fn main() -> ExitCode {
    arm_failpoint();
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let texts: Vec<String> = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
    let words: Vec<&str> = texts.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["serve"] => status(shim::serve().map(|()| 0), |_| 125),
        ["keep", pid, start_time] => match (pid.parse(), start_time.parse()) {
            (Ok(pid), Ok(start_time)) => status(shim::keep(pid, start_time).map(|()| 0), |_| 125),
            _ => usage(),
        },
        ["adopt", _] => adopt(PathBuf::from(args[1].clone())),
        ["init", "--", ..] => init(args.into_iter().skip(2)),
        ["pause"] => status(shim::pause(), shim::InitError::exit_code),
        ["--version" | "-V"] => say(concat!("strake-shim ", env!("CARGO_PKG_VERSION"), "\n")),
        ["--help" | "-h" | "help"] => say(USAGE),
        _ => usage(),
    }
}

fn init(command: impl Iterator<Item = OsString>) -> ExitCode {
    let command: Vec<OsString> = command.collect();
    status(shim::init(&command), shim::InitError::exit_code)
}

fn adopt(state_dir: PathBuf) -> ExitCode {
    let adopt = shim::Adopt { exe: shim::ShimExe::Path("/proc/self/exe".into()), state_dir, failpoint: None };
    match shim::adopt(adopt) {
        Ok(shim::Adopted::Alive(_, started)) => {
            say(&format!("container process {} has shim {}\n", started.pid, started.shim_pid))
        }
        Ok(shim::Adopted::Ended(exit)) => say(&format!("the container has ended: {:?}\n", exit.cause)),
        Err(error) => status(Err::<u8, _>(error), shim::LaunchError::exit_code),
    }
}

/// Prints an error with its causes, or takes the exit status.
fn status<E: std::error::Error>(result: Result<u8, E>, code: impl Fn(&E) -> u8) -> ExitCode {
    match result {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let mut text = format!("strake-shim: {error}");
            let mut cause = error.source();
            while let Some(inner) = cause {
                text.push_str(&format!(": {inner}"));
                cause = inner.source();
            }
            complain(&text);
            ExitCode::from(code(&error))
        }
    }
}

fn usage() -> ExitCode {
    complain(USAGE.trim_end());
    ExitCode::from(125)
}

#[allow(clippy::print_stdout, reason = "the roof speaks")]
fn say(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}

#[allow(clippy::print_stderr, reason = "the roof speaks")]
fn complain(text: &str) {
    eprintln!("{text}");
}

/// `STRAKE_FAILPOINT=name[:skip]`, for tests of crashes.
fn arm_failpoint() {
    let Some(value) = std::env::var_os("STRAKE_FAILPOINT") else { return };
    let value = String::from_utf8(value.into_vec()).unwrap_or_default();
    let (name, skip) = value.split_once(':').unwrap_or((&value, "0"));
    base::failpoint::arm(name, skip.parse().unwrap_or(0), sys::process::kill_self);
}
