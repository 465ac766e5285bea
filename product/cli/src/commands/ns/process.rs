//! A command as a child of ours: started, waited for, its status passed on.

use std::ffi::OsString;
use std::io::{self, Read as _, Write as _};
use std::os::unix::process::CommandExt as _;
use std::process::Command;

use sys::clone::{CloneOptions, Forked, clone3};
use sys::namespace::NamespaceSet;
use sys::process::{exit_now, wait_pidfd};
use sys::signal::{self, Signal};

use crate::context::Context;
use crate::error::{CliError, Status, chain};

/// What happens around a command.
pub(super) struct Plan<'a> {
    /// Namespaces that are made for it.
    pub(super) new: NamespaceSet,
    /// The command; never empty.
    pub(super) command: &'a [OsString],
    /// In the parent, when the child is there and waits.
    pub(super) prepare: &'a dyn Fn(i32) -> Result<(), CliError>,
    /// In the child, when the parent is ready.
    pub(super) enter: &'a dyn Fn() -> Result<(), CliError>,
}

/// Runs the command and returns its status, 128 + n when signal n ended it.
///
/// The child dies with us: to whoever started us it is the command itself.
pub(super) fn run(plan: &Plan<'_>, context: &Context) -> Result<Status, CliError> {
    // What is still in a buffer would be written twice after the fork.
    context.flush()?;
    let (mut gate, mut opener) = io::pipe()?;
    let forked = clone3(&CloneOptions { namespaces: plan.new, ..CloneOptions::default() });
    match forked.map_err(|errno| refused(plan.new, &errno))? {
        Forked::Child => {
            drop(opener);
            let opened = gate.read(&mut [0]).is_ok_and(|count| count == 1);
            drop(gate);
            // A closed gate means that the parent has failed and says so itself.
            exit_now(if opened { child(plan, context) } else { 125 })
        }
        Forked::Parent { pid, pidfd } => {
            drop(gate);
            let prepared = (plan.prepare)(pid);
            if prepared.is_ok() {
                // Ctrl-C goes to both; the command decides, and we report.
                signal::ignore(Signal::INT)?;
                signal::ignore(Signal::QUIT)?;
                opener.write_all(&[1])?;
            }
            drop(opener);
            let status = wait_pidfd(pidfd)?;
            prepared?;
            Ok(Status(u8::try_from(status.shell_code()).unwrap_or(255)))
        }
    }
}

/// Becomes the command; returns the status to end with if that fails.
fn child(plan: &Plan<'_>, context: &Context) -> i32 {
    if let Err(error) = (plan.enter)() {
        context.complain(format_args!("strake: {error}"));
        return 125;
    }
    let Some((program, arguments)) = plan.command.split_first() else { return 125 };
    // A parent that ended before this line has left us to init; then there is nobody to follow.
    let _ = sys::prctl::set_parent_death_signal(Some(Signal::KILL));
    let errno = Command::new(program).args(arguments).exec();
    context.complain(format_args!("strake: run {}: {}", program.display(), chain(&errno)));
    if errno.kind() == io::ErrorKind::NotFound { 127 } else { 126 }
}

fn refused(new: NamespaceSet, errno: &io::Error) -> CliError {
    let kinds: Vec<String> = new.iter().map(|kind| kind.to_string()).collect();
    let hint = match errno.kind() {
        io::ErrorKind::PermissionDenied => {
            "root can, and an ordinary user with --map-root-user, where the host allows user namespaces"
        }
        // The kernel says "no space" when a limit of /proc/sys/user is used up.
        io::ErrorKind::StorageFull => "the limits are in /proc/sys/user/max_*_namespaces",
        _ => "",
    };
    let error = CliError::message(format!("make namespaces {}: {errno}", kinds.join(", ")));
    if hint.is_empty() { error } else { error.with_fix(hint) }
}
