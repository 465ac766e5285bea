//! The runtime's side of `create`.
//!
//! ```text
//! plan, sources ─▶ record "creating" ─▶ clone ─▶ maps, cgroups, hooks ◀─▶ init sets up
//!                                                └▶ limits, record with pid ─▶ init may live
//! ```
//!
//! Whatever fails, what was made is unmade. If the runtime is killed, init dies with it
//! unless its record is complete, and the first record names the cgroup, so `delete`
//! finds everything.

pub(crate) mod here;
mod joins;
mod maps;
mod outside;
mod restored;
mod units;

use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::SystemTime;

use base::failpoint;
use cgroup::{Cgroup, CgroupPath, Driver, Layout};
use oci_spec::runtime::{Hooks, LinuxResources, Spec};
use sys::Namespace;
use sys::clone::Forked;
use sys::seccomp::Filter;

use crate::bundle::section_of;
use crate::channel::{FromInit, InitEnd, Report, RuntimeEnd};
use crate::error::Error;
use crate::gate::Gate;
use crate::held::Held;
use crate::init::{self, Prepared, Way};
use crate::options::{CreateOptions, Created, Rootfs};
use crate::plan::{DeviceKind, Plan, plan};
use crate::rdt::Resctrl;
use crate::runtime::{Settings, run_poststop};
use crate::spawn::{Birth, spawn};
use crate::state::{ContainerRecord, ContainerStatus, StepRecord, hook_state, rfc3339};
use crate::store::StateDir;
use crate::{hooks, network, sources};

pub(crate) use joins::namespaces_of;
use joins::{Joins, check_sysctls, open_joins};
use outside::raise_hard_limits;
pub(crate) use outside::{relay, set_oom_score};
pub(crate) use units::PROPERTY_ANNOTATION;

/// Points at which a test may kill the runtime.
pub const FAILPOINTS: &[&str] = &[
    "create.claimed",
    "create.recorded",
    "create.cgroup",
    "create.cloned",
    "create.joined",
    "create.ready",
    "create.committed",
    "delete.killed",
    "delete.cgroup",
    "start.opened",
];

/// What `create` works with.
pub(crate) struct Creation<'a> {
    pub(crate) dir: &'a StateDir,
    pub(crate) spec: &'a Spec,
    pub(crate) settings: &'a Settings,
    pub(crate) rootless: bool,
    /// Init waits at a gate for another process, and not for us.
    pub(crate) gated: bool,
}

/// Decided and opened; nothing is made yet that needs unmaking.
pub(crate) struct Ready<'a> {
    plan: &'a Plan,
    filter: Option<Filter>,
    layout: Option<Layout>,
    cgroup_path: Option<CgroupPath>,
    resources: cgroup::Plan,
    root: Option<OwnedFd>,
    sources: Vec<Option<OwnedFd>>,
    device_sources: Vec<Option<OwnedFd>>,
    late_sources: bool,
    /// Its user namespace was there before it.
    maps_are_written: bool,
    joins: Vec<(Namespace, OwnedFd)>,
    pub(crate) record: ContainerRecord,
    timeline: init::Timeline,
}

/// Checks the spec as far as that is possible without making anything, then makes the
/// container. `dir` is claimed in between by `claim`.
pub(crate) fn create(
    root: &Path,
    id: &base::ContainerId,
    spec: &Spec,
    options: CreateOptions,
    settings: &Settings,
) -> Result<Created, Error> {
    let held = make(root, id, spec, options, settings, true)?;
    Ok(held.created)
}

/// As [`create`], with or without a gate. Without one init goes on when the result says so.
pub(crate) fn make(
    root: &Path,
    id: &base::ContainerId,
    spec: &Spec,
    options: CreateOptions,
    settings: &Settings,
    gated: bool,
) -> Result<Held, Error> {
    let mut plan = plan(spec, &options.bundle)?;
    if sys::user::mapped().is_some() {
        bind_devices(&mut plan);
    }
    let dir = StateDir::claim(root, id)?;
    failpoint::hit("create.claimed");
    let creation = Creation { dir: &dir, spec, settings, rootless: settings.rootless, gated };
    match creation.run(id, &plan, options) {
        Ok((made, record)) => {
            Ok(Held { created: made.created, channel: made.channel, file: made.file, dir, record })
        }
        Err(error) => {
            let _ = dir.remove();
            Err(error)
        }
    }
}

