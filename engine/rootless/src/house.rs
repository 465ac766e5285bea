//! Finding the user's house, or making it, and going in.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use base::failpoint;
use serde::{Deserialize, Serialize};
use sys::lock::FileLock;
use sys::{Namespace, NamespaceSet};

use crate::error::Error;
use crate::maker::{self, Maps};

/// The user's namespaces, held open.
#[derive(Debug)]
pub struct House {
    /// A process in them.
    pub pid: i32,
    /// When it started.
    pub start_time: u64,
    /// What makes sure that it is that one.
    process: OwnedFd,
    /// The network that the user's containers hang on.
    network: OwnedFd,
    /// What the user should know of a house made just now.
    pub warnings: Vec<String>,
}

/// The keeper's record.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
struct Keeper {
    pid: i32,
    start_time: u64,
}

impl House {
    /// The house whose files are below the state root, if a process lives in it.
    pub fn find(state: &Path) -> Option<Self> {
        let record: Keeper = serde_json::from_slice(&fs::read(record(state)).ok()?).ok()?;
        Self::of(record.pid, Some(record.start_time))
    }

    /// The namespaces that the process is in, if they are a house of ours.
    fn of(pid: i32, start_time: Option<u64>) -> Option<Self> {
        let process = sys::pidfd::open(pid).ok()?;
        // After opening: from here on the descriptor cannot become another's.
        let stat = sys::process::ProcStat::read(pid).ok()?;
        if start_time.is_some_and(|known| known != stat.start_time) || stat.is_zombie() {
            return None;
        }
        let user = sys::namespace::open_of(Some(pid), Namespace::User).ok()?;
        let ours = sys::namespace::owner_uid(&user).ok()? == sys::user::effective_uid();
        let elsewhere =
            sys::namespace::id(&user).ok()? != sys::namespace::id_of(None, Namespace::User).ok()?;
        let network = sys::namespace::open_of(Some(pid), Namespace::Net).ok()?;
        (ours && elsewhere).then_some(Self {
            pid,
            start_time: stat.start_time,
            process,
            network,
            warnings: Vec::new(),
        })
    }

    /// Makes this process root of the house. Its working directory stays what it was.
    ///
    /// The caller has one thread.
    pub fn go_in(&self) -> Result<(), Error> {
        let here = std::env::current_dir();
        let namespaces = NamespaceSet::EMPTY.with(Namespace::User).with(Namespace::Mount);
        sys::namespace::join_process(&self.process, namespaces)
            .map_err(|source| Error::Enter { keeper: self.pid, source })?;
        // What is not there any more was not there before either.
        if let Ok(here) = here {
            let _ = std::env::set_current_dir(here);
        }
        Ok(())
    }

    /// The network namespace.
    pub fn into_network(self) -> OwnedFd {
        self.network
    }

    /// The same, while the house is still needed.
    pub fn network(&self) -> &OwnedFd {
        &self.network
    }

    /// Polls readable when the process that was found has ended.
    pub fn process(&self) -> &OwnedFd {
        &self.process
    }
}

/// Finds the user's house below the state root, or makes it with `keeper` as the program that holds it.
///
/// The caller has one thread, and is an ordinary user in the user namespace that it was born in. Once the
/// house is there, and still outside of it, `before` is done.
pub fn enter(
    state: &Path,
    keeper: impl FnOnce() -> io::Result<PathBuf>,
    before: impl FnOnce(&House) -> Result<(), Error>,
) -> Result<House, Error> {
    if let Some(house) = House::find(state) {
        before(&house)?;
        house.go_in()?;
        return Ok(house);
    }
    prepare(state)?;
    let lock_path = directory(state).join("lock");
    let _lock = FileLock::exclusive(&lock_path).map_err(Error::file("lock", &lock_path))?;
    // Somebody else may have made it while we waited.
    if let Some(house) = House::find(state) {
        before(&house)?;
        house.go_in()?;
        return Ok(house);
    }
    let keeper = keeper().map_err(Error::step("lay down the keeper's program"))?;
    if let Some(house) = through_container(state) {
        // For those who find it by the record before there is another keeper.
        write(state, Keeper { pid: house.pid, start_time: house.start_time })?;
        before(&house)?;
        house.go_in()?;
        return rekeep(state, house, &keeper);
    }
    build(state, &keeper, before)
}

fn build(
    state: &Path,
    keeper: &Path,
    before: impl FnOnce(&House) -> Result<(), Error>,
) -> Result<House, Error> {
    let uid = sys::user::effective_uid();
    let passwd = fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = crate::account::user_name(&passwd, uid).map(|(name, _)| name);
    let mut maps = Maps::of(uid, name.as_deref());
    let warnings = judge(&mut maps, maker::has_helpers(std::env::var_os("PATH").as_deref()));
    let made = maker::make(&maps, keeper)?;
    write(state, Keeper { pid: made.pid, start_time: made.start_time })?;
    failpoint::hit("rootless.recorded");
    let (pid, start_time) = (made.pid, made.start_time);
    let house = House::of(pid, Some(start_time))
        .ok_or_else(|| Error::Inside { step: "the keeper has ended".to_owned() })?;
    made.settle()?;
    before(&house)?;
    house.go_in()?;
    Ok(House { warnings, ..house })
}

