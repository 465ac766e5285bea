//! What a command said and how it ended.

use std::os::unix::process::ExitStatusExt;
use std::process::Command;

/// A finished command.
#[derive(Clone, Debug)]
pub struct Output {
    /// Exit code, or 128 + n after signal n, as a shell counts it.
    pub code: i32,
    /// All of its standard output.
    pub stdout: String,
    /// All of its standard error.
    pub stderr: String,
    command: String,
}

impl Output {
    /// Standard output without the white space around it, of a command that must have succeeded.
    ///
    /// # Panics
    /// When it failed; the message has all it said.
    #[track_caller]
    pub fn ok(&self) -> &str {
        self.exits(0);
        self.stdout.trim()
    }

    /// Asserts the exit code.
    ///
    /// # Panics
    /// When it is another one; the message has all the command said.
    #[track_caller]
    pub fn exits(&self, code: i32) -> &Self {
        assert_eq!(
            self.code, code,
            "exit code of: {}\n--- stdout\n{}\n--- stderr\n{}",
            self.command, self.stdout, self.stderr
        );
        self
    }

    /// Asserts that standard error has `part` in it.
    ///
    /// # Panics
    /// When it has not.
    #[track_caller]
    pub fn says(&self, part: &str) -> &Self {
        assert!(
            self.stderr.contains(part),
            "{} should say {part:?} but said\n--- stdout\n{}\n--- stderr\n{}",
            self.command,
            self.stdout,
            self.stderr
        );
        self
    }
}

/// Runs `command` to its end and takes what it says.
///
/// # Panics
/// When it cannot be started.
pub fn run(command: &mut Command) -> Output {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let line = words.map(|word| word.to_string_lossy().into_owned()).collect::<Vec<_>>().join(" ");
    let output = command.output().unwrap_or_else(|error| panic!("start {line}: {error}"));
    Output {
        code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        command: line,
    }
}
