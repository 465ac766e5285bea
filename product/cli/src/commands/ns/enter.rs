//! `strake ns enter`.

use std::ffi::OsString;

use sys::namespace::{self, Namespace, NamespaceSet};

use super::Kinds;
use super::process::{self, Plan};
use crate::commands::explain::target;
use crate::context::Context;
use crate::error::{CliError, Status, chain};

/// Arguments of `strake ns enter`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  \
    strake ns enter web                    a shell in all of web's namespaces\n  \
    strake ns enter web --net ss -lnt      the host's ss, looking at web's ports\n  \
    strake ns enter 4711 --pid --mount ps\n\n\
    Unlike `strake exec`, limits, capabilities and seccomp of the container do not apply: only its namespaces do.")]
pub struct Args {
    /// Whose namespaces: a container or a process
    #[arg(value_name = "CONTAINER|PID")]
    pub target: String,
    /// All of them (the default when none is named)
    #[arg(short, long)]
    pub all: bool,
    /// Which kinds.
    #[command(flatten)]
    pub kinds: Kinds,
    /// The command; a shell when missing
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// Runs the command.
pub fn run(args: &Args, context: &Context) -> Result<Status, CliError> {
    let pid = target::resolve(&args.target, context)?.running_pid()?;
    let pidfd = sys::pidfd::open(pid)
        .map_err(|errno| CliError::message(format!("open process {pid}: {}", chain(&errno))))?;
    let kinds = differing(args.wanted(), pid)?;
    join(&pidfd, kinds, pid)?;
    // Inside, the shell of the host's user may not exist; /bin/sh mostly does.
    let shell = [OsString::from("/bin/sh")];
    let command = if args.command.is_empty() { &shell[..] } else { &args.command[..] };
    let enter = || become_root(kinds);
    // The PID namespace takes effect for children only, so the command is one.
    process::run(&Plan { new: NamespaceSet::EMPTY, command, prepare: &|_| Ok(()), enter: &enter }, context)
}

impl Args {
    fn wanted(&self) -> NamespaceSet {
        let named: NamespaceSet = self.kinds.asked().collect();
        if self.all || named.is_empty() { Namespace::ALL.into_iter().collect() } else { named }
    }
}

/// Those in which the process and we differ: the kernel refuses to join a user
/// namespace again, and the others need no joining.
fn differing(wanted: NamespaceSet, pid: i32) -> Result<NamespaceSet, CliError> {
    let mut kinds = NamespaceSet::EMPTY;
    for kind in wanted.iter() {
        let Ok(own) = namespace::id_of(None, kind) else { continue }; // a kind that this kernel lacks
        let theirs = namespace::id_of(Some(pid), kind).map_err(|errno| {
            CliError::message(format!("read the {kind} namespace of process {pid}: {}", chain(&errno)))
                .with_fix("it needs the same user with the same capabilities, or root (CAP_SYS_PTRACE)")
        })?;
        if own != theirs {
            kinds = kinds.with(kind);
        }
    }
    Ok(kinds)
}

fn join(pidfd: &std::os::fd::OwnedFd, kinds: NamespaceSet, pid: i32) -> Result<(), CliError> {
    if kinds.is_empty() {
        return Ok(());
    }
    namespace::join_process(pidfd, kinds).map_err(|errno| {
        let names: Vec<String> = kinds.iter().map(|kind| kind.to_string()).collect();
        CliError::message(format!("join {} of process {pid}: {}", names.join(", "), chain(&errno)))
            .with_fix("it needs root (CAP_SYS_ADMIN) in the namespaces' user namespace")
    })
}

/// In another user namespace our ids mean nothing; its root does.
fn become_root(kinds: NamespaceSet) -> Result<(), CliError> {
    if !kinds.contains(Namespace::User) {
        return Ok(());
    }
    // A namespace that maps no root, or forbids setgroups, leaves us as we are.
    let _ = sys::user::set_groups(&[]);
    let _ = sys::user::set_gid(0);
    let _ = sys::user::set_uid(0);
    Ok(())
}
