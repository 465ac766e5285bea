//! Init's side of `create`: runs in the clone, sets everything up, executes the program.
//!
//! Nothing here returns to the runtime: it ends in an exec or in `_exit`. Host paths are
//! used before the root is pivoted only, and none of them is below the container's root:
//! there are only descriptors.

mod cgroup_mounts;
mod copy_up;
mod credentials;
mod devices;
mod masks;
mod mounts;
mod null;
mod program;
mod root;
mod terminal;

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::time::Instant;

use oci_spec::runtime::Hook;
use sys::procfs::Procfs;
use sys::root::RootDir;
use sys::{Namespace, NamespaceSet, Signal};

use crate::channel::{Failure, InitEnd, Report};
use crate::gate::Gate;
use crate::options::Stdio;
use crate::plan::Plan;
use crate::state::StepRecord;

pub(crate) use credentials::become_root;
pub(crate) use masks::Cover;
pub(crate) use program::{Entry, Program, enter, errno_text};
pub(crate) use root::change_root_to;
pub(crate) use terminal::make_for as make_terminal;

/// Everything init needs, made ready by the runtime before the clone.
pub(crate) struct Prepared<'a> {
    /// What to do.
    pub(crate) plan: &'a Plan,
    /// The way back.
    pub(crate) channel: InitEnd,
    /// Where to wait for `start`; without one the runtime that has made us starts us, too.
    pub(crate) gate: Option<Gate>,
    /// The root filesystem, detached, or attached in the runtime's mount namespace for [`Plan::mounts_here`];
    /// `None` where nothing can be mounted.
    pub(crate) root: Option<OwnedFd>,
    /// For each mount its detached source, when it is a bind mount.
    pub(crate) sources: Vec<Option<OwnedFd>>,
    /// The bundle, when init has to open all sources itself.
    pub(crate) late_sources: Option<&'a Path>,
    /// Devices of the host that are bound, by their place in the plan.
    pub(crate) device_sources: Vec<Option<OwnedFd>>,
    /// Namespaces to join.
    pub(crate) joins: Vec<(Namespace, OwnedFd)>,
    /// Where the container's cgroup is.
    pub(crate) cgroup: Option<&'a cgroup::Cgroup>,
    /// How we get into v1's hierarchies.
    pub(crate) way: Way,
    /// The machine's cgroup hierarchies.
    pub(crate) layout: Option<&'a cgroup::Layout>,
    /// The compiled seccomp policy.
    pub(crate) filter: Option<&'a sys::seccomp::Filter>,
    /// Streams.
    pub(crate) stdio: &'a Stdio,
    /// Size of the terminal.
    pub(crate) console_size: Option<(u16, u16)>,
    /// Descriptors passed on after the standard ones.
    pub(crate) preserve_fds: u32,
    /// Moves the root instead of pivoting.
    pub(crate) no_pivot: bool,
    /// The name of the new session keyring.
    pub(crate) keyring: Option<String>,
    /// Hooks run in the runtime's namespaces are waited for.
    pub(crate) runtime_hooks: bool,
    /// `createContainer` hooks.
    pub(crate) create_hooks: &'a [Hook],
    /// `startContainer` hooks.
    pub(crate) start_hooks: &'a [Hook],
    /// The state that hooks get, made for our own process id.
    pub(crate) hook_state: &'a dyn Fn() -> Vec<u8>,
}

/// How init gets into v1's cgroup hierarchies.
pub(crate) enum Way {
    /// The runtime moves us, or there is nowhere to go.
    Moved,
    /// We open the files and move ourselves.
    Path,
    /// The same, but we could not open the files where we are.
    Open(cgroup::Entrance),
}

/// Init gave up.
#[derive(Debug)]
pub(crate) struct InitError {
    doing: String,
    source: Option<io::Error>,
}

