//! A further process in a running container.

use std::os::fd::{AsFd, OwnedFd};

use cgroup::{Cgroup, Layout};
use oci_spec::runtime::Linux;
use rustix::fs::{Mode, OFlags};
use sys::clone::Forked;
use sys::seccomp::Filter;
use sys::{Namespace, NamespaceSet};

use crate::channel::{FromInit, InitEnd, RuntimeEnd};
use crate::create::{namespaces_of, relay, set_oom_score};
use crate::error::Error;
use crate::init::{self, Doing, Entry, InitError};
use crate::options::{Created, ExecOptions};
use crate::plan::{ProcessPlan, process};
use crate::spawn::{Birth, spawn};
use crate::state::{ContainerRecord, ContainerStatus};
use crate::store::StateDir;

/// Runs a process in the container that `record` describes.
///
/// What fails because init ends meanwhile, at whatever step and with whatever errno (a clone into a
/// PID namespace without init is ENOMEM, `pid_namespaces(7)`), is told as that.
pub(crate) fn exec(target: &Target<'_>, options: &ExecOptions) -> Result<Created, Error> {
    let told = |error| if target.record.init_is_ending() { NOT_RUNNING } else { error };
    exec_while_it_lives(target, options).map_err(told)
}

/// What a process is run in.
pub(crate) struct Target<'a> {
    pub(crate) dir: &'a StateDir,
    pub(crate) record: &'a ContainerRecord,
    /// Of the bundle's spec.
    pub(crate) linux: &'a Linux,
    pub(crate) filter: Option<&'a Filter>,
}

fn exec_while_it_lives(target: &Target<'_>, options: &ExecOptions) -> Result<Created, Error> {
    let &Target { dir, record, linux, filter } = target;
    let namespaces = namespaces_of(record);
    let init = sys::pidfd::open(record.pid);
    let open = |kind, what| {
        let opened = || sys::namespace::open_of(Some(record.pid), kind).map_err(Error::system(what));
        namespaces.contains(kind).then(opened).transpose()
    };
    let pid_namespace = open(Namespace::Pid, "open the container's PID namespace");
    // An ordinary user has rights in his user namespace only, and over a PID namespace only from there.
    let user = match sys::user::effective_uid() {
        0 => Ok(None),
        _ => open(Namespace::User, "open the container's user namespace"),
    };
    let root = root_of_init(record);
    // After that: what was opened is of the process that was recorded, or of a stranger with its id.
    match dir.status(record) {
        ContainerStatus::Paused if options.ignore_paused => {}
        ContainerStatus::Created | ContainerStatus::Running => {}
        status => return Err(Error::State { operation: "exec in", status }),
    }
    let (pid_namespace, user, root) = (pid_namespace?, user?, root?);
    let init = init.map_err(Error::system("open init's descriptor"))?;
    let mut warnings = Vec::new();
    let plan = process(&options.process, linux, &mut warnings)?;
    let (ours, theirs) = sys::fdpass::message_pair().map_err(Error::system("make a socket pair"))?;
    let birth = Birth {
        pid: pid_namespace.as_ref().map(AsFd::as_fd),
        user: user.as_ref().map(AsFd::as_fd),
        ..Birth::default()
    };
    let (forked, cgroup) = spawn_in_cgroup(record, options, &birth)?;
    match forked {
        Forked::Child => {
            drop(ours);
            let joined = user.is_some();
            let cgroup = cgroup.as_ref();
            let child = Child { init, namespaces, joined, root, plan: &plan, filter, record, cgroup };
            child.run(options, &InitEnd(theirs))
        }
        Forked::Parent { pid, pidfd } => {
            drop(theirs);
            let relayed = options.relayed;
            let notifies = filter.is_some_and(Filter::notifies);
            let channel = RuntimeEnd(ours);
            let parent = Parent { channel, record, linux, pid, pidfd: &pidfd, relayed, notifies };
            // A helper's child is born into no cgroup.
            let moved = match cgroup.filter(|_| birth.by_helper()) {
                Some(cgroup) => cgroup.join(pid).map_err(Error::from),
                None => Ok(()),
            };
            match moved.and_then(|()| parent.finish(&plan, &mut warnings)) {
                Ok(console) => Ok(Created { pid, pidfd, start_time: 0, console, warnings }),
                Err(error) => {
                    let _ = sys::pidfd::send_signal(&pidfd, sys::Signal::KILL);
                    let _ = sys::process::wait_pidfd(&pidfd);
                    Err(error)
                }
            }
        }
    }
}

