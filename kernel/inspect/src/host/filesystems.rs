//! File systems and mounts, in a directory that is made for it and removed.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use sys::idmap::IdMaps;
use sys::mount::{Change, FsContext, Propagation, attr};

use super::trial::{at, plain};

/// A directory below `place` that goes with the value.
struct Scratch(PathBuf);

impl Scratch {
    fn new(place: &Path) -> io::Result<Self> {
        let path = place.join(format!(".strake-check-{}", std::process::id()));
        fs::create_dir(&path)
            .map_err(|error| io::Error::other(format!("make {}: {}", path.display(), plain(&error))))?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // overlayfs leaves a directory there that not even its owner may list.
        let inner = self.0.join("work/work");
        if inner.exists() {
            let _ = rustix::fs::chmod(&inner, Mode::RWXU);
        }
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A mount that is attached nowhere, with recursive read-only, attached and taken away.
pub(super) fn mount_api() -> io::Result<String> {
    let private = Change { propagation: Some(Propagation::Private), recursive: true, ..Change::default() };
    sys::mount::set_attributes_of_path(Path::new("/"), &private).map_err(at("mount_setattr(2)"))?;
    let mount = FsContext::open("tmpfs").and_then(|fs| fs.mount(0)).map_err(at("fsopen(2)"))?;
    let read_only = Change { set: attr::RDONLY, recursive: true, ..Change::default() };
    sys::mount::set_attributes(&mount, &read_only).map_err(at("mount_setattr(2)"))?;
    sys::mount::attach_path(&mount, Path::new("/")).map_err(at("move_mount(2)"))?;
    Ok(String::new())
}

/// An overlay on the file system of `place`: a file of the lower layer is read, changed and
/// removed, which takes a copy and a whiteout.
pub(super) fn overlay(place: &Path, flags: &[&str]) -> io::Result<String> {
    let scratch = Scratch::new(place)?;
    overlay_in(&scratch.0, flags)
}

/// The same on a tmpfs, by root of a user namespace that is `uid` and `gid` outside.
pub(super) fn overlay_in_user_namespace(place: &Path, uid: u32, gid: u32) -> io::Result<String> {
    fs::write("/proc/self/setgroups", "deny").map_err(at("deny setgroups"))?;
    fs::write("/proc/self/uid_map", format!("0 {uid} 1")).map_err(at("write uid_map"))?;
    fs::write("/proc/self/gid_map", format!("0 {gid} 1")).map_err(at("write gid_map"))?;
    let slave = Change { propagation: Some(Propagation::Slave), recursive: true, ..Change::default() };
    sys::mount::set_attributes_of_path(Path::new("/"), &slave).map_err(at("mount_setattr(2)"))?;
    let tmpfs = FsContext::open("tmpfs").and_then(|fs| fs.mount(0)).map_err(at("mount a tmpfs"))?;
    sys::mount::attach_path(&tmpfs, place).map_err(at("move_mount(2)"))?;
    overlay_in(place, &["userxattr"])
}

fn overlay_in(path: &Path, flags: &[&str]) -> io::Result<String> {
    let mut held: Vec<OwnedFd> = Vec::new();
    let context = FsContext::open("overlay").map_err(at("fsopen(2) of overlay"))?;
    let said = |context: &FsContext, error: io::Error| {
        let messages = context.messages().join("; ");
        let why = plain(&error);
        io::Error::other(if messages.is_empty() { why } else { format!("{why}: {messages}") })
    };
    for (name, key) in [("lower", "lowerdir"), ("upper", "upperdir"), ("work", "workdir")] {
        let directory = path.join(name);
        fs::create_dir(&directory).map_err(at("make a directory"))?;
        if name == "lower" {
            fs::write(directory.join("file"), "lower").map_err(at("write a file"))?;
        }
        let opened = rustix::fs::open(&directory, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())?;
        // A value has at most 255 bytes, so a path of the user's own may not fit.
        let short = format!("/proc/self/fd/{}", opened.as_raw_fd());
        context.set(key, &short).map_err(|error| said(&context, error))?;
        held.push(opened);
    }
    for flag in flags {
        context.set_flag(flag).map_err(|error| said(&context, error))?;
    }
    let mount = context.mount(0).map_err(|error| said(&context, error))?;
    let write = OFlags::WRONLY | OFlags::APPEND | OFlags::CLOEXEC;
    let file = rustix::fs::openat(&mount, "file", write, Mode::empty()).map_err(at("copy a file up"))?;
    rustix::io::write(&file, b"upper").map_err(at("write to a file that was copied up"))?;
    rustix::fs::unlinkat(&mount, "file", AtFlags::empty()).map_err(at("make a whiteout"))?;
    Ok(String::new())
}

/// A mount of `place`'s file system whose owners are shifted.
pub(super) fn idmapped(place: &Path) -> io::Result<String> {
    let scratch = Scratch::new(place)?;
    let maps = IdMaps::contiguous(SHIFTED, 65536);
    let namespace = sys::idmap::user_namespace(&maps).map_err(at("make a user namespace with maps"))?;
    let mount = sys::mount::clone_path(&scratch.0, false).map_err(at("open_tree(2)"))?;
    let change = Change { idmap: Some(std::os::fd::AsFd::as_fd(&namespace)), ..Change::default() };
    sys::mount::set_attributes(&mount, &change).map_err(at("mount_setattr(2) with MOUNT_ATTR_IDMAP"))?;
    let uid = rustix::fs::fstat(&mount)?.st_uid;
    if uid == sys::user::effective_uid() + SHIFTED {
        return Ok(String::new());
    }
    Err(io::Error::other(format!("the owner of a mapped directory is {uid}")))
}

/// A file counted to a project that can have a limit.
pub(super) fn project_quota(place: &Path) -> io::Result<String> {
    let scratch = Scratch::new(place)?;
    let file = File::create(scratch.0.join("counted"))?;
    sys::quota::set_project(&file, PROJECT).map_err(at("FS_IOC_FSSETXATTR"))?;
    sys::quota::quota(&file, PROJECT).map_err(at("quotactl_fd(2) with Q_GETQUOTA"))?;
    Ok(String::new())
}

/// A file that is sealed by its digest.
pub(super) fn verity(place: &Path) -> io::Result<String> {
    let scratch = Scratch::new(place)?;
    let path = scratch.0.join("sealed");
    fs::write(&path, "sealed")?;
    sys::features::enable_verity(&File::open(&path)?).map_err(at("FS_IOC_ENABLE_VERITY"))?;
    Ok(String::new())
}

const SHIFTED: u32 = 100_000;
const PROJECT: u32 = 0x57a4;
