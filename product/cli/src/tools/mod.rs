//! What `strake` is inside a container of its own image: small programs that need
//! nothing else there.
//!
//! They are chosen by the name that the program was called by. Each is as small as it can
//! be and still answer the questions that people ask of a container.

mod applets;
mod pause;
mod probe;
mod whoami;

use std::collections::BTreeMap;
use std::io::Write;
use std::process::ExitCode;

/// The names of all tools, as they are linked in the image.
pub const TOOLS: [&str; 14] = [
    "pause", "whoami", "probe", "ls", "cat", "env", "id", "ps", "true", "false", "sleep", "echo", "hostname",
    "mount",
];

/// Whether a program called `name` is one of the tools.
pub fn is_tool(name: &str) -> bool {
    TOOLS.contains(&name)
}

/// Runs the tool `name`.
pub fn run(name: &str, args: &[String], variables: &BTreeMap<String, String>) -> ExitCode {
    let result = match name {
        "pause" => pause::run(),
        "whoami" => whoami::run(args, variables),
        "probe" => probe::run(args),
        "env" => applets::env(variables),
        name => applets::run(name, args),
    };
    match result {
        Ok(code) => ExitCode::from(code),
        Err(message) => {
            // Nobody is left to tell when this fails.
            let _ = writeln!(std::io::stderr(), "{name}: {message}");
            ExitCode::FAILURE
        }
    }
}

/// How a tool ends: with a status, or with a sentence on standard error.
type Outcome = Result<u8, std::io::Error>;

/// An error with a sentence of ours.
fn wrong(message: impl Into<String>) -> std::io::Error {
    std::io::Error::other(message.into())
}