/// An init that is recorded.
struct Made {
    created: Created,
    channel: RuntimeEnd,
    /// The record's file.
    file: OwnedFd,
}

impl Creation<'_> {
    fn run(
        &self,
        id: &base::ContainerId,
        plan: &Plan,
        mut options: CreateOptions,
    ) -> Result<(Made, ContainerRecord), Error> {
        let rootfs = std::mem::take(&mut options.rootfs);
        let filter = options.filter.take();
        let mut ready = self.ready(id, plan, rootfs, filter, &options)?;
        self.dir.write_first(&ready.record)?;
        failpoint::hit("create.recorded");
        ready.timeline.mark("plan and record");
        match self.make(&mut ready, &options) {
            Ok(made) => Ok((made, ready.record)),
            Err(error) => Err(error.then(self.unmake(&ready.record))),
        }
    }

    pub(crate) fn ready<'a>(
        &self,
        id: &base::ContainerId,
        plan: &'a Plan,
        rootfs: Rootfs,
        mut filter: Option<Filter>,
        options: &CreateOptions,
    ) -> Result<Ready<'a>, Error> {
        let timeline = init::Timeline::start();
        if let (None, Some(section)) = (&filter, section_of(self.spec)) {
            filter = Some(crate::seccomp::compile(section)?);
        }
        let (layout, cgroup_path, resources) = self.resources(id)?;
        let detached = matches!(rootfs, Rootfs::Mount(_));
        // An ordinary user may copy no mounts; root of his own namespaces may.
        let late_sources = !detached && sys::user::effective_uid() != 0;
        let (root, sources, device_sources) = match late_sources {
            true => Default::default(),
            false => sources::open(plan, &options.bundle, rootfs)?,
        };
        let joins = open_joins(plan)?;
        check_sysctls(plan, &joins)?;
        let rdt = plan.rdt.as_ref().map(|rdt| Resctrl::find()?.locate(rdt, id.as_str())).transpose()?;
        let mut record = self.record(id, plan, options, detached);
        record.cgroup = match (&layout, &cgroup_path) {
            (Some(layout), Some(path)) => Some(Cgroup::locate(path, layout)),
            _ => None,
        };
        record.rdt = rdt;
        record.root_mount = root.as_ref().filter(|_| plan.mounts_here()).map(here::id).transpose()?;
        record.systemd_unit = match &cgroup_path {
            Some(CgroupPath::Unit { unit, .. }) => Some(unit.unit.clone()),
            _ => None,
        };
        record.cgroup_path = cgroup_path.as_ref().map(ToString::to_string).unwrap_or_default();
        record.warnings.extend(filter.iter().filter(|f| !f.unknown_syscalls().is_empty()).map(|filter| {
            format!("seccomp: unknown system calls are left out: {}", filter.unknown_syscalls().join(", "))
        }));
        Ok(Ready {
            plan,
            filter,
            layout,
            cgroup_path,
            resources,
            root,
            sources,
            device_sources,
            late_sources,
            maps_are_written: false,
            joins,
            record,
            timeline,
        })
    }

    fn resources(
        &self,
        id: &base::ContainerId,
    ) -> Result<(Option<Layout>, Option<CgroupPath>, cgroup::Plan), Error> {
        // Root of a user namespace is none of the host, whose cgroups these are.
        let rootless = self.rootless || sys::user::mapped().is_some();
        let layout = match Layout::detect() {
            Ok(layout) => layout,
            Err(_) if rootless => return Ok((None, None, cgroup::Plan::default())),
            Err(error) => return Err(error.into()),
        };
        if self.settings.no_cgroup {
            return Ok((Some(layout), None, cgroup::Plan::default()));
        }
        let linux = self.spec.linux().as_ref();
        let raw =
            linux.and_then(|linux| linux.cgroups_path().as_ref()).map(|path| path.display().to_string());
        let none = LinuxResources::default();
        let resources = linux.and_then(|linux| linux.resources().as_ref()).unwrap_or(&none);
        let systemd = self.settings.systemd_cgroup;
        if rootless && raw.is_none() && !systemd {
            // Without a cgroup there are no limits: one that is asked for is not left out in silence.
            if let Some(limit) = cgroup::plan(resources, &layout)?.settings.first() {
                return Err(Error::LimitWithoutCgroup { limit: limit.to_string() });
            }
            return Ok((Some(layout), None, cgroup::Plan::default()));
        }
        let driver = match (systemd, self.settings.bus.user) {
            (false, _) => Driver::Cgroupfs,
            (true, false) => Driver::Systemd,
            (true, true) => Driver::SystemdUser,
        };
        let mut path = CgroupPath::parse(raw.as_deref(), id.as_str(), driver)?;
        if driver == Driver::SystemdUser {
            path = path.in_manager(&units::manager_root(&self.settings.bus)?);
        }
        let plan = cgroup::plan(resources, &layout)?;
        Ok((Some(layout), Some(path), plan))
    }

    fn record(
        &self,
        id: &base::ContainerId,
        plan: &Plan,
        options: &CreateOptions,
        detached: bool,
    ) -> ContainerRecord {
        let us = std::process::id() as i32;
        let mut namespaces: std::collections::BTreeMap<String, String> =
            plan.namespaces.make.iter().map(|kind| (kind.to_string(), String::new())).collect();
        for (kind, path) in &plan.namespaces.join {
            namespaces.insert(kind.to_string(), path.display().to_string());
        }
        ContainerRecord {
            version: 1,
            oci_version: self.spec.version().clone(),
            id: id.to_string(),
            pid: 0,
            start_time: 0,
            creator_pid: us,
            creator_start_time: sys::process::ProcStat::read(us).map_or(0, |stat| stat.start_time),
            bundle: options.bundle.clone(),
            root_mount: None,
            rootfs: if detached && !plan.mounts_here() { Default::default() } else { plan.root.path.clone() },
            created: rfc3339(SystemTime::now()),
            owner_uid: sys::user::effective_uid(),
            annotations: self.spec.annotations().clone().unwrap_or_default(),
            namespaces,
            cgroup: None,
            cgroup_path: String::new(),
            rdt: None,
            systemd_cgroup: self.settings.systemd_cgroup,
            systemd_unit: None,
            terminal: plan.process.terminal.is_some(),
            descriptors: restored::pipes_of(plan, options),
            setgroups_denied: self.setgroups_denied(plan),
            hooks: self.later_hooks(),
            no_process: plan.process.args.is_empty(),
            steps: Vec::new(),
            warnings: plan.warnings.clone(),
        }
    }

    /// Hooks that `start` and `delete` run, when the bundle may be gone.
    fn later_hooks(&self) -> Option<Hooks> {
        let mut hooks = self.spec.hooks().clone()?;
        hooks.set_create_runtime(None).set_create_container(None).set_start_container(None);
        hooks.set_prestart(None);
        let some = hooks.poststart().as_ref().is_some_and(|h| !h.is_empty())
            || hooks.poststop().as_ref().is_some_and(|h| !h.is_empty());
        some.then_some(hooks)
    }

    /// Only with CAP_SETGID may one write a group map and keep setgroups (`user_namespaces(7)`).
    fn setgroups_denied(&self, plan: &Plan) -> bool {
        plan.namespaces.makes(Namespace::User) && (self.rootless || sys::user::setgroups_denied())
    }

    fn make(&self, ready: &mut Ready<'_>, options: &CreateOptions) -> Result<Made, Error> {
        // Init is born into v2's cgroup; v1's are made while init works, and entered by init:
        // moving another process can take the kernel many milliseconds.
        // systemd needs init for its scope: with it all comes later.
        let by_systemd = ready.record.systemd_unit.is_some();
        let early = !by_systemd && self.needs_cgroup_early(ready);
        if !by_systemd {
            self.make_cgroup(ready, early)?;
        }
        if let (Some(root), true) = (&ready.root, ready.plan.mounts_here()) {
            here::attach(root, &ready.plan.root.path)?;
        }
        let cgroup = ready.record.cgroup.as_ref().filter(|_| ready.cgroup_path.is_some() && !by_systemd);
        let into_cgroup = cgroup.map(Cgroup::fd_for_clone_into).transpose()?.flatten();
        let entrance = cgroup.filter(|_| early).map(Cgroup::entrance).transpose()?;
        let gate = self.gated.then(|| Gate::make(&self.dir.path)).transpose();
        let gate = gate.map_err(Error::path("make the start gate in", &self.dir.path))?;
        let (ours, theirs) = sys::fdpass::message_pair().map_err(Error::system("make a socket pair"))?;
        let Joins { mut user, pid, first, later } = Joins::of(std::mem::take(&mut ready.joins), ready.plan);
        ready.joins = later;
        let mut make = ready.plan.namespaces.make.without(Namespace::Cgroup);
        let premade = maps::namespace_for_clocks(ready.plan, ready.record.setgroups_denied)?;
        if premade.is_some() {
            (make, user) = (make.without(Namespace::User), premade);
            ready.maps_are_written = true;
        }
        let birth = Birth {
            make,
            first: &first,
            user: user.as_ref().map(AsFd::as_fd),
            pid: pid.as_ref().map(AsFd::as_fd),
            into_cgroup: into_cgroup.as_ref().map(AsFd::as_fd),
            time_offsets: &ready.plan.time_offsets,
        };
        let is_moved = by_systemd || birth.by_helper();
        match spawn(&birth).map_err(|source| clone_error(source, ready.plan))? {
            Forked::Child => {
                // Nothing of the host's stays open while init waits for `start`.
                drop((ours, into_cgroup, user, pid, first));
                let way = match entrance {
                    // Born in between two forks: the runtime moves it.
                    _ if is_moved => Way::Moved,
                    Some(entrance) => Way::Open(entrance),
                    None if ready.cgroup_path.is_some() => Way::Path,
                    None => Way::Moved,
                };
                self.become_init(ready, options, InitEnd(theirs), gate, way)
            }
            Forked::Parent { pid, pidfd } => {
                drop((theirs, gate, entrance));
                failpoint::hit("create.cloned");
                ready.root = None;
                ready.sources.clear();
                ready.timeline.mark("clone");
                let channel = RuntimeEnd(ours);
                let relayed = options.relayed;
                let parent = Parent { creation: self, channel, pid, pidfd: &pidfd, relayed };
                match parent.finish(ready, early, is_moved) {
                    Ok(Finished { console, start_time, file }) => {
                        let channel = parent.channel;
                        let warnings = std::mem::take(&mut ready.record.warnings);
                        let created = Created { pid, start_time, console, warnings, pidfd };
                        Ok(Made { created, channel, file })
                    }
                    Err(error) => Err(end_init(&pidfd, error)),
                }
            }
        }
    }

    fn become_init(
        &self,
        ready: &mut Ready<'_>,
        options: &CreateOptions,
        channel: InitEnd,
        gate: Option<Gate>,
        way: Way,
    ) -> ! {
        let empty = Hooks::default();
        let hooks = self.spec.hooks().as_ref().unwrap_or(&empty);
        let record = &ready.record;
        let state = || hook_state(record, ContainerStatus::Created.as_str(), std::process::id() as i32);
        let runtime_hooks =
            [hooks.prestart(), hooks.create_runtime()].into_iter().flatten().any(|h| !h.is_empty());
        let keyring = (!options.no_new_keyring).then(|| format!("_ses.{}", record.id));
        let prepared = Prepared {
            plan: ready.plan,
            channel,
            gate,
            root: ready.root.take(),
            sources: std::mem::take(&mut ready.sources),
            device_sources: std::mem::take(&mut ready.device_sources),
            late_sources: ready.late_sources.then_some(&options.bundle),
            joins: std::mem::take(&mut ready.joins),
            cgroup: record.cgroup.as_ref(),
            way,
            layout: ready.layout.as_ref(),
            filter: ready.filter.as_ref(),
            stdio: &options.stdio,
            console_size: options.console_size.map(|size| (size.columns, size.rows)),
            preserve_fds: options.preserve_fds,
            no_pivot: options.no_pivot,
            keyring,
            runtime_hooks,
            create_hooks: hooks.create_container().as_deref().unwrap_or_default(),
            start_hooks: hooks.start_container().as_deref().unwrap_or_default(),
            hook_state: &state,
        };
        init::run(prepared)
    }

    /// Whether the whole cgroup has to be there before the clone: without v1 there is no
    /// rest of it, and where init could not open v1's files itself it is given them open.
    fn needs_cgroup_early(&self, ready: &Ready<'_>) -> bool {
        let namespaces = &ready.plan.namespaces;
        ready.layout.as_ref().is_some_and(|layout| layout.v1.is_empty())
            || namespaces.has(Namespace::User)
            || namespaces.joins(Namespace::Mount)
    }

    /// Makes the cgroup, or the part of it that init is born into.
    pub(crate) fn make_cgroup(&self, ready: &mut Ready<'_>, whole: bool) -> Result<(), Error> {
        let (Some(layout), Some(path)) = (&ready.layout, &ready.cgroup_path) else { return Ok(()) };
        let made = if whole { Cgroup::create(path, layout) } else { Cgroup::create_v2(path, layout) };
        let cgroup = made.inspect_err(|error| {
            if is_anothers(error) {
                ready.record.cgroup = None;
            }
        })?;
        ready.record.cgroup = Some(cgroup);
        if whole { self.limit(ready) } else { Ok(()) }
    }

    /// Makes the rest of it.
    fn complete_cgroup(&self, ready: &mut Ready<'_>) -> Result<(), Error> {
        let cgroup = ready.record.cgroup.as_ref().filter(|_| ready.cgroup_path.is_some());
        let Some(cgroup) = cgroup else { return Ok(()) };
        if let Err(error) = cgroup.create_v1() {
            if is_anothers(&error) {
                ready.record.cgroup = ready.record.cgroup.take().map(Cgroup::without_v1);
            }
            return Err(error.into());
        }
        self.limit(ready)
    }

    fn limit(&self, ready: &mut Ready<'_>) -> Result<(), Error> {
        let Some(cgroup) = &ready.record.cgroup else { return Ok(()) };
        let warnings = cgroup.apply(&ready.resources)?;
        if let Some(uid) = ready.plan.cgroup_owner {
            self.delegate(cgroup, uid)?;
        }
        ready.record.warnings.extend(warnings.iter().map(ToString::to_string));
        failpoint::hit("create.cgroup");
        ready.timeline.mark("cgroup");
        Ok(())
    }

    /// The environment is there, so the container counts as created (runtime.md, "State" and "Lifecycle").
    pub(crate) fn runtime_hooks(&self, record: &ContainerRecord, pid: i32) -> Result<(), Error> {
        let Some(hooks) = self.spec.hooks() else { return Ok(()) };
        let state = hook_state(record, ContainerStatus::Created.as_str(), pid);
        hooks::run_all("prestart", hooks.prestart().as_deref().unwrap_or_default(), &state)?;
        hooks::run_all("createRuntime", hooks.create_runtime().as_deref().unwrap_or_default(), &state)?;
        Ok(())
    }

    /// Without root the owner is the only one whom the files can belong to.
    fn delegate(&self, cgroup: &Cgroup, uid: u32) -> Result<(), Error> {
        match cgroup.delegate(uid) {
            Err(_) if self.rootless => Ok(()),
            result => Ok(result?),
        }
    }

    /// After a failure: the cgroup, poststop hooks, of which those that failed are told. The directory
    /// goes last.
    pub(crate) fn unmake(&self, record: &ContainerRecord) -> Vec<String> {
        if let Some(unit) = &record.systemd_unit {
            let _ = cgroup::Systemd::connect(&self.settings.bus).and_then(|mut systemd| systemd.stop(unit));
        }
        if let Some(cgroup) = &record.cgroup {
            // What cannot be removed is not ours: an error was told already.
            let _ = cgroup.remove();
        }
        if let Some(group) = &record.rdt {
            let _ = group.remove();
        }
        let _ = here::detach(record);
        run_poststop(record, self.spec.hooks().as_ref())
    }
}