/// Init has ended, and all else in the container with it.
const NOT_RUNNING: Error = Error::State { operation: "exec in", status: ContainerStatus::Stopped };

/// The root directory of a container that has no mount namespace of its own: init has changed into it.
fn root_of_init(record: &ContainerRecord) -> Result<Option<OwnedFd>, Error> {
    let made = record.namespaces.get(Namespace::Mount.proc_name()).is_some_and(String::is_empty);
    if made {
        return Ok(None);
    }
    let path = format!("/proc/{}/root", record.pid);
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let root = rustix::fs::open(&path, flags, Mode::empty()).map_err(std::io::Error::from);
    Ok(Some(root.map_err(Error::path("open init's root", std::path::Path::new(&path)))?))
}

/// Forks into the container's cgroup: into v2's at birth. v1's are left to the child, see
/// [`cgroup::Entrance`].
fn spawn_in_cgroup(
    record: &ContainerRecord,
    options: &ExecOptions,
    birth: &Birth<'_>,
) -> Result<(Forked, Option<Cgroup>), Error> {
    let spawn_into = |cgroup: Option<&Cgroup>| {
        let into = cgroup.map(Cgroup::fd_for_clone_into).transpose()?.flatten();
        let birth = Birth { into_cgroup: into.as_ref().map(AsFd::as_fd), ..*birth };
        spawn(&birth).map_err(Error::system("clone the process"))
    };
    if let (false, Some(own)) = (options.cgroups.is_empty(), &record.cgroup) {
        let below = options.cgroups.iter().try_fold(own.clone(), |cgroup, (controllers, path)| {
            cgroup.below(&controllers.iter().map(String::as_str).collect::<Vec<_>>(), path)
        });
        let cgroup = below?;
        return Ok((spawn_into(Some(&cgroup))?, Some(cgroup)));
    }
    let own = record.cgroup.clone();
    match spawn_into(own.as_ref()) {
        // Init may have moved itself below its cgroup, as systemd does: v2 then allows
        // no process in the cgroup itself.
        Err(error) if own.is_some() => {
            let cgroup = cgroup_of_init(record).ok_or(error)?;
            Ok((spawn_into(Some(&cgroup))?, Some(cgroup)))
        }
        forked => Ok((forked?, own)),
    }
}

fn cgroup_of_init(record: &ContainerRecord) -> Option<Cgroup> {
    let text = std::fs::read_to_string(format!("/proc/{}/cgroup", record.pid)).ok()?;
    Some(Cgroup::of_process(&text, &Layout::detect().ok()?))
}

struct Child<'a> {
    init: OwnedFd,
    namespaces: NamespaceSet,
    /// It is in the user namespace already.
    joined: bool,
    /// Init's root, where the mount namespace does not have it as its own.
    root: Option<OwnedFd>,
    plan: &'a ProcessPlan,
    filter: Option<&'a Filter>,
    record: &'a ContainerRecord,
    cgroup: Option<&'a Cgroup>,
}