impl InitError {
    /// An error that its text says in full.
    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self { doing: text.into(), source: None }
    }

    pub(crate) fn failure(&self) -> Failure {
        match &self.source {
            None => Failure { doing: self.doing.clone(), errno: 0 },
            Some(source) => match source.raw_os_error() {
                Some(errno) => Failure { doing: self.doing.clone(), errno },
                None => Failure { doing: format!("{}: {source}", self.doing), errno: 0 },
            },
        }
    }
}

/// Adds what was being done to an I/O error.
pub(crate) trait Doing<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, InitError>;
}

impl<T> Doing<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, InitError> {
        self.map_err(|source| InitError { doing: what(), source: Some(source) })
    }
}

impl<T> Doing<T> for rustix::io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, InitError> {
        self.map_err(|errno| InitError { doing: what(), source: Some(errno.into()) })
    }
}

/// The container's root while it is set up.
pub(crate) struct Setup {
    /// Its root directory.
    pub(crate) root: RootDir,
    /// The container's own procfs, kept for writes.
    pub(crate) proc: Option<Procfs>,
    /// The container's devpts.
    pub(crate) devpts: Option<OwnedFd>,
    /// Mounts that become read-only when all is in place.
    pub(crate) readonly_later: Vec<OwnedFd>,
    /// What was left out.
    pub(crate) warnings: Vec<String>,
}

/// Measures the steps.
pub(crate) struct Timeline {
    last: Instant,
    steps: Vec<StepRecord>,
}

impl Timeline {
    pub(crate) fn start() -> Self {
        Self { last: Instant::now(), steps: Vec::with_capacity(12) }
    }

    /// The step `name` ends now.
    pub(crate) fn mark(&mut self, name: &str) {
        let now = Instant::now();
        let micros = u64::try_from((now - self.last).as_micros()).unwrap_or(u64::MAX);
        self.steps.push(StepRecord { name: name.to_owned(), micros });
        self.last = now;
    }

    pub(crate) fn into_steps(self) -> Vec<StepRecord> {
        self.steps
    }
}

/// Sets the container up and becomes its program.
pub(crate) fn run(mut prepared: Prepared<'_>) -> ! {
    let mut timeline = Timeline::start();
    let begun = begin(&prepared).and_then(|setgroups_denied| {
        prepared.open_sources()?;
        Ok(setgroups_denied)
    });
    timeline.mark("namespaces");
    let prepared = &prepared;
    match begun.and_then(|setgroups_denied| set_up(prepared, setgroups_denied, timeline)) {
        // Nobody hears it if the runtime is dead, and then nobody needs to.
        Err(error) => drop(prepared.channel.failed(&error.failure())),
        Ok(ready) => {
            let failure = ready.go(prepared).failure();
            match &prepared.gate {
                // The runtime is gone by now: `start` listens.
                Some(gate) => gate.report(&failure),
                None => drop(prepared.channel.failed(&failure)),
            }
        }
    }
    sys::process::exit_now(1)
}

impl Prepared<'_> {
    /// What the runtime may not copy, root of the container's own namespaces may.
    fn open_sources(&mut self) -> Result<(), InitError> {
        let Some(bundle) = self.late_sources else { return Ok(()) };
        let opened = crate::sources::open(self.plan, bundle, crate::options::Rootfs::Path);
        let opened = opened.map_err(|error| {
            let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
            InitError::plain(format!("{error}{}", cause.unwrap_or_default()))
        })?;
        (self.root, self.sources, self.device_sources) = opened;
        Ok(())
    }
}

/// Takes up its place. Gives whether `setgroups(2)` is denied from now on.
fn begin(prepared: &Prepared<'_>) -> Result<bool, InitError> {
    let first = 3 + prepared.preserve_fds;
    let closed = match &prepared.gate {
        // The caller's would be held open until `start`, which may be long.
        Some(_) => sys::fd::close_inherited(first),
        None => sys::fd::cloexec_from(first),
    };
    closed.doing(|| "close inherited descriptors".to_owned())?;
    protect_ourselves(prepared)?;
    join_namespaces(prepared)
}

