//! The container's mounts that are the host's: named at the checkpoint, given again at the
//! restore.

use std::ffi::OsString;
use std::fs;
use std::hash::{BuildHasher, Hasher, RandomState};
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cgroup::{Cgroup, Layout, Mode};
use rustix::fs::{FileType, Mode as OpenMode, OFlags};
use sys::Namespace;
use sys::mount::{self, Change, FsContext, Propagation, UnmountFlags, attr};
use sys::root::{RootDir, file_type};

use super::message::{EXT_MNT, Message};
use crate::error::Error;
use crate::init::Cover;
use crate::plan::{MountKind, MountPlan, Plan};
use crate::sources::in_root;

/// A mount's name in the images, and what it is: at the dump where it is mounted, at the restore what
/// is mounted.
pub(super) type External = (PathBuf, PathBuf);

/// What a dump names.
pub(super) fn of_dump(plan: &Plan, pid: i32) -> Result<Vec<External>, Error> {
    let root = PathBuf::from(format!("/proc/{pid}/root"));
    let inside = RootDir::open(&root).map_err(Error::path("open the container's root", &root))?;
    let mut found = Vec::new();
    for mount in &plan.mounts {
        match &mount.kind {
            MountKind::Bind { .. } => {
                found.push((mount.destination.clone(), real(&inside, &mount.destination)));
            }
            MountKind::Cgroup => {
                let layout = Layout::detect()?;
                let own = hierarchies(plan, mount, &layout).into_iter();
                found.extend(own.map(|(at, _)| (at.clone(), real(&inside, &at))));
            }
            MountKind::Filesystem { .. } => {}
        }
    }
    found.extend(devices(plan).map(|path| (path.clone(), path)));
    let path = format!("/proc/{pid}/mountinfo");
    let mountinfo = fs::read(&path).map_err(Error::path("read", path))?;
    found.extend(masks(&mountinfo));
    Ok(found)
}

/// What a restore gives.
pub(super) fn of_restore(
    plan: &Plan,
    bundle: &Path,
    cgroup: Option<&Cgroup>,
    stage: &Stage,
) -> Result<Vec<External>, Error> {
    let mut given = Vec::new();
    for (at, mount) in plan.mounts.iter().enumerate() {
        match &mount.kind {
            MountKind::Bind { source, .. } => {
                let staged = in_root(plan, source).is_none().then(|| stage.source(at));
                given.push((mount.destination.clone(), staged.unwrap_or_else(|| bundle.join(source))));
            }
            MountKind::Cgroup => {
                let layout = Layout::detect()?;
                for (at, controller) in hierarchies(plan, mount, &layout) {
                    let dir = match controller {
                        Some(controller) => cgroup.and_then(|cgroup| cgroup.v1_dir(controller)),
                        None => cgroup.and_then(Cgroup::v2_dir),
                    };
                    given.extend(dir.map(|dir| (at, dir.to_owned())));
                }
            }
            MountKind::Filesystem { .. } => {}
        }
    }
    given.extend(devices(plan).map(|path| (path.clone(), path)));
    // So the images of others call masked files. Where it is a mount's name, too, it stays the mount's.
    let null = PathBuf::from("/dev/null");
    if given.iter().all(|(name, _)| *name != null) {
        given.push((null, stage.covers().join("f")));
    }
    given.push((PathBuf::from(MASKED_FILE), stage.covers().join("f")));
    given.push((PathBuf::from(MASKED_DIR), stage.covers().join("d")));
    Ok(given)
}

/// Adds them to a request. In the protocol the first is what is looked for: at a dump a mount point,
/// at a restore a name.
pub(super) fn put(message: Message, dump: bool, mounts: &[External]) -> Message {
    mounts.iter().fold(message, |message, (name, place)| {
        let (name, place) = (name.as_os_str().as_bytes(), place.as_os_str().as_bytes());
        if dump { message.pair(EXT_MNT, place, name) } else { message.pair(EXT_MNT, name, place) }
    })
}

/// Where a path of the spec leads in the container.
fn real(inside: &RootDir, path: &Path) -> PathBuf {
    let found =
        inside.resolve(path).and_then(|fd| fs::read_link(format!("/proc/self/fd/{}", fd.as_raw_fd())));
    // The container may have taken it away.
    found.unwrap_or_else(|_| path.to_owned())
}