/// It is somebody else's: cleaning up must not touch it.
fn is_anothers(error: &cgroup::Error) -> bool {
    matches!(error, cgroup::Error::InUse { .. } | cgroup::Error::Frozen { .. })
}

/// Ends an init that does not come to be; how it ended, if that is all there is to say.
fn end_init(pidfd: &OwnedFd, error: Error) -> Error {
    let _ = sys::pidfd::send_signal(pidfd, sys::Signal::KILL);
    match (error, sys::process::wait_pidfd(pidfd)) {
        (Error::InitDied { .. }, Ok(status)) => Error::InitDied { status: end_of(status) },
        (error, _) => error,
    }
}

/// How init ended, in words.
fn end_of(status: sys::process::ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("killed by {signal}"),
        None => format!("exit code {}", status.shell_code()),
    }
}

/// In a user namespace, also one that the runtime was started in, no device can be made.
fn bind_devices(plan: &mut Plan) {
    for device in &mut plan.devices {
        device.bind = device.kind != DeviceKind::Fifo;
    }
}

/// The runtime while init sets up.
struct Parent<'a> {
    creation: &'a Creation<'a>,
    channel: RuntimeEnd,
    pid: i32,
    pidfd: &'a OwnedFd,
    relayed: bool,
}

/// What is known of an init that is recorded.
struct Finished {
    console: Option<OwnedFd>,
    start_time: u64,
    file: OwnedFd,
}