/// Init at the gate.
struct AtGate<'a> {
    entry: Entry<'a>,
    program: Program,
}

impl AtGate<'_> {
    /// Waits for `start` and becomes the program. Returns why that failed.
    fn go(&self, prepared: &Prepared<'_>) -> InitError {
        let passed = prepared
            .gate
            .as_ref()
            .map_or(Ok(()), wait_at)
            .and_then(|()| program::load_filter_late(&self.entry))
            .and_then(|()| run_start_hooks(prepared));
        match passed {
            Ok(()) => self.program.exec(),
            Err(error) => error,
        }
    }
}

fn wait_at(gate: &Gate) -> Result<(), InitError> {
    gate.wait().doing(|| "wait for start".to_owned())
}

fn set_up<'a>(
    prepared: &'a Prepared<'a>,
    setgroups_denied: bool,
    mut timeline: Timeline,
) -> Result<AtGate<'a>, InitError> {
    let plan = prepared.plan;
    let mut warnings = Vec::new();
    if plan.namespaces.makes(Namespace::Net) {
        let up = crate::network::bring_up_loopback().map_err(io::Error::other);
        up.doing(|| "bring loopback up".to_owned())?;
    }
    let proc = match &prepared.root {
        Some(tree) => set_up_root(prepared, tree, &mut timeline, &mut warnings)?,
        None => without_mount_namespace(prepared)?,
    };
    let mut report = Report { steps: Vec::new(), warnings };
    let entry = Entry {
        process: &plan.process,
        filter: prepared.filter,
        proc,
        preserve_fds: prepared.preserve_fds,
        setgroups_denied,
        channel: &prepared.channel,
    };
    let program = program::settle(&entry, &mut report.warnings)?;
    timeline.mark("credentials");
    report.steps = timeline.into_steps();
    if prepared.gate.is_some() {
        // Who ends a container that was never started need not know that; he may as soon as the
        // runtime has heard of us. The exec resets them.
        for signal in [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM] {
            let _ = sys::signal::exit_on(signal);
        }
    }
    // Before the runtime may end in peace. From here its death shows as the channel's end.
    sys::prctl::set_parent_death_signal(None).doing(|| "outlive the runtime".to_owned())?;
    prepared.channel.ready(&report).doing(|| "tell the runtime that init is ready".to_owned())?;
    prepared.channel.wait_go().doing(|| "wait for the runtime to record the container".to_owned())?;
    Ok(AtGate { entry, program })
}

fn run_start_hooks(prepared: &Prepared<'_>) -> Result<(), InitError> {
    if prepared.start_hooks.is_empty() {
        return Ok(());
    }
    let state = (prepared.hook_state)();
    // As the program would see it, where a hook names none of its own: what others do.
    let env = program::environment(&prepared.plan.process);
    crate::hooks::run_all_with("startContainer", prepared.start_hooks, &state, &env)
        .map_err(|error| hook_failure(&error))
}

fn hook_failure(error: &crate::hooks::HookError) -> InitError {
    InitError::plain(error.in_full())
}

/// Dies with the runtime while nothing is recorded, and cannot be traced by those whose
/// namespaces it joins (CVE-2016-9962).
fn protect_ourselves(prepared: &Prepared<'_>) -> Result<(), InitError> {
    sys::prctl::set_parent_death_signal(Some(Signal::KILL)).doing(|| "die with the runtime".to_owned())?;
    let forbid_tracing = || sys::prctl::set_dumpable(false).doing(|| "forbid tracing".to_owned());
    // Our files in /proc would be root's, and an ordinary user could not write the maps into them.
    let by_user = prepared.late_sources.is_some();
    if !by_user {
        forbid_tracing()?;
    }
    rustix::process::umask(rustix::fs::Mode::empty());
    if prepared.plan.namespaces.makes(Namespace::User) {
        prepared.channel.wait_go().doing(|| "wait for the id maps".to_owned())?;
    }
    if by_user {
        forbid_tracing()?;
    }
    if let Some(name) = &prepared.keyring {
        if let Some(label) = &prepared.plan.process.selinux {
            let proc = Procfs::host().doing(|| "open the procfs".to_owned())?;
            let wrote = proc.write(Path::new("self/attr/keycreate"), label.as_bytes());
            wrote.doing(|| format!("label the session keyring {label}"))?;
        }
        // Without keyrings in the kernel there is nothing to isolate.
        let _ = sys::keyring::join_session(name);
    }
    Ok(())
}