/// The binds that a mount of type `cgroup` consists of (see `init::cgroup_mounts`), with a controller
/// of each that is v1's. In a cgroup namespace of its own the container has real mounts.
fn hierarchies<'a>(plan: &Plan, mount: &MountPlan, layout: &'a Layout) -> Vec<(PathBuf, Option<&'a str>)> {
    if plan.namespaces.has(Namespace::Cgroup) {
        return Vec::new();
    }
    if layout.mode() == Mode::V2 {
        return vec![(mount.destination.clone(), None)];
    }
    let below = |point: &Path| mount.destination.join(point.file_name().unwrap_or_default());
    let v1 = layout.v1.iter().map(|hierarchy| {
        (below(&hierarchy.mount_point), Some(hierarchy.controllers.first().map_or("", String::as_str)))
    });
    v1.chain(layout.v2.iter().map(|v2| (below(&v2.mount_point), None))).collect()
}

/// Devices of the host that are bound, in a user namespace.
fn devices(plan: &Plan) -> impl Iterator<Item = PathBuf> {
    plan.devices.iter().filter(|device| device.bind).map(|device| device.path.clone())
}

/// The pieces of our cover that lie on masked paths.
fn masks(mountinfo: &[u8]) -> Vec<External> {
    let mut found = Vec::new();
    for line in mountinfo.split(|byte| *byte == b'\n') {
        let mut fields = line.split(|byte| *byte == b' ').skip(3);
        let (Some(root), Some(point)) = (fields.next(), fields.next()) else { continue };
        let mut kind = fields.skip_while(|field| *field != b"-").skip(1);
        if (kind.next(), kind.next()) != (Some(b"tmpfs"), Some(Cover::NAME.as_bytes())) {
            continue;
        }
        let name = match root {
            b"/f" => MASKED_FILE,
            b"/d" => MASKED_DIR,
            _ => continue,
        };
        found.push((PathBuf::from(name), unescape(point)));
    }
    found
}

/// `\040` and the like: proc_pid_mountinfo(5).
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((&byte, after)) = rest.split_first() {
        let digits = after.get(..3).filter(|digits| byte == b'\\' && digits.iter().all(u8::is_ascii_digit));
        let number = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(number.unwrap_or(byte));
        rest = if number.is_some() { &after[3..] } else { after };
    }
    PathBuf::from(OsString::from_vec(bytes))
}

/// Where a restore's mounts are made ready, in a mount namespace that ends with CRIU. Here these are
/// empty directories, which go with this.
pub(super) struct Stage {
    /// CRIU wants a root that is a mount itself, with every mount point of the container in it.
    pub(super) root: PathBuf,
    sources: PathBuf,
}

impl Stage {
    /// Below `state`. In a user namespace it is the container's root who takes the sources of mounts, and
    /// the state directory is not his to enter.
    pub(super) fn make(state: &Path, user_namespace: bool) -> Result<Self, Error> {
        let sources = match user_namespace {
            true => {
                PathBuf::from(format!("/run/strake-restore-{:x}", RandomState::new().build_hasher().finish()))
            }
            false => state.join("sources"),
        };
        let stage = Self { root: state.join("root"), sources };
        for dir in [&stage.root, &stage.sources] {
            let made = fs::create_dir(dir)
                .and_then(|()| fs::set_permissions(dir, fs::Permissions::from_mode(0o755)));
            made.map_err(Error::path("make the directory", dir))?;
        }
        Ok(stage)
    }

    /// A detached mount with what is in `dir`, which anybody may enter and nobody write.
    pub(super) fn show(&self, dir: &Path) -> std::io::Result<OwnedFd> {
        let open = |path: &Path| rustix::fs::open(path, OFlags::PATH | OFlags::CLOEXEC, OpenMode::empty());
        // An overlay has the mode of what is on top.
        let (top, below) = (open(&self.root)?, open(dir)?);
        let context = FsContext::open("overlay")?;
        let path = |fd: &OwnedFd| format!("/proc/self/fd/{}", fd.as_raw_fd());
        context.set("lowerdir", &format!("{}:{}", path(&top), path(&below)))?;
        context.mount(attr::NOSUID | attr::NODEV | attr::NOEXEC)
    }

    fn source(&self, at: usize) -> PathBuf {
        self.sources.join(at.to_string())
    }

    fn covers(&self) -> PathBuf {
        self.sources.join("covers")
    }

