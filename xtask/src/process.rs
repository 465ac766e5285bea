//! Starting other programs.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, ensure};

/// Runs `command` with our terminal; an error when it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let line = line(command);
    eprintln!("\u{25b8} {line}");
    let started = Instant::now();
    let status = command.status().with_context(|| format!("start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    let took = started.elapsed().as_secs();
    if took >= 5 {
        eprintln!("  {took} s");
    }
    Ok(())
}

/// What `command` writes to standard output; an error when it fails.
pub(crate) fn read(command: &mut Command) -> Result<String> {
    let line = line(command);
    let output = command.output().with_context(|| format!("start `{line}`"))?;
    let stderr = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "`{line}` failed: {}\n{stderr}", output.status);
    String::from_utf8(output.stdout).with_context(|| format!("output of `{line}`"))
}

/// `cargo` of the toolchain that runs us.
pub(crate) fn cargo() -> Command {
    Command::new(env!("CARGO"))
}

fn line(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    let program = program.rsplit('/').next().unwrap_or(&program).to_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// As [`run`], without naming the command first.
pub(crate) fn run_quietly(command: &mut Command) -> Result<()> {
    let line = line(command);
    let status = command.status().with_context(|| format!("start `{line}`"))?;
    ensure!(status.success(), "`{line}` failed: {status}");
    Ok(())
}
