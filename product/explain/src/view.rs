//! Everything that the kernel says of one process, gathered once.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::SystemTime;

use crate::facts::ContainerFacts;
use inspect::cgroups::{self, Mode, Placement, Resources};
use inspect::elf::Linkage;
use inspect::filter::FilterSummary;
use inspect::identity::Ancestor;
use inspect::idmap::IdMap;
use inspect::kernel::{self, Kernel};
use inspect::kmsg::{self, OomKill};
use inspect::mounts::{self, Mount, Overlay};
use inspect::namespaces::Member;
use inspect::net::{Interface, Route, Socket};
use inspect::rootfs::{Libc, OsRelease};
use inspect::status::Status;
use inspect::system::{self, SystemSize};
use inspect::upper::{self, Upper};
use inspect::{Census, Error, Namespace, NamespaceKind, Proc, Process, Sourced, lsm};

/// A value with its source, or why it could not be read.
pub type Seen<T> = Result<Sourced<T>, Error>;

/// What the kernel holds of a process.
#[derive(Debug)]
pub struct View {
    /// The process, as the reader numbers it.
    pub pid: i32,
    /// `/proc/PID`, the front of most sources.
    pub proc_path: String,
    /// `/proc/PID/status`.
    pub status: Seen<Status>,
    /// Arguments.
    pub command: Seen<Vec<String>>,
    /// Program file.
    pub executable: Seen<String>,
    /// Whether that program is static.
    pub linkage: Seen<Linkage>,
    /// When it was started.
    pub started: Seen<SystemTime>,
    /// Start in ticks after boot.
    pub start_ticks: Option<u64>,
    /// Parents up to PID 1.
    pub ancestors: Seen<Vec<Ancestor>>,
    /// The eight namespaces.
    pub namespaces: Result<Vec<NamespaceView>, Error>,
    /// Processes that could not be looked at while looking for other members.
    pub unreadable_processes: usize,
    /// User ids.
    pub uid_map: Seen<IdMap>,
    /// Group ids.
    pub gid_map: Seen<IdMap>,
    /// What its filters do, if that was asked for.
    pub filter: Option<Seen<FilterSummary>>,
    /// Security label, if some module gives one.
    pub label: Result<Option<Sourced<String>>, Error>,
    /// Active security modules.
    pub security_modules: Option<Sourced<Vec<String>>>,
    /// What cgroup trees the host has.
    pub cgroup_mode: Mode,
    /// Where it is in them.
    pub cgroups: Seen<Vec<Placement>>,
    /// What these hold it to.
    pub resources: Resources,
    /// What the kernel's log says, when its group had OOM kills.
    pub oom_kills: Option<Seen<Vec<OomKill>>>,
    /// Its mount table.
    pub mounts: Seen<Vec<Mount>>,
    /// Is its root directory the host's?
    pub root_is_hosts: Result<bool, Error>,
    /// What it wrote, if its root is a writable overlay.
    pub upper: Option<Seen<Upper>>,
    /// The running kernel.
    pub kernel: Sourced<Kernel>,
    /// What the host's own system takes on disk.
    pub system_size: Result<SystemSize, Error>,
    /// Distribution of its root.
    pub os: Result<Option<Sourced<OsRelease>>, Error>,
    /// Distribution of the host's root.
    pub host_os: Result<Option<Sourced<OsRelease>>, Error>,
    /// C library in its root.
    pub libc: Result<Option<Sourced<Libc>>, Error>,
    /// Interfaces of its network.
    pub interfaces: Seen<Vec<Interface>>,
    /// Routes of its network.
    pub routes: Seen<Vec<Route>>,
    /// Sockets of its network.
    pub sockets: Seen<Vec<Socket>>,
}

/// A namespace of the process and its relation to others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamespaceView {
    /// Which, and where it was read.
    pub namespace: Sourced<Namespace>,
    /// Whose it is.
    pub relation: Relation,
    /// Other processes of the same container in it.
    pub insiders: Vec<Who>,
    /// Processes of others in it.
    pub outsiders: Vec<Who>,
}