impl Parent<'_> {
    /// Serves init until it stands at the gate, or waits for us, and is recorded.
    fn finish(
        &self,
        ready: &mut Ready<'_>,
        cgroup_is_made: bool,
        init_is_moved: bool,
    ) -> Result<Finished, Error> {
        if ready.plan.namespaces.makes(Namespace::User) {
            self.write_maps(ready)?;
        }
        if ready.record.systemd_unit.is_some() {
            self.creation.start_unit(ready, self.pid)?;
        } else if !cgroup_is_made {
            self.creation.complete_cgroup(ready)?;
        }
        if let (Some(group), Some(plan)) = (&ready.record.rdt, &ready.plan.rdt) {
            group.enter(plan, self.pid)?;
        }
        // Before init goes on: its sysctls may be about them.
        let moved = self.move_network_devices(ready)?;
        let finished = self.finish_init(ready, init_is_moved);
        if finished.is_err()
            && let Some(moved) = moved
        {
            moved.back();
        }
        finished
    }

    fn move_network_devices(&self, ready: &Ready<'_>) -> Result<Option<network::Moved>, Error> {
        let devices = &ready.plan.net_devices;
        if devices.is_empty() {
            return Ok(None);
        }
        let joined = ready.joins.iter().find(|(kind, _)| *kind == Namespace::Net);
        let target = match joined {
            Some((_, fd)) => fd.try_clone(),
            None => sys::namespace::open_of(Some(self.pid), Namespace::Net),
        };
        let target = target.map_err(|source| network::NetworkError::Namespace { source })?;
        Ok(Some(network::move_in(devices, target)?))
    }

    /// From the moment when all is there that init needs.
    fn finish_init(&self, ready: &mut Ready<'_>, init_is_moved: bool) -> Result<Finished, Error> {
        self.join_cgroup(ready, init_is_moved)?;
        failpoint::hit("create.joined");
        // While init works, as much as can be done without having heard of it.
        let stat = sys::process::ProcStat::read(self.pid).map_err(Error::system("read init's start time"))?;
        if let Some(filter) = &ready.filter {
            self.creation.dir.write_filter(filter)?;
        }
        let (console, report) = self.serve(ready)?;
        failpoint::hit("create.ready");
        let record = &mut ready.record;
        record.warnings.extend(report.warnings);
        set_oom_score(self.pid, ready.plan.process.oom_score_adj, &mut record.warnings)?;
        record.pid = self.pid;
        record.start_time = stat.start_time;
        record.steps = std::mem::replace(&mut ready.timeline, init::Timeline::start()).into_steps();
        record.steps.extend(
            report.steps.into_iter().map(|step| StepRecord { name: format!("init: {}", step.name), ..step }),
        );
        let file = self.creation.dir.write(record)?;
        failpoint::hit("create.committed");
        if self.creation.gated {
            self.channel.go().map_err(Error::system("release init"))?;
        }
        Ok(Finished { console, start_time: stat.start_time, file })
    }

    fn write_maps(&self, ready: &Ready<'_>) -> Result<(), Error> {
        let Some(maps) = &ready.plan.id_maps else { return Ok(()) };
        if !ready.maps_are_written {
            maps::write(self.pid, maps, ready.record.setgroups_denied)?;
        }
        raise_hard_limits(self.pid, &ready.plan.process.rlimits);
        self.channel.go().map_err(Error::system("release init"))
    }

    /// Sends init into its cgroup, or moves it there.
    fn join_cgroup(&self, ready: &mut Ready<'_>, init_is_moved: bool) -> Result<(), Error> {
        if let (true, Some(cgroup), Some(_)) = (init_is_moved, &ready.record.cgroup, &ready.cgroup_path) {
            cgroup.join(self.pid)?;
        }
        ready.timeline.mark("join cgroup");
        self.channel.go().map_err(Error::system("release init"))
    }

    fn serve(&self, ready: &Ready<'_>) -> Result<(Option<OwnedFd>, Report), Error> {
        let mut console = None;
        loop {
            match self.channel.receive().map_err(Error::system("hear from init"))? {
                FromInit::Hooks => {
                    self.creation.runtime_hooks(&ready.record, self.pid)?;
                    self.channel.go().map_err(Error::system("release init"))?;
                }
                FromInit::Terminal(master) => console = Some(relay(master, self.relayed)),
                FromInit::Listener(number) => self.send_listener(ready, number)?,
                FromInit::MapOwners(at, tree) => {
                    sources::map_owners_of(ready.plan, at, &tree)?;
                    self.channel.go().map_err(Error::system("release init"))?;
                }
                FromInit::Ready(report) => return Ok((console, report)),
                FromInit::Failed(failure) => return Err(failure.into()),
                FromInit::Gone => return Err(Error::InitDied { status: String::new() }),
            }
        }
    }

    fn send_listener(&self, ready: &Ready<'_>, number: i32) -> Result<(), Error> {
        let Some(seccomp) = section_of(self.creation.spec) else { return Ok(()) };
        let listener = sys::pidfd::take_descriptor(self.pidfd, number)
            .map_err(Error::system("take the seccomp listener from init"))?;
        crate::listener::send(seccomp, &ready.record, self.pid, "creating", listener.as_fd())
    }
}

impl From<crate::channel::Failure> for Error {
    fn from(failure: crate::channel::Failure) -> Self {
        let reason = match failure.errno {
            0 => failure.doing,
            errno => format!("{}: {}", failure.doing, init::errno_text(errno)),
        };
        Self::Init { reason, errno: failure.errno }
    }
}

fn clone_error(source: std::io::Error, plan: &Plan) -> Error {
    let kinds: Vec<String> = plan.namespaces.make.iter().map(|kind| kind.to_string()).collect();
    Error::System { what: format!("clone init with new namespaces {}", kinds.join(", ")), source }
}