    /// Makes them ready. `sources` are those of the plan's mounts.
    pub(super) fn set(&self, plan: &Plan, bundle: &Path, sources: &[Option<OwnedFd>]) -> Result<(), Error> {
        let slave = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
        mount::set_attributes_of_path(Path::new("/"), &slave).map_err(Error::path("make a slave of", "/"))?;
        let bind = || {
            let tree = mount::clone_path(&plan.root.path, true);
            tree.and_then(|tree| mount::attach_path(&tree, &self.root))
                .map_err(Error::path("bind", &plan.root.path))
        };
        bind()?;
        make_mount_points(plan, bundle, &self.root)?;
        // Without the sources of bind mounts, which were there to take mount points of their own.
        mount::unmount(&self.root, UnmountFlags::DETACH).map_err(Error::path("unmount", &self.root))?;
        bind()?;
        self.set_sources(sources).map_err(Error::path("mount the sources of mounts below", &self.sources))
    }

    fn set_sources(&self, sources: &[Option<OwnedFd>]) -> std::io::Result<()> {
        let context = FsContext::open("tmpfs")?;
        context.set("mode", "0711")?;
        mount::attach_path(context.mount(attr::NOSUID | attr::NODEV | attr::NOEXEC)?, &self.sources)?;
        fs::create_dir(self.covers())?;
        Cover::make()?.attach(&self.covers())?;
        for (at, tree) in sources.iter().enumerate() {
            let Some(tree) = tree else { continue };
            let path = self.source(at);
            match file_type(tree)? {
                FileType::Directory => fs::create_dir(&path)?,
                _ => drop(fs::File::create(&path)?),
            }
            mount::attach_path(tree, &path)?;
            // Once more without what is mounted below it: in a user namespace that is locked to it, and
            // CRIU takes one mount at a time.
            mount::attach_path(mount::clone_path(&path, false)?, &path)?;
        }
        Ok(())
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for dir in [&self.root, &self.sources] {
            // Nothing was ever mounted on them here.
            let _ = fs::remove_dir(dir);
        }
    }
}

fn make_mount_points(plan: &Plan, bundle: &Path, stage: &Path) -> Result<(), Error> {
    let root = RootDir::open(stage).map_err(Error::path("open", stage))?;
    for mount in &plan.mounts {
        // CRIU makes what is on a tmpfs, and with that v1's mount points.
        if matches!(mount.kind, MountKind::Cgroup) || is_on_tmpfs(plan, mount) {
            continue;
        }
        let made = match &mount.kind {
            MountKind::Bind { source, .. } => bind_for_now(&root, mount, &bundle.join(source)),
            _ => root.mkdir_all(&mount.destination, 0o755).map(drop),
        };
        made.map_err(Error::path("make the mount point", &mount.destination))?;
    }
    Ok(())
}

fn is_on_tmpfs(plan: &Plan, mount: &MountPlan) -> bool {
    plan.mounts.iter().any(|other| {
        let is_tmpfs = matches!(&other.kind, MountKind::Filesystem { kind, .. } if kind == "tmpfs");
        is_tmpfs
            && mount.destination != other.destination
            && mount.destination.starts_with(&other.destination)
    })
}

fn bind_for_now(root: &RootDir, mount: &MountPlan, source: &Path) -> std::io::Result<()> {
    let tree = mount::clone_path(source, true)?;
    let target = match file_type(&tree)? {
        FileType::Directory => root.mkdir_all(&mount.destination, 0o755)?,
        _ => root.touch(&mount.destination, 0o644)?,
    };
    mount::attach(&tree, &target)
}

/// The name of masked files in the images.
const MASKED_FILE: &str = "masked-file";

/// The name of masked directories.
const MASKED_DIR: &str = "masked-directory";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_the_covers_of_masked_paths() {
        let mountinfo = b"70 60 0:50 / / rw - overlay overlay rw\n\
            71 70 0:51 / /dev rw,nosuid - tmpfs tmpfs rw\n\
            72 70 0:52 /f /proc/keys ro,nosuid,noexec master:7 - tmpfs mask ro,nr_inodes=4\n\
            73 70 0:52 /d /proc/a\\040b\\134 ro,nosuid - tmpfs mask ro\n\
            74 70 0:52 /x /other ro - tmpfs mask ro\n";
        let wanted = [(MASKED_FILE, "/proc/keys"), (MASKED_DIR, "/proc/a b\\")];
        assert_eq!(masks(mountinfo), wanted.map(|(name, path)| (name.into(), path.into())));
        assert!(masks(b"").is_empty());
    }

    #[test]
    fn a_request_has_what_is_looked_for_first() {
        let mounts = [(PathBuf::from("n"), PathBuf::from("/p"))];
        assert_eq!(put(Message::new(), true, &mounts), Message::new().pair(EXT_MNT, "/p", "n"));
        assert_eq!(put(Message::new(), false, &mounts), Message::new().pair(EXT_MNT, "n", "/p"));
    }
}
