//! `strake-runtime`: an OCI runtime with runc's command line.
//!
//! Parses, calls `oci-runtime`, and maps the outcome to an exit status. It stays one
//! thread, and for commands that put a process into a container it first re-executes
//! itself from where no container can write (CVE-2019-5736).

#![allow(clippy::print_stdout, clippy::print_stderr)]

mod args;
mod commands;
mod environment;
mod example;
mod foreground;
mod help;
mod log;
mod name;
mod table;

use std::ffi::CString;
use std::os::unix::ffi::OsStringExt;
use std::process::ExitCode;

use anyhow::Context;

use crate::args::Invocation;

#[global_allocator]
static ALLOCATOR: sys::arena::Arena = sys::arena::Arena::new();

fn main() -> ExitCode {
    // A closed standard stream must not become a container's state file.
    if sys::fd::all_standard_open().is_err() {
        return ExitCode::FAILURE;
    }
    arm_failpoint();
    let raw: Vec<_> = std::env::args_os().collect();
    let texts: Vec<String> = raw.iter().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let mut invocation = match args::parse(&texts) {
        Ok(invocation) => invocation,
        Err(error) => return usage(&error),
    };
    invocation.absent = commands::launch::occupy_absent(&invocation);
    let log = log::Log::open(&invocation.globals);
    match run(&invocation, raw, &log) {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            if let Some(oci_runtime::Error::Unmade(unmade)) = error.downcast_ref() {
                log.warn_all(&unmade.warnings);
            }
            log.fatal(&text_of(&error));
            // What exec gives when the process could not be run: 255, as others do.
            ExitCode::from(if invocation.command == "exec" { 255 } else { 1 })
        }
    }
}

fn run(invocation: &Invocation, raw: Vec<std::ffi::OsString>, log: &log::Log) -> anyhow::Result<u8> {
    if matches!(invocation.command.as_str(), "create" | "run" | "exec") && !invocation.wants_help {
        protect_executable(raw, log);
        tell_of_copy(log);
    }
    commands::run(invocation, log)
}

/// Goes on from a copy that cannot be written.
fn protect_executable(raw: Vec<std::ffi::OsString>, log: &log::Log) {
    let c_string = |text: std::ffi::OsString| Ok(CString::new(text.into_vec())?);
    if let Err(error) = sys::exe::reexec_sealed(|| raw.into_iter().map(c_string).collect()) {
        // An unprotected runtime is still better than none, but say so.
        log.warn(&format!("the runtime's own file is not protected from the container: {error}"));
    }
}

/// From which copy we run, for `--debug`.
fn tell_of_copy(log: &log::Log) {
    if !log.debugs() {
        return;
    }
    let Ok(Some(is_overlay)) = sys::exe::running_copy() else { return };
    if is_overlay {
        log.debug(&format!("{} exeseal: using overlayfs for sealed /proc/self/exe", name::name()));
    }
    log.debug(&format!("{} exeseal: using /proc/self/exe clone", name::name()));
}

fn arm_failpoint() {
    let Some(value) = std::env::var_os("STRAKE_FAILPOINT") else { return };
    let value = value.to_string_lossy().into_owned();
    let (name, skip) = value.split_once(':').unwrap_or((&value, "0"));
    base::failpoint::arm(name, skip.parse().unwrap_or(0), sys::process::kill_self);
}

fn usage(error: &args::UsageError) -> ExitCode {
    eprintln!("{}: {error}", name::name());
    eprintln!("Try '{} --help'.", name::name());
    match error {
        args::UsageError::UnknownCommand(_) => ExitCode::from(NO_SUCH_COMMAND),
        _ => ExitCode::FAILURE,
    }
}

/// What Go's command line packages give, and scripts look for.
const NO_SUCH_COMMAND: u8 = 3;

/// The chain of causes, joined as one line.
fn text_of(error: &anyhow::Error) -> String {
    let mut text = String::new();
    for cause in error.chain() {
        let part = cause.to_string();
        // Transparent errors repeat their source.
        if text.ends_with(&part) {
            continue;
        }
        if !text.is_empty() {
            text.push_str(": ");
        }
        text.push_str(&part);
    }
    text
}

/// The present directory, for bundles given relative to it.
fn current_dir() -> anyhow::Result<std::path::PathBuf> {
    std::env::current_dir().context("read the current directory")
}