impl Child<'_> {
    /// Before the namespaces: from inside them the host's files cannot be opened.
    fn enter_cgroup(&self) -> Result<(), InitError> {
        let scheduling = &self.plan.scheduling;
        if !scheduling.affinity_initial.is_empty() {
            sys::scheduling::set_affinity(&scheduling.affinity_initial)
                .doing(|| "set process.execCPUAffinity.initial".to_owned())?;
        }
        self.move_into_cgroup()?;
        if !scheduling.affinity_final.is_empty() {
            sys::scheduling::set_affinity(&scheduling.affinity_final)
                .doing(|| "set process.execCPUAffinity.final".to_owned())?;
        } else if scheduling.affinity_initial.is_empty() {
            // What the caller was pinned to is not the container's. Refused, it stays.
            let _ = sys::scheduling::reset_affinity();
        }
        Ok(())
    }

    fn move_into_cgroup(&self) -> Result<(), InitError> {
        let Some(cgroup) = self.cgroup else { return Ok(()) };
        cgroup.enter_v1().or_else(|error| match cgroup_of_init(self.record) {
            Some(cgroup) => cgroup.enter_v1().map_err(|error| init::in_cgroup(&error)),
            None => Err(init::in_cgroup(&error)),
        })
    }

    fn run(&self, options: &ExecOptions, channel: &InitEnd) -> ! {
        if let Err(error) = self.enter(options, channel) {
            let _ = channel.failed(&error.failure());
        }
        // 255: what a runtime gives when a process could not be executed.
        sys::process::exit_now(255)
    }

    fn enter(&self, options: &ExecOptions, channel: &InitEnd) -> Result<(), InitError> {
        sys::prctl::set_parent_death_signal(Some(sys::Signal::KILL))
            .doing(|| "die with the runtime".to_owned())?;
        // Others in the container must not trace us before we are as confined as they.
        sys::prctl::set_dumpable(false).doing(|| "forbid tracing".to_owned())?;
        self.enter_cgroup()?;
        let own = self.namespaces.without(Namespace::Pid);
        let left = if self.joined { own.without(Namespace::User) } else { own };
        if !left.is_empty() {
            sys::namespace::join_process(&self.init, left)
                .doing(|| "join the container's namespaces".to_owned())?;
        }
        let setgroups_denied = own.contains(Namespace::User) && init::become_root()?;
        let size = options.console_size.map(|size| (size.columns, size.rows));
        match self.plan.terminal {
            Some(_) => init::make_terminal(self.plan, channel, size)?,
            None => {
                rustix::process::setsid().doing(|| "start a session".to_owned())?;
                init::place_streams(&options.stdio)?;
            }
        }
        if let Some(root) = &self.root {
            init::change_root_to(root)?;
        }
        let entry = Entry {
            process: self.plan,
            filter: self.filter,
            proc: None,
            preserve_fds: options.preserve_fds,
            setgroups_denied,
            channel,
        };
        init::enter(&entry, |warnings| {
            let report = crate::channel::Report { steps: Vec::new(), warnings: warnings.to_vec() };
            // Before the runtime may end in peace.
            sys::prctl::set_parent_death_signal(None).doing(|| "outlive the runtime".to_owned())?;
            channel.ready(&report).doing(|| "tell the runtime".to_owned())?;
            channel.wait_go().doing(|| "wait for the runtime".to_owned())
        })
        .map(|never| match never {})
    }
}

struct Parent<'a> {
    channel: RuntimeEnd,
    record: &'a ContainerRecord,
    linux: &'a Linux,
    pid: i32,
    pidfd: &'a OwnedFd,
    relayed: bool,
    /// It has a seccomp listener.
    notifies: bool,
}

impl Parent<'_> {
    fn finish(&self, plan: &ProcessPlan, warnings: &mut Vec<String>) -> Result<Option<OwnedFd>, Error> {
        set_oom_score(self.pid, plan.oom_score_adj, warnings)?;
        if let Some(group) = &self.record.rdt {
            group.join(self.pid)?;
        }
        // It finds that when it is ready, and neither waits for the other. But what it hands over must be
        // taken before its program runs.
        let hands_over = plan.terminal.is_some() || self.notifies;
        if !hands_over {
            self.release()?;
        }
        let mut console = None;
        let report = loop {
            match self.channel.receive().map_err(Error::system("hear from the process"))? {
                FromInit::Terminal(master) => console = Some(relay(master, self.relayed)),
                FromInit::Listener(number) => self.send_listener(number)?,
                FromInit::Ready(report) => break report,
                FromInit::Failed(failure) => return Err(failure.into()),
                FromInit::Hooks | FromInit::MapOwners(..) => {}
                FromInit::Gone => return Err(Error::InitDied { status: "it was killed".to_owned() }),
            }
        };
        warnings.extend(report.warnings);
        if hands_over {
            self.release()?;
        }
        self.exec_failure()?;
        Ok(console)
    }

    fn release(&self) -> Result<(), Error> {
        self.channel.go().map_err(Error::system("release the process"))
    }

    /// The process's end is close-on-exec: its closing without a word is success.
    fn exec_failure(&self) -> Result<(), Error> {
        match self.channel.receive().map_err(Error::system("hear from the process"))? {
            FromInit::Failed(failure) => Err(failure.into()),
            FromInit::Listener(number) => self.send_listener(number),
            _ => Ok(()),
        }
    }

    fn send_listener(&self, number: i32) -> Result<(), Error> {
        let Some(seccomp) = self.linux.seccomp() else { return Ok(()) };
        let listener = sys::pidfd::take_descriptor(self.pidfd, number)
            .map_err(Error::system("take the seccomp listener from the process"))?;
        crate::listener::send(seccomp, self.record, self.pid, "running", listener.as_fd())
    }
}
