//! The operations of the specification on one state directory.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use base::{ContainerId, failpoint};
use cgroup::SystemdBus;
use oci_spec::runtime::{Hooks, Linux, LinuxResources, Spec};
use sys::Signal;
use sys::seccomp::Filter;

use crate::bundle::Loaded;
use crate::error::Error;
use crate::exec::Target;
use crate::gate::{self, Opened};
use crate::held::Held;
use crate::hooks::{self, HookError};
use crate::kept::Kept;
use crate::options::{CreateOptions, Created, ExecOptions};
use crate::state::{ContainerRecord, ContainerStatus, hook_state};
use crate::store::{StateDir, lives};

/// A runtime over one state directory. Cheap to make.
#[derive(Clone, Debug)]
pub struct Runtime {
    root: PathBuf,
    pub(crate) settings: Settings,
}

/// What is the same for all containers of a runtime.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// systemd makes the cgroups.
    pub(crate) systemd_cgroup: bool,
    /// Containers without cgroups.
    pub(crate) no_cgroup: bool,
    /// Which systemd.
    pub(crate) bus: SystemdBus,
    /// Goes without what only the host's root may do.
    pub(crate) rootless: bool,
}

impl Runtime {
    /// The runtime whose state is under `root` (made when needed).
    pub fn new(root: PathBuf) -> Self {
        let rootless = sys::user::effective_uid() != 0;
        let bus = SystemdBus::system();
        Self { root, settings: Settings { systemd_cgroup: false, no_cgroup: false, bus, rootless } }
    }

    /// Lets systemd make the cgroups.
    #[must_use]
    pub fn with_systemd_cgroup(mut self, on: bool) -> Self {
        self.settings.systemd_cgroup = on;
        self
    }

    /// Asks this systemd, where one makes the cgroups.
    #[must_use]
    pub fn with_systemd_bus(mut self, bus: SystemdBus) -> Self {
        self.settings.bus = bus;
        self
    }

    /// Makes no cgroups: containers stay in the caller's, without limits.
    #[must_use]
    pub fn without_cgroups(mut self, on: bool) -> Self {
        self.settings.no_cgroup = on;
        self
    }

    /// Goes without what only the host's root may do.
    #[must_use]
    pub fn with_rootless(mut self, on: bool) -> Self {
        self.settings.rootless = on;
        self
    }

    /// The state directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Reads the bundle's `config.json` for [`Runtime::create`] or [`Runtime::hold`], which are given all
    /// of the result.
    pub fn load(&self, bundle: &Path) -> Result<Loaded, Error> {
        crate::bundle::load_with(bundle, &Kept::below(&self.root))
    }

    /// Makes the container; its init waits at the start gate.
    ///
    /// The caller has one thread, becomes init's parent and reaps it.
    pub fn create(&self, id: &ContainerId, spec: &Spec, options: CreateOptions) -> Result<Created, Error> {
        crate::create::create(&self.root, id, spec, options, &self.settings)
    }

    /// As [`Runtime::create`], for a caller that also starts the container, waits for its end and
    /// deletes it: with [`Runtime::start_held`] and [`Runtime::delete_held`].
    pub fn hold(&self, id: &ContainerId, spec: &Spec, options: CreateOptions) -> Result<Held, Error> {
        if spec.process().is_none() {
            return Err(Error::NoProcess { id: id.to_string() });
        }
        crate::create::make(&self.root, id, spec, options, &self.settings, false)
    }

    /// As [`Runtime::start`].
    pub fn start_held(&self, held: &Held) -> Result<(), Error> {
        let released = held.release();
        failpoint::hit("start.opened");
        if released.is_err() {
            // It is about to end: when we say so, it has.
            wait_readable(&held.created.pidfd, KILL_LIMIT).map_err(Error::system("wait for init's end"))?;
        }
        released?;
        self.run_poststart(&held.record)
    }

