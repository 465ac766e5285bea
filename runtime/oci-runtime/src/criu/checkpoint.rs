//! `checkpoint`: the container's processes become images.

use std::fs;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use base::ContainerId;
use cgroup::Cgroup;
use sys::{Namespace, NamespaceSet};

use super::message::{self, Feature, Kind, Message, Notify};
use super::options::CheckpointOptions;
use super::session::{Session, Start};
use super::version::{self, Version};
use super::{DESCRIPTORS, Directories, common, make_dir, mounts};
use crate::error::Error;
use crate::plan::{Plan, plan};
use crate::runtime::Runtime;
use crate::state::{ContainerRecord, ContainerStatus};

impl Runtime {
    /// Saves the container by CRIU. Unless it is to go on, its processes have ended afterwards.
    pub fn checkpoint(&self, id: &ContainerId, options: CheckpointOptions) -> Result<(), Error> {
        let (record, status) = self.state(id)?;
        if !matches!(status, ContainerStatus::Running | ContainerStatus::Paused) {
            return Err(Error::State { operation: "checkpoint", status });
        }
        let spec = crate::bundle::load_spec(&record.bundle)?;
        let plan = plan(&spec, &record.bundle)?;
        let program = &options.images.criu;
        let version = Version::ask(program)?;
        if options.pre_dump {
            version::check(program, Feature::MemTrack)?;
        }
        if options.images.lazy_pages {
            version::check(program, Feature::LazyPages)?;
        }
        make_dir(&options.images.images)?;
        let directories = Directories::open(&options.images, LOG)?;
        let mut request = common(&options.images, &spec, &directories, LOG);
        request = of_container(request, &record, version)?;
        request = of_options(request, &options, version);
        if !options.pre_dump {
            request = mounts::put(request, true, &mounts::of_dump(&plan, record.pid)?);
            write_descriptors(&record, &options.images.images)?;
        }
        let request = external_namespaces(request, &plan, &record, version)?;
        dump(&request, options, &directories.log)
    }
}

fn of_container(
    request: Message,
    record: &ContainerRecord,
    version: Version,
) -> Result<Message, super::CriuError> {
    let mut request = request.number(message::PID, u64::from(record.pid.unsigned_abs()));
    if !record.rootfs.as_os_str().is_empty() {
        request = request.text(message::ROOT, record.rootfs.as_os_str().as_bytes());
    }
    // Frozen by its cgroup, nothing of it can fork away.
    let v1 = record.cgroup.as_ref().and_then(|cgroup| cgroup.v1_dir("freezer"));
    let v2 = record.cgroup.as_ref().and_then(Cgroup::v2_dir).filter(|_| version.is(FREEZES_V2));
    Ok(match v1.or(v2) {
        Some(dir) => request.text(message::FREEZE_CGROUP, dir.as_os_str().as_bytes()),
        None => request,
    })
}

fn of_options(request: Message, options: &CheckpointOptions, version: Version) -> Message {
    let mut request = request
        .flag(message::LEAVE_RUNNING, options.leave_running)
        .flag(message::TCP_SKIP_IN_FLIGHT, options.tcp_skip_in_flight)
        .flag(message::LINK_REMAP, options.link_remap);
    if let Some(parent) = &options.parent {
        request =
            request.text(message::PARENT_IMG, parent.as_os_str().as_bytes()).flag(message::TRACK_MEM, true);
    }
    if let Some(server) = &options.page_server {
        let server = Message::new().text(1, &server.address).number(2, u64::from(server.port));
        request = request.message(message::PAGE_SERVER, &server);
    }
    match &options.status {
        // Later ones tell us, and we tell them who wait.
        Some(status) if !version.is(TELLS_STATUS) => {
            request.number(message::STATUS_FD, u64::from(status.as_raw_fd().unsigned_abs()))
        }
        _ => request,
    }
}

/// A namespace that is joined is there without the container, and at the restore again.
fn external_namespaces(
    mut request: Message,
    plan: &Plan,
    record: &ContainerRecord,
    version: Version,
) -> Result<Message, Error> {
    for (kind, least, what, key) in EXTERNAL_NAMESPACES {
        if plan.namespaces.joins(kind) {
            version.needs(least, what)?;
            let id = sys::namespace::id_of(Some(record.pid), kind);
            let inode = id.map_err(Error::system(format!("look at the container's {what}")))?.ino;
            request = request.text(message::EXTERNAL, format!("{}[{inode}]:{key}", kind.proc_name()));
        }
    }
    Ok(request)
}

/// Which pipes the standard streams are from outside: a restore puts its own in their place.
fn write_descriptors(record: &ContainerRecord, images: &Path) -> Result<(), Error> {
    let path = images.join(DESCRIPTORS);
    let mut options = fs::OpenOptions::new();
    let file = options.write(true).create(true).truncate(true).mode(0o600).open(&path);
    let written = file
        .and_then(|mut file| std::io::Write::write_all(&mut file, &serde_json::to_vec(&record.descriptors)?));
    written.map_err(Error::path("write", path))
}

fn dump(request: &Message, options: CheckpointOptions, log: &Path) -> Result<(), Error> {
    let kind = if options.pre_dump { Kind::PreDump } else { Kind::Dump };
    let start = Start {
        program: &options.images.criu,
        streams: false,
        pass: &[],
        namespaces: NamespaceSet::EMPTY,
        log: Some(log),
    };
    let session = Session::start(&start, || Ok(()))?;
    let mut status = options.status;
    session.converse(kind, &kind.request(request), &mut |notify, _| {
        tell(notify, &mut status);
        Ok(())
    })?;
    if options.pre_dump {
        // It waits for the dump itself, which is another CRIU's.
        return session.finish().map(drop);
    }
    session.finish_well()
}

/// Memory is served now: those who wait for that get their byte.
fn tell(notify: &Notify, status: &mut Option<OwnedFd>) {
    if notify.script == "status-ready"
        && let Some(status) = status.take()
    {
        // Nobody may wait any more.
        let _ = rustix::io::write(&status, &[0]);
    }
}

/// Namespaces that can be external: the version that can, and the key in the images.
pub(super) const EXTERNAL_NAMESPACES: [(Namespace, u64, &str, &str); 2] = [
    (Namespace::Net, 31_100, "network namespace of others", "extRootNetNS"),
    (Namespace::Pid, 31_500, "PID namespace of others", "extRootPidNS"),
];

const LOG: &str = "dump.log";

const FREEZES_V2: u64 = 31_400;

const TELLS_STATUS: u64 = 31_500;
