//! `restore`: a container whose processes come from images.

use std::fs;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use base::ContainerId;
use oci_spec::runtime::Spec;
use rustix::fs::AtFlags;
use sys::{Namespace, NamespaceSet, Signal};

use super::checkpoint::EXTERNAL_NAMESPACES;
use super::message::{self, Kind, Message, Notify};
use super::mounts::{self, Stage};
use super::options::RestoreOptions;
use super::session::{Session, Start};
use super::version::Version;
use super::{CriuError, DESCRIPTORS, Directories, common};
use crate::create::{Creation, Ready, relay};
use crate::error::Error;
use crate::options::{CreateOptions, Created, Rootfs};
use crate::plan::{Plan, plan};
use crate::runtime::Runtime;
use crate::state::ContainerRecord;
use crate::store::StateDir;

impl Runtime {
    /// Brings a container back by CRIU: it runs afterwards, as it did when it was saved.
    ///
    /// The caller has one thread, becomes init's parent and reaps it.
    pub fn restore(&self, id: &ContainerId, spec: &Spec, options: &RestoreOptions) -> Result<Created, Error> {
        let plan = plan(spec, &options.bundle)?;
        let version = Version::ask(&options.images.criu)?;
        // Before anything is made.
        let directories = Directories::open(&options.images, LOG)?;
        let dir = StateDir::claim(self.root(), id)?;
        let settings = &self.settings;
        let creation = Creation { dir: &dir, spec, settings, rootless: settings.rootless, gated: false };
        let log = directories.log;
        let restoration = Restoration { creation: &creation, plan: &plan, options, version, log };
        let result = restoration.run(id);
        if result.is_err() {
            let _ = dir.remove();
        }
        result
    }
}

struct Restoration<'a> {
    creation: &'a Creation<'a>,
    plan: &'a Plan,
    options: &'a RestoreOptions,
    version: Version,
    log: PathBuf,
}

/// What the notifications bring.
#[derive(Default)]
struct Restored {
    init: Option<(i32, OwnedFd, u64)>,
    console: Option<OwnedFd>,
}