    /// As [`Runtime::delete`], once the caller has seen the end of init.
    pub fn delete_held(&self, held: &Held) -> Result<Vec<String>, Error> {
        if !held.is_recorded() {
            return Ok(Vec::new());
        }
        failpoint::hit("delete.killed");
        self.release(&held.record)?;
        failpoint::hit("delete.cgroup");
        held.dir.remove_recorded()?;
        Ok(run_poststop(&held.record, held.record.hooks.as_ref()))
    }

    /// Lets init run the user's program. Returns once the program runs, or with the
    /// reason why it could not be executed.
    pub fn start(&self, id: &ContainerId) -> Result<(), Error> {
        let dir = StateDir::of(&self.root, id);
        let record = dir.read()?;
        if record.pid == 0 {
            return Err(Error::State { operation: "start", status: dir.status(&record) });
        }
        if record.no_process {
            return Err(Error::NoProcess { id: record.id });
        }
        let init = sys::pidfd::open(record.pid).ok();
        let opened = gate::open(&dir.path).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(Opened::Nobody),
            _ => Err(Error::path("open the start gate in", &dir.path)(error)),
        })?;
        failpoint::hit("start.opened");
        match opened {
            Opened::Passed => {}
            Opened::Failed(failure) => {
                // It is about to end: when we say so, it has.
                if let Some(init) = init {
                    wait_readable(&init, KILL_LIMIT).map_err(Error::system("wait for init's end"))?;
                }
                return Err(failure.into());
            }
            Opened::Nobody => return Err(Error::State { operation: "start", status: dir.status(&record) }),
        }
        gate::remove(&dir.path);
        self.run_poststart(&record)
    }

    fn run_poststart(&self, record: &ContainerRecord) -> Result<(), Error> {
        let Some(hooks) = record.hooks.as_ref().and_then(|hooks| hooks.poststart().as_ref()) else {
            return Ok(());
        };
        let state = hook_state(record, ContainerStatus::Running.as_str(), record.pid);
        hooks::run_all("poststart", hooks, &state).map_err(|error| {
            // runtime.md, "Lifecycle", step 9: the container is stopped.
            let _ = self.kill_init(record, Signal::KILL);
            error.into()
        })
    }

    /// The record and the present status.
    pub fn state(&self, id: &ContainerId) -> Result<(ContainerRecord, ContainerStatus), Error> {
        let dir = StateDir::of(&self.root, id);
        let record = dir.read()?;
        let status = dir.status(&record);
        Ok((record, status))
    }

    /// Sends a signal to init, or with `all` to every process of the container.
    pub fn kill(&self, id: &ContainerId, signal: Signal, all: bool) -> Result<(), Error> {
        let record = StateDir::of(&self.root, id).read()?;
        if signal == Signal::KILL && record.pid != 0 && !record.has_own_pid_namespace() {
            return self.kill_without_pid_namespace(&record);
        }
        if all {
            // Until init is there, the cgroup may be another's: see `is_anothers`.
            if record.pid == 0 {
                return Err(Error::NotRunning);
            }
            return self.signal_all(&record, signal);
        }
        self.kill_init(&record, signal)?;
        // A frozen process takes SIGKILL only when it thaws (cgroup v1).
        if signal == Signal::KILL
            && let Some(cgroup) = &record.cgroup
        {
            let _ = cgroup.thaw();
        }
        Ok(())
    }

    fn kill_init(&self, record: &ContainerRecord, signal: Signal) -> Result<(), Error> {
        let Ok(pidfd) = sys::pidfd::open(record.pid) else { return Err(Error::NotRunning) };
        // Opened first, compared then: the descriptor is of the recorded process.
        if !record.init_lives() {
            return Err(Error::NotRunning);
        }
        sys::pidfd::send_signal(&pidfd, signal).map_err(|error| match is_gone(&error) {
            // It has ended since.
            true => Error::NotRunning,
            false => Error::system(format!("send {signal} to process {}", record.pid))(error),
        })
    }

    /// Init's end does not end the others, and they may live on without it.
    fn kill_without_pid_namespace(&self, record: &ContainerRecord) -> Result<(), Error> {
        let Some(cgroup) = &record.cgroup else { return self.kill_init(record, Signal::KILL) };
        let others = cgroup.pids().is_ok_and(|pids| !pids.is_empty());
        if !others && !record.init_lives() {
            return Err(Error::NotRunning);
        }
        cgroup.kill_all()?;
        match self.kill_init(record, Signal::KILL) {
            Err(Error::NotRunning) => Ok(()),
            result => result,
        }
    }

    fn signal_all(&self, record: &ContainerRecord, signal: Signal) -> Result<(), Error> {
        let Some(cgroup) = &record.cgroup else { return self.kill_init(record, signal) };
        if signal == Signal::KILL {
            return Ok(cgroup.kill_all()?);
        }
        for pid in cgroup.pids()? {
            match sys::signal::kill(pid, signal) {
                Err(error) if !is_gone(&error) => {
                    return Err(Error::system(format!("send {signal} to process {pid}"))(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Removes what is left of a stopped container; with `force` kills it first and
    /// takes a missing one for done. Returns what went wrong after it was removed.
    pub fn delete(&self, id: &ContainerId, force: bool) -> Result<Vec<String>, Error> {
        let dir = StateDir::of(&self.root, id);
        let record = match dir.read() {
            // A runtime that was killed early leaves a directory without a record.
            Err(Error::NotFound { .. } | Error::Json { .. }) if force => {
                return dir.remove().map(|()| Vec::new());
            }
            Err(Error::NotFound { .. }) if dir.exists() => return dir.remove().map(|()| Vec::new()),
            read => read?,
        };
        let record = if force { settled(&dir, record) } else { record };
        match dir.status(&record) {
            ContainerStatus::Stopped => {}
            // Its creator finds the directory gone, and unmakes what it has made.
            ContainerStatus::Creating if force => {}
            // Init has run nothing of the user's yet.
            ContainerStatus::Created => self.end(&record)?,
            _ if force => self.end(&record)?,
            status => return Err(Error::NotStopped { id: id.to_string(), status }),
        }
        failpoint::hit("delete.killed");
        self.release(&record)?;
        failpoint::hit("delete.cgroup");
        dir.remove()?;
        Ok(run_poststop(&record, record.hooks.as_ref()))
    }

    /// Removes its groups of the kernel's, and its root where that is a mount here.
    fn release(&self, record: &ContainerRecord) -> Result<(), Error> {
        if let Some(cgroup) = record.cgroup.as_ref().filter(|cgroup| !is_anothers(record, cgroup)) {
            if !record.has_own_pid_namespace() {
                // Init's end does not end the others when it is not PID 1.
                cgroup.kill_all()?;
            }
            if let Some(unit) = &record.systemd_unit {
                self.systemd()?.stop(unit).map_err(cgroup::Error::from)?;
            }
            cgroup.remove()?;
        }
        if let Some(group) = &record.rdt {
            group.remove()?;
        }
        crate::create::here::detach(record)
    }

    /// Kills everything in the container and waits for init's end.
    fn end(&self, record: &ContainerRecord) -> Result<(), Error> {
        let pidfd = sys::pidfd::open(record.pid).ok();
        match self.kill_init(record, Signal::KILL) {
            Ok(()) | Err(Error::NotRunning) => {}
            Err(error) => return Err(error),
        }
        if let Some(cgroup) = &record.cgroup {
            cgroup.kill_all()?;
        }
        let Some(pidfd) = pidfd else { return Ok(()) };
        let until = Instant::now() + KILL_LIMIT;
        while lives(record.pid, record.start_time) {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(Error::StillRunning { id: record.id.clone(), seconds: KILL_LIMIT.as_secs() });
            }
            wait_readable(&pidfd, left).map_err(Error::system("wait for init's end"))?;
        }
        Ok(())
    }

    /// Runs a further process in the container. The caller becomes its parent.
    pub fn exec(&self, id: &ContainerId, options: &ExecOptions) -> Result<Created, Error> {
        self.container(id)?.exec(options)
    }

    /// The container's record with the spec in its bundle, read once for all that is done with both.
    pub fn container(&self, id: &ContainerId) -> Result<Container, Error> {
        let dir = StateDir::of(&self.root, id);
        let record = dir.read()?;
        let filter = dir.filter();
        // Most of a usual spec, and of no use here unless there is a listener.
        let is_made = filter.as_ref().is_some_and(|filter| !filter.notifies());
        let spec = crate::bundle::load_spec_with(&record.bundle, !is_made)?;
        Ok(Container { dir, record, filter, spec })
    }

    /// Changes the resources that `resources` names; all others, and device rules, stay.
    /// Returns what could not be had.
    pub fn update(&self, id: &ContainerId, resources: &LinuxResources) -> Result<Vec<String>, Error> {
        let (record, status) = self.state(id)?;
        let cgroup = match (status, &record.cgroup) {
            (ContainerStatus::Stopped | ContainerStatus::Creating, _) => return Err(Error::NotRunning),
            (_, None) => return Err(Error::NoCgroup { id: record.id }),
            (_, Some(cgroup)) => cgroup,
        };
        let plan = cgroup::plan_update(resources, &cgroup::Layout::detect()?)?;
        if let Some(unit) = &record.systemd_unit {
            // It writes again what it knows of whenever it likes: so first.
            let mut systemd = self.systemd()?;
            let properties = cgroup::resource_properties(&plan, systemd.version, &known_devices());
            systemd.set(unit, &properties).map_err(cgroup::Error::from)?;
        }
        Ok(cgroup.apply(&plan)?.iter().map(ToString::to_string).collect())
    }

    fn systemd(&self) -> Result<cgroup::Systemd, Error> {
        Ok(cgroup::Systemd::connect(&self.settings.bus).map_err(cgroup::Error::from)?)
    }

    /// Changes its shares of cache and memory bandwidth: lines of `schemata`.
    pub fn update_rdt(&self, id: &ContainerId, schemata: &[String]) -> Result<(), Error> {
        let (record, _) = self.state(id)?;
        let group = record.rdt.as_ref().ok_or(crate::rdt::RdtError::NoGroup)?;
        Ok(group.share(schemata)?)
    }

    /// Freezes all processes of the container.
    pub fn pause(&self, id: &ContainerId) -> Result<(), Error> {
        let (record, status) = self.state(id)?;
        match (status, &record.cgroup) {
            (ContainerStatus::Created | ContainerStatus::Running, Some(cgroup)) => Ok(cgroup.freeze()?),
            (status, _) => Err(Error::State { operation: "pause", status }),
        }
    }

    /// Lets a paused container go on.
    pub fn resume(&self, id: &ContainerId) -> Result<(), Error> {
        let (record, status) = self.state(id)?;
        match (status, &record.cgroup) {
            (ContainerStatus::Paused, Some(cgroup)) => Ok(cgroup.thaw()?),
            (status, _) => Err(Error::State { operation: "resume", status }),
        }
    }

    /// The ids of the container's processes in the caller's PID namespace.
    pub fn pids(&self, id: &ContainerId) -> Result<Vec<i32>, Error> {
        let record = StateDir::of(&self.root, id).read()?;
        match &record.cgroup {
            Some(cgroup) => Ok(cgroup.pids()?),
            None if record.init_lives() => Ok(vec![record.pid]),
            None => Ok(Vec::new()),
        }
    }

    /// All containers of this state directory, by id. Directories without a readable
    /// record are skipped.
    pub fn list(&self) -> Result<Vec<(ContainerRecord, ContainerStatus)>, Error> {
        let entries = match std::fs::read_dir(&self.root) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::path("read", &self.root))?,
        };
        let mut ids: Vec<ContainerId> = entries
            .flatten()
            .filter_map(|entry| ContainerId::parse(entry.file_name().to_str()?).ok())
            .collect();
        ids.sort();
        Ok(ids.iter().filter_map(|id| self.state(id).ok()).collect())
    }
}

/// A container as it was recorded.
#[derive(Debug)]
pub struct Container {
    dir: StateDir,
    record: ContainerRecord,
    /// The filter that it was made with.
    filter: Option<Filter>,
    spec: Spec,
}

impl Container {
    /// The spec in its bundle; where its filter is kept, without the section that this was made from.
    pub fn spec(&self) -> &Spec {
        &self.spec
    }

    /// As [`Runtime::exec`]. Seccomp and personality are the container's, not the process's.
    pub fn exec(&self, options: &ExecOptions) -> Result<Created, Error> {
        let none = Linux::default();
        let linux = self.spec.linux().as_ref().unwrap_or(&none);
        let of_section = || linux.seccomp().as_ref().map(crate::seccomp::compile).transpose();
        let made = if self.filter.is_none() { of_section()? } else { None };
        let filter = self.filter.as_ref().or(made.as_ref());
        crate::exec::exec(&Target { dir: &self.dir, record: &self.record, linux, filter }, options)
    }
}

/// Gives what failed: runtime.md, "Lifecycle", step 13: a warning, and all goes on.
pub(crate) fn run_poststop(record: &ContainerRecord, hooks: Option<&Hooks>) -> Vec<String> {
    let Some(hooks) = hooks.and_then(|hooks| hooks.poststop().as_ref()) else {
        return Vec::new();
    };
    let state = hook_state(record, ContainerStatus::Stopped.as_str(), 0);
    hooks::run_each("poststop", hooks, &state).iter().map(HookError::in_full).collect()
}

/// Names of major numbers, as systemd takes them.
pub(crate) fn known_devices() -> String {
    std::fs::read_to_string("/proc/devices").unwrap_or_default()
}

fn is_gone(error: &std::io::Error) -> bool {
    error.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error())
}

fn wait_readable(fd: &std::os::fd::OwnedFd, limit: Duration) -> std::io::Result<()> {
    use std::os::fd::AsFd;
    let fd = fd.as_fd();
    let mut set = [rustix::event::PollFd::new(&fd, rustix::event::PollFlags::IN)];
    let limit =
        rustix::time::Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: i64::from(limit.subsec_nanos()) };
    match rustix::event::poll(&mut set, Some(&limit)) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}

/// A killed process goes at once unless it is in an uninterruptible wait.
const KILL_LIMIT: Duration = Duration::from_secs(10);

/// The record once the creation has come to an end, if that is soon.
fn settled(dir: &StateDir, mut record: ContainerRecord) -> ContainerRecord {
    let until = Instant::now() + ORPHAN_LIMIT;
    while dir.status(&record) == ContainerStatus::Creating && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(2));
        match dir.read() {
            Ok(now) => record = now,
            // It came to nothing.
            Err(_) => return record,
        }
    }
    record
}

/// A creation that was killed may have named a cgroup that it had not made: one that others
/// are in. Its own init is gone, or goes with its creator.
fn is_anothers(record: &ContainerRecord, cgroup: &cgroup::Cgroup) -> bool {
    if record.pid != 0 {
        return false;
    }
    if record.creator_lives() {
        return true;
    }
    let until = Instant::now() + ORPHAN_LIMIT;
    while cgroup.pids().is_ok_and(|pids| !pids.is_empty()) {
        if Instant::now() > until {
            return true;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    false
}

/// How long a creation may take to its end, and an init whose creator was killed to go.
const ORPHAN_LIMIT: Duration = Duration::from_secs(2);
