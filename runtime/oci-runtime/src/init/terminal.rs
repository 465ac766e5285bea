//! The terminal of init: a pair in the container's own devpts.
//!
//! The slave comes from the master (`TIOCGPTPEER`) and is bound on `/dev/console` by
//! descriptor: neither `/dev/pts/N` nor a symlink at `/dev/console` is followed
//! (CVE-2025-52565).

use std::os::fd::AsFd;
use std::path::Path;

use sys::mount;
use sys::tty::{self, Pty};

use super::{Doing, InitError, Prepared, Setup, place_streams};
use crate::channel::InitEnd;
use crate::plan::ProcessPlan;

/// Makes the terminal, if there shall be one, binds it on `/dev/console` and places
/// the standard streams.
pub(super) fn attach(
    setup: &mut Setup,
    process: &ProcessPlan,
    prepared: &Prepared<'_>,
) -> Result<(), InitError> {
    let Some(size) = &process.terminal else { return stand_alone(prepared) };
    let pty = match &setup.devpts {
        Some(devpts) => tty::open_in(devpts),
        None => tty::open(),
    };
    let pty = pty.doing(|| "make a terminal in the container's devpts".to_owned())?;
    own(&pty, process);
    bind_console(setup, &pty)?;
    hand_over(&prepared.channel, &pty, prepared.console_size.or(*size))
}

/// Without mounts the terminal comes from the devpts that is there.
pub(super) fn attach_without_mounts(process: &ProcessPlan, prepared: &Prepared<'_>) -> Result<(), InitError> {
    if process.terminal.is_none() {
        return stand_alone(prepared);
    }
    make_for(process, &prepared.channel, prepared.console_size)
}

/// Without a terminal init leads a session as well: in the caller's, `/dev/tty` would be the caller's
/// terminal.
fn stand_alone(prepared: &Prepared<'_>) -> Result<(), InitError> {
    rustix::process::setsid().doing(|| "start a session".to_owned())?;
    place_streams(prepared.stdio)
}

/// Makes a terminal in the devpts of the mount namespace that we are in.
pub(crate) fn make_for(
    process: &ProcessPlan,
    channel: &InitEnd,
    console_size: Option<(u16, u16)>,
) -> Result<(), InitError> {
    let pty = tty::open().doing(|| "make a terminal at /dev/ptmx".to_owned())?;
    own(&pty, process);
    hand_over(channel, &pty, console_size.or(process.terminal.flatten()))
}

/// The user must be able to open its own terminal again by name.
fn own(pty: &Pty, process: &ProcessPlan) {
    if process.uid != 0 {
        // An id outside the map cannot own it: then only the open descriptors work.
        let _ = rustix::fs::fchown(&pty.slave, Some(rustix::fs::Uid::from_raw(process.uid)), None);
    }
}

fn bind_console(setup: &Setup, pty: &Pty) -> Result<(), InitError> {
    let doing = || "bind the terminal on /dev/console".to_owned();
    if setup.devpts.is_none() {
        return Ok(());
    }
    let path = Path::new("/dev/console");
    let target = match setup.root.resolve_no_follow(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => setup.root.touch(path, 0o600),
        found => found,
    };
    let target = target.doing(doing)?;
    let slave = mount::clone_fd(&pty.slave, false).doing(doing)?;
    mount::attach(&slave, &target).doing(doing)
}

fn hand_over(channel: &InitEnd, pty: &Pty, size: Option<(u16, u16)>) -> Result<(), InitError> {
    if let Some((columns, rows)) = size.filter(|size| *size != (0, 0)) {
        tty::set_size(&pty.slave, columns, rows).doing(|| "set the terminal's size".to_owned())?;
    }
    tty::make_controlling(&pty.slave).doing(|| "make the terminal the controlling one".to_owned())?;
    for number in 0..=2 {
        sys::fd::become_standard(&pty.slave, number).doing(|| format!("place stream {number}"))?;
    }
    channel.terminal(pty.master.as_fd()).doing(|| "hand the terminal over".to_owned())
}