impl Restoration<'_> {
    fn run(&self, id: &ContainerId) -> Result<Created, Error> {
        let bundle = self.options.bundle.clone();
        let create = CreateOptions { bundle, relayed: self.options.relayed, ..CreateOptions::default() };
        let mut ready = self.creation.ready(id, self.plan, Rootfs::Path, None, &create)?;
        self.creation.dir.write_first(&ready.record)?;
        let mut restored = Restored::default();
        let result = self.make(&mut ready, &mut restored);
        result.map_err(|error| error.then(self.creation.unmake(&ready.record)))?;
        let Some((pid, pidfd, start_time)) = restored.init else {
            return Err(CriuError::Nobody { log: None }.into());
        };
        let warnings = std::mem::take(&mut ready.record.warnings);
        Ok(Created { pid, pidfd, start_time, console: restored.console, warnings })
    }

    fn make(&self, ready: &mut Ready<'_>, restored: &mut Restored) -> Result<(), Error> {
        let by_systemd = ready.record.systemd_unit.is_some();
        if !by_systemd {
            self.creation.make_cgroup(ready, true)?;
        }
        let stage = Stage::make(&self.creation.dir.path, self.plan.namespaces.has(Namespace::User))?;
        let mut is_in = !by_systemd;
        let result = self.by_criu(ready, restored, &stage, &mut is_in);
        let result = result.and_then(|()| match restored.init {
            Some(_) => Ok(()),
            None => Err(CriuError::Nobody { log: Some(self.log.clone()) }.into()),
        });
        if result.is_err() {
            if let Some((_, pidfd, _)) = &restored.init {
                let _ = sys::pidfd::send_signal(pidfd, Signal::KILL);
                let _ = sys::process::wait_pidfd(pidfd);
            }
            if let Some(cgroup) = ready.record.cgroup.as_ref().filter(|_| is_in) {
                let _ = cgroup.kill_all();
            }
        }
        result
    }

    fn by_criu(
        &self,
        ready: &mut Ready<'_>,
        restored: &mut Restored,
        stage: &Stage,
        is_in: &mut bool,
    ) -> Result<(), Error> {
        let joined = self.open_external_namespaces()?;
        let start = Start {
            program: &self.options.images.criu,
            // Of a terminal CRIU makes the container's end, and nothing else of ours is its.
            streams: !ready.record.terminal,
            pass: &joined,
            namespaces: NamespaceSet::EMPTY.with(Namespace::Mount),
            log: Some(&self.log),
        };
        let session = Session::start(&start, || stage.set(self.plan, &self.options.bundle, ready.sources()))?;
        // They are CRIU's now, by paths.
        ready.close_sources();
        if ready.record.systemd_unit.is_some() {
            self.creation.start_unit(ready, session.pid)?;
            ready.join_rdt(session.pid)?;
            *is_in = true;
        } else {
            ready.join_cgroup(session.pid)?;
        }
        // CRIU mounts below them, which it may in its own mount namespace alone.
        let mounts = sys::namespace::open_of(Some(session.pid), Namespace::Mount);
        let mut directories = mounts
            .and_then(|mounts| {
                sys::namespace::visit_mounts(mounts, || Directories::open(&self.options.images, LOG))
            })
            .map_err(Error::system("enter CRIU's mount namespace"))??;
        self.lend_images(&mut directories, stage);
        let common = common(&self.options.images, self.creation.spec, &directories, LOG);
        let request = self.request(common, &ready.record, session.pid, &joined, stage)?;
        let record = &mut ready.record;
        session.converse(Kind::Restore, &Kind::Restore.request(&request), &mut |notify, fd| {
            self.on_notify(record, restored, notify, fd)
        })?;
        session.finish_well()
    }

    /// In a user namespace it is the container's root who opens the images, before CRIU has taken his ids
    /// and after, and their directory is the host's root's alone. They are shown in another one, which
    /// anybody may enter who has it. CRIU's log and yards go to the directory itself.
    ///
    /// Where that cannot be, it stays as it is, for those who have made it readable.
    fn lend_images(&self, directories: &mut Directories, stage: &Stage) {
        let images = &self.options.images;
        // Of a chain of dumps the earlier ones are beside this one, and a part of what is deduplicated is
        // dropped from its file.
        let earlier = rustix::fs::statat(&directories.images, PARENT_LINK, AtFlags::SYMLINK_NOFOLLOW);
        if !self.plan.namespaces.has(Namespace::User) || earlier.is_ok() || images.auto_dedup {
            return;
        }
        if let Ok(shown) = stage.show(&images.images) {
            let itself = std::mem::replace(&mut directories.images, shown);
            directories.work.get_or_insert(itself);
        }
    }

    fn request(
        &self,
        common: Message,
        record: &ContainerRecord,
        criu: i32,
        joined: &[OwnedFd],
        stage: &Stage,
    ) -> Result<Message, Error> {
        let options = self.options;
        let mut request = common
            .flag(message::EVASIVE_DEVICES, true)
            // Our child, not CRIU's.
            .flag(message::RST_SIBLING, true)
            .text(message::ROOT, stage.root.as_os_str().as_bytes());
        for (field, value, what) in [
            (message::LSM_PROFILE, &options.lsm_profile, "--lsm-profile"),
            (message::LSM_MOUNT_CONTEXT, &options.lsm_mount_context, "--lsm-mount-context"),
        ] {
            if let Some(value) = value.as_ref().filter(|value| !value.is_empty()) {
                self.version.needs(CHANGES_LSM, what)?;
                request = request.text(field, value);
            }
        }
        request = self.namespaces(request, joined)?;
        let cgroup = record.cgroup.as_ref();
        let external = mounts::of_restore(self.plan, &options.bundle, cgroup, stage)?;
        request = mounts::put(request, false, &external);
        request = cgroup_roots(request, criu)?;
        self.descriptors(request)
    }

    /// Those that CRIU takes as descriptors, in the order of [`EXTERNAL_NAMESPACES`].
    fn open_external_namespaces(&self) -> Result<Vec<OwnedFd>, Error> {
        let mut opened = Vec::new();
        for (kind, least, what, _) in EXTERNAL_NAMESPACES {
            for (_, path) in self.plan.namespaces.join.iter().filter(|(joined, _)| *joined == kind) {
                self.version.needs(least, what)?;
                opened.push(sys::namespace::open(path).map_err(Error::path("open the namespace", path))?);
            }
        }
        Ok(opened)
    }

    fn namespaces(&self, mut request: Message, joined: &[OwnedFd]) -> Result<Message, Error> {
        let mut joined = joined.iter();
        for (kind, _, _, key) in EXTERNAL_NAMESPACES {
            if self.plan.namespaces.joins(kind)
                && let Some(fd) = joined.next()
            {
                request = inherit(request, key, fd.as_fd().as_raw_fd());
            }
        }
        for (kind, path) in &self.plan.namespaces.join {
            match kind {
                Namespace::Net | Namespace::Pid => {}
                Namespace::Cgroup => return Err(CriuError::Namespace { kind: "cgroup" }.into()),
                kind => {
                    request = request.pair(message::JOIN_NS, kind.proc_name(), path.as_os_str().as_bytes());
                }
            }
        }
        Ok(request)
    }

    /// Our standard streams in the place of those pipes that were the container's.
    fn descriptors(&self, mut request: Message) -> Result<Message, Error> {
        let path = self.options.images.images.join(DESCRIPTORS);
        let bytes = fs::read(&path).map_err(Error::path("read", &path))?;
        let names: Vec<String> =
            serde_json::from_slice(&bytes).map_err(|source| Error::Json { path, source })?;
        for (number, name) in (0..=2).zip(&names) {
            if name.starts_with("pipe:") {
                request = inherit(request, name, number);
            }
        }
        Ok(request)
    }

    fn on_notify(
        &self,
        record: &mut ContainerRecord,
        restored: &mut Restored,
        notify: &Notify,
        fd: Option<OwnedFd>,
    ) -> Result<(), Error> {
        match notify.script.as_str() {
            "setup-namespaces" => self.creation.runtime_hooks(record, notify.pid),
            "orphan-pts-master" => {
                restored.console = fd.map(|master| relay(master, self.options.relayed));
                Ok(())
            }
            "post-restore" => {
                restored.init = Some(self.commit(record, notify.pid)?);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    /// The processes are there, and go on when we have answered.
    fn commit(&self, record: &mut ContainerRecord, pid: i32) -> Result<(i32, OwnedFd, u64), Error> {
        let pidfd = sys::pidfd::open(pid).map_err(Error::system("open the restored process"))?;
        let stat = sys::process::ProcStat::read(pid).map_err(Error::system("read init's start time"))?;
        (record.pid, record.start_time) = (pid, stat.start_time);
        // CRIU makes a time namespace, so that clocks do not jump.
        let id = |pid| sys::namespace::id_of(pid, Namespace::Time).ok();
        if id(Some(pid)) != id(None) {
            record.namespaces.entry(Namespace::Time.to_string()).or_default();
        }
        self.creation.dir.write(record)?;
        Ok((pid, pidfd, stat.start_time))
    }
}

fn inherit(request: Message, key: &str, fd: i32) -> Message {
    let inherit = Message::new().text(1, key).number(2, u64::from(fd.unsigned_abs()));
    request.message(message::INHERIT_FD, &inherit)
}

/// The cgroups of the images are put below those that CRIU is in: the container's.
fn cgroup_roots(mut request: Message, criu: i32) -> Result<Message, Error> {
    let path = PathBuf::from(format!("/proc/{criu}/cgroup"));
    let text = fs::read_to_string(&path).map_err(Error::path("read", path))?;
    for line in text.lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        for controller in controllers.split(',') {
            request = request.pair(message::CG_ROOT, controller, path);
        }
    }
    Ok(request)
}

const LOG: &str = "restore.log";

/// In the images, where the dump is that they add to.
const PARENT_LINK: &str = "parent";

/// Before, CRIU has a defect there.
const CHANGES_LSM: u64 = 31_600;
