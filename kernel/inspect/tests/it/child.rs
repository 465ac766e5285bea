//! A child to look at.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use inspect::{Proc, Process};

/// A child that lives until this is dropped.
pub(crate) struct Held {
    child: Child,
    /// Its PID, as it said itself.
    pub(crate) pid: i32,
}

impl Held {
    /// Starts `program arguments… sh -c 'echo $$; exec cat'` and waits until it is cat.
    pub(crate) fn start(program: &str, arguments: &[&str]) -> Self {
        let mut command = Command::new(program);
        command.args(arguments).args(["sh", "-c", "echo $$; exec cat"]);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let pid = line.trim().parse().unwrap_or_else(|_| panic!("no PID in {line:?}"));
        testkit::wait_for("the shell to become cat", || {
            (std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()? == "cat\n").then_some(())
        });
        Self { child, pid }
    }

    /// The reader of it.
    pub(crate) fn process(&self) -> Process {
        Proc::open().unwrap().process(self.pid).unwrap()
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a tool prints.
pub(crate) fn output(command: &str, arguments: &[&str]) -> String {
    let output = Command::new(command).args(arguments).output().unwrap();
    assert!(output.status.success(), "{command} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}