/// Gives whether `setgroups(2)` is denied from now on.
fn join_namespaces(prepared: &Prepared<'_>) -> Result<bool, InitError> {
    for (kind, fd) in &prepared.joins {
        sys::namespace::join(fd, *kind).doing(|| format!("join the {kind} namespace"))?;
    }
    if prepared.plan.namespaces.has(Namespace::User) {
        return become_root();
    }
    Ok(false)
}

/// The cgroup namespace's root is the cgroup we are in when we make it.
fn enter_cgroup(prepared: &Prepared<'_>) -> Result<(), InitError> {
    prepared.channel.wait_go().doing(|| "wait for the cgroups".to_owned())?;
    match (&prepared.way, prepared.cgroup) {
        (Way::Open(entrance), _) => entrance.enter().map_err(|error| in_cgroup(&error))?,
        (Way::Path, Some(cgroup)) => cgroup.enter_v1().map_err(|error| in_cgroup(&error))?,
        _ => {}
    }
    // What the caller was pinned to is not the container's; its cpuset is. Refused, it stays.
    let _ = sys::scheduling::reset_affinity();
    if prepared.plan.namespaces.makes(Namespace::Cgroup) {
        let set = NamespaceSet::EMPTY.with(Namespace::Cgroup);
        sys::namespace::unshare(set).doing(|| "make a cgroup namespace".to_owned())?;
    }
    Ok(())
}

/// A failure to enter a cgroup, with its cause.
pub(crate) fn in_cgroup(error: &cgroup::Error) -> InitError {
    let cause = std::error::Error::source(error).map(|source| format!(": {source}")).unwrap_or_default();
    InitError::plain(format!("{error}{cause}"))
}

fn set_up_root(
    prepared: &Prepared<'_>,
    tree: &OwnedFd,
    timeline: &mut Timeline,
    warnings: &mut Vec<String>,
) -> Result<Option<Procfs>, InitError> {
    let plan = prepared.plan;
    // Hooks find the root where config.json says, also by its path in init's mount namespace.
    let has_hooks = prepared.runtime_hooks || !prepared.create_hooks.is_empty();
    let path = has_hooks.then_some(plan.root.path.as_path());
    let old_root = (!plan.mounts_here()).then(|| root::attach(tree, path)).transpose()?;
    let root = RootDir::from_fd(tree.try_clone().doing(|| "keep the root".to_owned())?);
    let mut setup =
        Setup { root, proc: None, devpts: None, readonly_later: Vec::new(), warnings: Vec::new() };
    timeline.mark("root");
    let mut entered = false;
    for (mount, source) in plan.mounts.iter().enumerate().zip(&prepared.sources) {
        if mount.1.kind == crate::plan::MountKind::Cgroup && !entered {
            enter_cgroup(prepared)?;
            entered = true;
        }
        mounts::mount(&mut setup, prepared, mount, source.as_ref())?;
    }
    if !entered {
        enter_cgroup(prepared)?;
    }
    timeline.mark("mounts");
    devices::make(&setup, plan, &prepared.device_sources)?;
    timeline.mark("devices");
    terminal::attach(&mut setup, &plan.process, prepared)?;
    setup
        .root
        .mkdir_all(&plan.process.cwd, 0o755)
        .doing(|| format!("make the working directory {}", plan.process.cwd.display()))?;
    run_create_hooks(prepared, Some(&setup.root))?;
    timeline.mark("terminal and hooks");
    set_names(plan)?;
    // Before the masks: they cover parts of the procfs that we write through.
    write_sysctls(plan, setup.proc.as_ref())?;
    timeline.mark("names and sysctl");
    masks::hide(&mut setup, plan, prepared.no_pivot || plan.mounts_here())?;
    timeline.mark("masked and read-only paths");
    for mount in &setup.readonly_later {
        masks::make_readonly(mount).doing(|| "make a tmpfs read-only".to_owned())?;
    }
    root::enter(&setup, plan, old_root.as_ref(), prepared.no_pivot)?;
    timeline.mark("pivot");
    warnings.append(&mut setup.warnings);
    Ok(setup.proc)
}

