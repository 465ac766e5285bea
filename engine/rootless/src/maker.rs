//! Making a house: a process in new namespaces, its maps, and what stays of it.
//!
//! ```text
//! us ─ clone ─▶ child waits         (dies with us until it is recorded)
//!    ─ maps  ─▶ child brings its loopback up, then says so
//!    ─ record ▶ child becomes the keeper: a program of a few pages that sleeps
//! ```

use std::ffi::{CString, OsStr};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use base::failpoint;
use netlink::{Protocol, Socket};
use sys::clone::{CloneOptions, Forked, clone3};
use sys::idmap::{IdMaps, IdRange};
use sys::{Namespace, NamespaceSet, Signal};

use crate::error::Error;
use crate::subordinate::{Range, ranges};

/// Which ids a house has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maps {
    /// Users beyond the user's own id, which is 0 inside.
    pub users: Vec<Range>,
    /// Groups beyond the user's own.
    pub groups: Vec<Range>,
    /// The user's name, or the id where there is none.
    pub name: String,
}

impl Maps {
    /// What the host lends to the user.
    pub fn of(uid: u32, name: Option<&str>) -> Self {
        let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
        Self {
            users: ranges(&read("/etc/subuid"), name, uid),
            groups: ranges(&read("/etc/subgid"), name, uid),
            name: name.map_or_else(|| uid.to_string(), str::to_owned),
        }
    }

    /// Whether there are no ids but the user's own.
    pub fn is_single(&self) -> bool {
        self.users.is_empty() || self.groups.is_empty()
    }
}

/// The first process of a house, which is not yet recorded.
pub(crate) struct Made {
    /// Its id.
    pub(crate) pid: i32,
    /// When it started.
    pub(crate) start_time: u64,
    /// Closing it without a word ends the process.
    channel: OwnedFd,
}

impl Made {
    /// It is recorded: it may stay.
    pub(crate) fn settle(self) -> Result<(), Error> {
        rustix::io::write(&self.channel, b"s")
            .map(drop)
            .map_err(|errno| Error::step("release the keeper")(errno.into()))
    }
}

/// Makes the namespaces, with a process in them that becomes `keeper` once it is recorded.
///
/// The caller has one thread.
pub(crate) fn make(maps: &Maps, keeper: &Path) -> Result<Made, Error> {
    let namespaces = NamespaceSet::EMPTY.with(Namespace::User).with(Namespace::Mount).with(Namespace::Net);
    let made = spawn(namespaces, None, keeper)?;
    failpoint::hit("rootless.cloned");
    write_maps(maps, made.pid)?;
    failpoint::hit("rootless.mapped");
    proceed(made)
}

/// Makes another keeper where we are, and in `network`.
pub(crate) fn keep_here(keeper: &Path, network: Option<&OwnedFd>) -> Result<Made, Error> {
    proceed(spawn(NamespaceSet::EMPTY, network, keeper)?)
}

fn spawn(namespaces: NamespaceSet, network: Option<&OwnedFd>, keeper: &Path) -> Result<Made, Error> {
    let (ours, theirs) = sys::fdpass::message_pair().map_err(Error::step("make a socket pair"))?;
    let options = CloneOptions { namespaces, ..CloneOptions::default() };
    match clone3(&options).map_err(|source| Error::Clone { source })? {
        Forked::Child => {
            drop(ours);
            let error = become_keeper(&theirs, keeper, network, !namespaces.is_empty());
            let _ = rustix::io::write(&theirs, error.as_bytes());
            sys::process::exit_now(1)
        }
        Forked::Parent { pid, .. } => {
            drop(theirs);
            let stat = sys::process::ProcStat::read(pid);
            let start_time = stat.map_err(Error::step("read the keeper's start time"))?.start_time;
            Ok(Made { pid, start_time, channel: ours })
        }
    }
}

/// Lets the child go on, and hears what came of it.
fn proceed(made: Made) -> Result<Made, Error> {
    let step = |errno: rustix::io::Errno| Error::step("hear from the keeper")(errno.into());
    rustix::io::write(&made.channel, b"m").map_err(step)?;
    let mut said = [0; 512];
    let count = rustix::io::read(&made.channel, &mut said).map_err(step)?;
    match &said[..count] {
        b"r" => Ok(made),
        b"" => Err(Error::Inside { step: "the process was killed".to_owned() }),
        text => Err(Error::Inside { step: String::from_utf8_lossy(text).into_owned() }),
    }
}