/// Gives a house whose keeper was killed another one. We are inside.
fn rekeep(state: &Path, house: House, keeper: &Path) -> Result<House, Error> {
    // The new one is to hold the network too, which this command may want to be outside of yet.
    let own =
        sys::namespace::open_of(None, Namespace::Net).map_err(Error::step("open the network namespace"))?;
    let stays = sys::namespace::id(&own).ok() == sys::namespace::id(&house.network).ok();
    let made = maker::keep_here(keeper, (!stays).then_some(&house.network))?;
    write(state, Keeper { pid: made.pid, start_time: made.start_time })?;
    made.settle()?;
    Ok(house)
}

/// What cannot be as it should; the maps become what can be.
fn judge(maps: &mut Maps, has_helpers: bool) -> Vec<String> {
    let name = &maps.name;
    let missing = match (maps.users.is_empty(), maps.groups.is_empty(), has_helpers) {
        (false, false, true) => return Vec::new(),
        (false, false, false) => {
            "newuidmap and newgidmap are not installed: install Debian's uidmap, or shadow-utils".to_owned()
        }
        (true, false, _) => format!("/etc/subuid has no line for you: add `{name}:100000:65536`"),
        (false, true, _) => format!("/etc/subgid has no line for you: add `{name}:100000:65536`"),
        (true, true, _) => {
            format!("/etc/subuid and /etc/subgid have no line for you: add `{name}:100000:65536` to both")
        }
    };
    maps.users.clear();
    maps.groups.clear();
    vec![format!(
        "your containers have one user and one group, 0, and images with files of others cannot be unpacked; {missing}"
    )]
}

/// The house through any container that runs: its supervisor is in the namespaces too.
fn through_container(state: &Path) -> Option<House> {
    let entries = fs::read_dir(state.join("containers")).ok()?;
    entries.flatten().find_map(|entry| {
        #[derive(Deserialize)]
        struct Supervisor {
            shim_pid: i32,
        }
        let directory = entry.path();
        // A record lock: it is held for as long as the supervisor lives, and by nobody else.
        if !is_locked(&directory.join("shim.lock")) {
            return None;
        }
        let record = fs::read(directory.join("shim.json")).ok()?;
        let supervisor: Supervisor = serde_json::from_slice(&record).ok()?;
        House::of(supervisor.shim_pid, None)
    })
}

fn is_locked(path: &Path) -> bool {
    use rustix::fs::{FlockOperation, Mode, OFlags};
    rustix::fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())
        .is_ok_and(|file| rustix::fs::fcntl_lock(&file, FlockOperation::NonBlockingLockShared).is_err())
}

/// The directory of the house's own files. What lies in a place where others may write, as `/tmp`
/// is, must be ours and closed to them.
fn prepare(state: &Path) -> Result<(), Error> {
    for path in [state, &directory(state)] {
        let made = DirBuilder::new().recursive(true).mode(0o700).create(path);
        made.map_err(Error::file("make the directory", path))?;
        let found = fs::symlink_metadata(path).map_err(Error::file("look at", path))?;
        if found.uid() != sys::user::effective_uid() {
            return Err(Error::NotOurs { path: path.to_owned(), owner: found.uid() });
        }
    }
    Ok(())
}

fn write(state: &Path, keeper: Keeper) -> Result<(), Error> {
    let path = record(state);
    let temporary = path.with_extension("new");
    let bytes = serde_json::to_vec(&keeper).map_err(|error| Error::file("write", &path)(error.into()))?;
    fs::write(&temporary, bytes).map_err(Error::file("write", &temporary))?;
    fs::rename(&temporary, &path).map_err(Error::file("rename", &temporary))
}

/// Where a house's own files lie.
pub fn directory(state: &Path) -> PathBuf {
    state.join("house")
}

fn record(state: &Path) -> PathBuf {
    directory(state).join("keeper.json")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Range;

    #[track_caller]
    fn check(users: usize, groups: usize, helpers: bool, expected: Option<&str>) {
        let ranges = |count| vec![Range { first: 100_000, count: 65_536 }; count];
        let mut maps = Maps { users: ranges(users), groups: ranges(groups), name: "ann".to_owned() };
        let warnings = judge(&mut maps, helpers);
        assert_eq!(maps.is_single(), expected.is_some());
        match expected {
            Some(text) => assert!(warnings[0].contains(text), "{warnings:?}"),
            None => assert_eq!(warnings, Vec::<String>::new()),
        }
    }

    #[test]
    fn without_lent_ids_there_is_one() {
        check(1, 1, true, None);
        check(1, 1, false, Some("not installed"));
        check(0, 1, true, Some("/etc/subuid has no line"));
        check(1, 0, true, Some("/etc/subgid has no line"));
        check(0, 0, false, Some("to both"));
    }

    #[test]
    fn our_own_namespaces_are_no_house() {
        assert!(House::of(std::process::id() as i32, None).is_none());
    }
}
