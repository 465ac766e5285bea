//! Processes that the shim starts and leaves to themselves.

use std::io;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};

use sys::clone::{CloneOptions, Forked, clone3};

/// Starts a command in a session of its own; nothing for an empty one. It may outlive us, and
/// init reaps it then.
///
/// A fork of our own, because the standard library would hand on the signals we block, and
/// unblocking them here could end us.
pub(crate) fn detached(command: &[String]) -> io::Result<()> {
    let Some((program, arguments)) = command.split_first() else { return Ok(()) };
    if let Forked::Parent { .. } = clone3(&CloneOptions::default())? {
        return Ok(());
    }
    let _ = sys::signal::unblock_all();
    let _ = rustix::process::setsid();
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    drop(command.exec());
    sys::process::exit_now(127)
}
