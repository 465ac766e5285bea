//! One file a scenario.

pub(crate) mod engine;
pub(crate) mod first_write;
pub(crate) mod pull;
pub(crate) mod run;
pub(crate) mod runtime;

use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// Runs `command` in silence; an error when it fails.
fn quietly(command: &mut Command) -> Result<()> {
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
    let status = status.with_context(|| format!("start {}", command.get_program().display()))?;
    ensure!(status.success(), "{command:?} failed: {status}");
    Ok(())
}

/// The first line that `program --version` says.
fn version(program: &str) -> String {
    let output = testkit::run(Command::new(program).arg("--version"));
    output.stdout.lines().next().unwrap_or(program).to_owned()
}

/// Whether `name` was asked for.
fn wanted(options: &crate::Options, name: &str) -> bool {
    options.against.is_empty() || options.against.iter().any(|peer| peer == name)
}