/// The child: returns only if it fails, with the reason.
fn become_keeper(channel: &OwnedFd, keeper: &Path, network: Option<&OwnedFd>, new: bool) -> String {
    let told = |what: &str, error: &dyn std::fmt::Display| format!("{what}: {error}");
    if let Err(error) = sys::prctl::set_parent_death_signal(Some(Signal::KILL)) {
        return told("die with the command", &error);
    }
    if !hears(channel, b"m") {
        return String::new();
    }
    if let Some(network) = network
        && let Err(error) = sys::namespace::join(network, Namespace::Net)
    {
        return told("join the network namespace", &error);
    }
    if new && let Err(error) = loopback_up() {
        return told("bring loopback up", &error);
    }
    let _ = rustix::process::setsid();
    let _ = std::env::set_current_dir("/");
    if let Err(error) = streams_to_null() {
        return told("open /dev/null", &error);
    }
    if rustix::io::write(channel, b"r").is_err() || !hears(channel, b"s") {
        return String::new();
    }
    if let Err(error) = sys::prctl::set_parent_death_signal(None) {
        return told("outlive the command", &error);
    }
    let _ = sys::fd::cloexec_from(3);
    let program = CString::new(keeper.as_os_str().as_bytes()).unwrap_or_default();
    let args = [c"strake-keeper".to_owned(), c"pause".to_owned()];
    let error = sys::process::exec(&program, &args, &[]);
    told("run the keeper", &error)
}

fn hears(channel: &OwnedFd, word: &[u8]) -> bool {
    let mut said = [0; 8];
    rustix::io::read(channel, &mut said).is_ok_and(|count| said.get(..count) == Some(word))
}

fn streams_to_null() -> io::Result<()> {
    let flags = rustix::fs::OFlags::RDWR | rustix::fs::OFlags::CLOEXEC;
    let null = rustix::fs::open("/dev/null", flags, rustix::fs::Mode::empty())?;
    (0..3).try_for_each(|number| sys::fd::become_standard(null.as_fd(), number))
}

fn loopback_up() -> Result<(), netlink::Error> {
    let mut socket = Socket::open(Protocol::Route)?;
    socket.execute_all(&[netlink::route::loopback_up()]).map(drop)
}

/// Gives the namespaces of `pid` their ids: all that the host lends, by the helpers that may, or the
/// user's own alone, which everybody may.
fn write_maps(maps: &Maps, pid: i32) -> Result<(), Error> {
    let (uid, gid) = (sys::user::effective_uid(), sys::user::effective_gid());
    if maps.is_single() {
        let own = |id| vec![IdRange { inside: 0, outside: id, count: 1 }];
        let proc = sys::procfs::Procfs::host().map_err(Error::step("open /proc"))?;
        return sys::idmap::write_maps(&proc, pid, &IdMaps { uids: own(uid), gids: own(gid) }, true)
            .map_err(Error::step("map your own id"));
    }
    helper("newuidmap", "/etc/subuid", pid, uid, &maps.users, &maps.name)?;
    helper("newgidmap", "/etc/subgid", pid, gid, &maps.groups, &maps.name)
}

fn helper(
    program: &'static str,
    file: &'static str,
    pid: i32,
    own: u32,
    ranges: &[Range],
    name: &str,
) -> Result<(), Error> {
    let mut command = Command::new(program);
    command.args(helper_arguments(pid, own, ranges)).stdin(Stdio::null());
    let output = command.output().map_err(|source| Error::Helper { program, source })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(Error::Refused { program, file, said, user: name.to_owned() })
}

/// PID, then inside, outside, count of each range.
fn helper_arguments(pid: i32, own: u32, ranges: &[Range]) -> Vec<String> {
    let mut words = vec![pid.to_string()];
    let mut inside = 0;
    for Range { first, count } in std::iter::once(&Range { first: own, count: 1 }).chain(ranges) {
        // Beyond the last id there is nothing to map.
        let count = (*count).min(u32::MAX - inside);
        words.extend([inside.to_string(), first.to_string(), count.to_string()]);
        inside += count;
    }
    words
}

/// Whether the helpers are there.
pub(crate) fn has_helpers(path: Option<&OsStr>) -> bool {
    let directories: Vec<_> = path.map(std::env::split_paths).into_iter().flatten().collect();
    let is_there = |name: &str| directories.iter().any(|directory| directory.join(name).is_file());
    is_there("newuidmap") && is_there("newgidmap")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_users_own_id_is_root_inside() {
        let ranges = [Range { first: 100_000, count: 65_536 }, Range { first: 300_000, count: 10 }];
        let words = helper_arguments(42, 1000, &ranges).join(" ");
        assert_eq!(words, "42 0 1000 1 1 100000 65536 65537 300000 10");
    }
}