/// A process by number and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// PID.
    pub pid: i32,
    /// Command name.
    pub name: String,
}

/// Whose a namespace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Relation {
    /// The host's: PID 1's, or the reader's where PID 1's may not be read.
    Hosts,
    /// Only this container's processes are in it.
    Private,
    /// Not the host's, and others are in it too.
    Shared,
    /// The host's namespaces may not be read, so it cannot be told.
    Unknown,
}

impl View {
    /// Looks at process `pid`. An error only if there is no such process; whatever else
    /// cannot be read is said in its place.
    pub fn gather(proc: &Proc, pid: i32) -> Result<Self, Error> {
        let process = proc.process(pid)?;
        let status = process.status();
        if let Err(Error::NoProcess { .. }) = status {
            return Err(Error::NoProcess { pid });
        }
        let census = Census::take(proc)?;
        let host = host(proc);
        let mounts = process.mounts();
        let (cgroup_mode, cgroups) = place(proc, &process);
        let kernel = kernel::running();
        let resources = cgroups.as_ref().map(|placed| Resources::read(&placed.value)).unwrap_or_default();
        Ok(Self {
            pid,
            proc_path: process.path(""),
            command: process.command_line(),
            executable: process.executable(),
            linkage: process.linkage(),
            started: process.started(proc),
            start_ticks: process.stat().ok().map(|stat| stat.value.start_ticks),
            ancestors: process.ancestors(proc),
            namespaces: namespaces(&process, host.as_ref().ok(), &census),
            unreadable_processes: census.unreadable,
            uid_map: process.uid_map(),
            gid_map: process.gid_map(),
            filter: None,
            label: process.security_label(),
            security_modules: lsm::active(),
            cgroup_mode,
            cgroups,
            oom_kills: had_oom_kill(&resources).then(kmsg::oom_kills),
            resources,
            upper: mounts.as_ref().ok().and_then(|table| survey(&table.value)),
            root_is_hosts: host.as_ref().map_or(Ok(false), |host| process.shares_root_with(host)),
            system_size: system::size(&kernel.value.release),
            kernel,
            os: process.os_release(),
            host_os: host.as_ref().map_or(Ok(None), Process::os_release),
            libc: process.libc(),
            interfaces: process.interfaces(),
            routes: process.routes(),
            sockets: process.sockets(),
            status,
            mounts,
        })
    }

    /// Also reads its system call filters, for which the process is stopped for a moment.
    #[must_use]
    pub fn with_filter(mut self, proc: &Proc) -> Self {
        self.filter = Some(proc.process(self.pid).and_then(|process| process.filter_summary()));
        self
    }

    /// Also surveys the writable layer where it is on record. Before Linux 6.5 a mount names its layers by path only,
    /// and the paths are those of descriptors that its maker had.
    #[must_use]
    pub fn with_record(mut self, facts: &ContainerFacts) -> Self {
        if let (Some(Err(Error::Missing { .. })), Some(recorded)) = (&self.upper, &facts.upper) {
            self.upper = Some(upper::survey(Path::new(recorded), BIGGEST_FILES));
        }
        self
    }

    /// One of the eight.
    pub fn namespace(&self, kind: NamespaceKind) -> Option<&NamespaceView> {
        self.namespaces.as_ref().ok()?.iter().find(|view| view.namespace.value.kind == kind)
    }

    /// The mount that is its `/`.
    pub fn root_mount(&self) -> Option<&Mount> {
        self.mounts.as_ref().ok().and_then(|table| mounts::covering(&table.value, "/"))
    }

    /// Its `/` as an overlay.
    pub fn root_overlay(&self) -> Option<Overlay> {
        self.root_mount().and_then(Mount::overlay)
    }

    /// Is it in the host's namespace of this kind?
    pub fn is_hosts(&self, kind: NamespaceKind) -> bool {
        self.namespace(kind).is_some_and(|view| view.relation == Relation::Hosts)
    }