fn without_mount_namespace(prepared: &Prepared<'_>) -> Result<Option<Procfs>, InitError> {
    enter_cgroup(prepared)?;
    // From the devpts that is here: a root directory that nothing is mounted in has none.
    terminal::attach_without_mounts(&prepared.plan.process, prepared)?;
    // In a namespace that is joined, what is there under that path.
    root::change_root(&prepared.plan.root.path)?;
    run_create_hooks(prepared, None)?;
    set_names(prepared.plan)?;
    write_sysctls(prepared.plan, None)?;
    Ok(None)
}

/// `createContainer` hooks begin in the root filesystem, since before the pivot `/` is the host's.
fn run_create_hooks(prepared: &Prepared<'_>, root: Option<&RootDir>) -> Result<(), InitError> {
    if prepared.runtime_hooks {
        prepared.channel.hooks().doing(|| "ask for the runtime's hooks".to_owned())?;
        prepared.channel.wait_go().doing(|| "wait for the runtime's hooks".to_owned())?;
    }
    if prepared.create_hooks.is_empty() {
        return Ok(());
    }
    if let Some(root) = root {
        rustix::process::fchdir(root.as_fd()).doing(|| "enter the root for the hooks".to_owned())?;
    }
    let state = (prepared.hook_state)();
    crate::hooks::run_all_with("createContainer", prepared.create_hooks, &state, &[])
        .map_err(|error| hook_failure(&error))
}

fn set_names(plan: &Plan) -> Result<(), InitError> {
    if let Some(name) = &plan.hostname {
        sys::uts::set_hostname(name).doing(|| format!("set the host name {name}"))?;
    }
    if let Some(name) = &plan.domainname {
        sys::uts::set_domainname(name).doing(|| format!("set the domain name {name}"))?;
    }
    Ok(())
}

/// Through a procfs that is proved to be one: the container's `/proc` may be anything
/// (CVE-2025-52881).
fn write_sysctls(plan: &Plan, proc: Option<&Procfs>) -> Result<(), InitError> {
    if plan.sysctl.is_empty() {
        return Ok(());
    }
    let own;
    let proc = match proc {
        Some(proc) => proc,
        None => {
            own = Procfs::private().doing(|| "open a procfs for sysctl".to_owned())?;
            &own
        }
    };
    for (path, value) in &plan.sysctl {
        let file = Path::new("sys").join(path);
        proc.write(&file, value.as_bytes())
            .doing(|| format!("set sysctl {} to {value:?}", path.display()))?;
    }
    Ok(())
}

/// The streams of a process without terminal.
pub(crate) fn place_streams(stdio: &Stdio) -> Result<(), InitError> {
    let Stdio::Fds { stdin, stdout, stderr } = stdio else { return Ok(()) };
    for (number, fd) in [(0, stdin), (1, stdout), (2, stderr)] {
        sys::fd::become_standard(fd.as_fd(), number).doing(|| format!("place stream {number}"))?;
    }
    Ok(())
}