    /// Its number in its own PID namespace.
    pub fn inner_pid(&self) -> Option<i32> {
        self.status.as_ref().ok()?.value.ns_pids.last().copied()
    }
}

/// Who stands for the host: PID 1, or the reader where PID 1 may not be looked at (it can
/// have capabilities that even root lacks here).
fn host(proc: &Proc) -> Result<Process, Error> {
    match proc.process(1) {
        Ok(init) if init.namespace(NamespaceKind::Mnt).is_ok() => Ok(init),
        _ => proc.this(),
    }
}

fn place(proc: &Proc, process: &Process) -> (Mode, Seen<Vec<Placement>>) {
    // The reader's own mount table: its paths are the ones that the reader can open.
    let table = proc.this().and_then(|this| this.mounts());
    let hierarchies = table.map(|table| cgroups::hierarchies(&table.value)).unwrap_or_default();
    let placed = process
        .cgroup_memberships()
        .map(|found| found.map(|memberships| cgroups::place(&memberships, &hierarchies)));
    (cgroups::mode(&hierarchies), placed)
}

fn had_oom_kill(resources: &Resources) -> bool {
    let kills = resources.memory.as_ref().and_then(|memory| memory.oom_kills.as_ref());
    kills.is_some_and(|kills| kills.value > 0)
}

fn survey(table: &[Mount]) -> Option<Seen<Upper>> {
    let upper = mounts::covering(table, "/")?.overlay()?.upper?;
    if upper.starts_with("/dev/fd/") {
        let why = "it is a descriptor of who mounted the overlay, as Linux before 6.5 shows it";
        return Some(Err(Error::Missing { path: upper, why }));
    }
    Some(upper::survey(Path::new(&upper), BIGGEST_FILES))
}

fn namespaces(
    process: &Process,
    host: Option<&Process>,
    census: &Census,
) -> Result<Vec<NamespaceView>, Error> {
    let own = process.namespaces()?;
    let hosts: Option<Vec<Namespace>> = host
        .and_then(|host| host.namespaces().ok())
        .map(|all| all.into_iter().map(|namespace| namespace.value).collect());
    let family = family(process.pid(), &own, hosts.as_deref(), census);
    let view = |namespace: Sourced<Namespace>| {
        let who = |member: &Member| Who { pid: member.pid, name: member.name.clone() };
        let others = census.members(namespace.value).filter(|member| member.pid != process.pid());
        let (insiders, outsiders): (Vec<_>, Vec<_>) = others.partition(|member| family.contains(&member.pid));
        let relation = match &hosts {
            None => Relation::Unknown,
            Some(hosts) if hosts.contains(&namespace.value) => Relation::Hosts,
            Some(_) if outsiders.is_empty() => Relation::Private,
            Some(_) => Relation::Shared,
        };
        NamespaceView {
            namespace,
            relation,
            insiders: insiders.into_iter().map(who).collect(),
            outsiders: outsiders.into_iter().map(who).collect(),
        }
    };
    Ok(own.into_iter().map(view).collect())
}

/// The processes that belong together with `pid`: all of its PID namespace when that is
/// not the host's, otherwise its descendants.
fn family(
    pid: i32,
    own: &[Sourced<Namespace>],
    hosts: Option<&[Namespace]>,
    census: &Census,
) -> BTreeSet<i32> {
    let pid_namespace = own.iter().find(|namespace| namespace.value.kind == NamespaceKind::Pid);
    if let (Some(namespace), Some(hosts)) = (pid_namespace, hosts)
        && !hosts.contains(&namespace.value)
    {
        return census.members(namespace.value).map(|member| member.pid).collect();
    }
    let mut family = BTreeSet::from([pid]);
    loop {
        let before = family.len();
        for member in census.all() {
            if family.contains(&member.parent) {
                family.insert(member.pid);
            }
        }
        if family.len() == before {
            return family;
        }
    }
}

/// How many files of the upper directory are named.
const BIGGEST_FILES: usize = 5;
