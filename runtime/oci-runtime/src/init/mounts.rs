//! One mount after the other: made detached, then attached on an open directory or file.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::FileType;
use sys::mount::{self, Change, FsContext, attr};
use sys::procfs::Procfs;
use sys::root::file_type;

use super::{Doing, InitError, Prepared, Setup, cgroup_mounts, copy_up, masks};
use crate::plan::{FsOption, MountKind, MountPlan};
use crate::sources;

/// Makes one mount of the plan.
pub(super) fn mount(
    setup: &mut Setup,
    prepared: &Prepared<'_>,
    (at, plan): (usize, &MountPlan),
    source: Option<&OwnedFd>,
) -> Result<(), InitError> {
    match &plan.kind {
        MountKind::Bind { source: path, recursive } => {
            let own;
            let tree = match (sources::in_root(prepared.plan, path), source) {
                (Some(inside), _) => {
                    own = of_root(setup, prepared, (at, plan), (inside, *recursive))
                        .map_err(|error| on(error, plan, &path.display().to_string()))?;
                    &own
                }
                (None, Some(tree)) => tree,
                (None, None) => return Err(InitError::plain("bind mount without source")),
            };
            bind(setup, plan, tree).map_err(|error| on(error, plan, &path.display().to_string()))
        }
        MountKind::Cgroup => {
            cgroup_mounts::mount(setup, prepared, plan).map_err(|error| on(error, plan, "cgroup"))
        }
        MountKind::Filesystem { kind, .. } => filesystem(setup, plan).map_err(|error| on(error, plan, kind)),
    }
}

fn on(error: InitError, plan: &MountPlan, what: &str) -> InitError {
    InitError { doing: format!("mount {what} to {}: {}", plan.destination.display(), error.doing), ..error }
}

/// A source inside the container's root, with what is mounted there by now.
fn of_root(
    setup: &Setup,
    prepared: &Prepared<'_>,
    (at, plan): (usize, &MountPlan),
    (inside, recursive): (&Path, bool),
) -> Result<OwnedFd, InitError> {
    let doing = || "open the source".to_owned();
    let found = setup.root.resolve(inside).doing(doing)?;
    let tree = mount::clone_fd(&found, recursive).doing(doing)?;
    if plan.idmap.is_some() {
        prepared.channel.map_owners(at, tree.as_fd()).doing(|| "have the owners mapped".to_owned())?;
    }
    let around = sources::Around::of(prepared.plan);
    sources::dress(plan, &tree, inside, &around).map_err(|error| {
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}")).unwrap_or_default();
        InitError::plain(format!("{error}{cause}"))
    })?;
    Ok(tree)
}

fn bind(setup: &Setup, plan: &MountPlan, tree: &OwnedFd) -> Result<(), InitError> {
    let is_dir = file_type(tree).doing(|| "look at the source".to_owned())? == FileType::Directory;
    let target = if is_dir {
        setup.root.mkdir_all(&plan.destination, 0o755)
    } else {
        setup.root.touch(&plan.destination, 0o644)
    };
    let target = target.doing(|| "make the destination".to_owned())?;
    guard_root(setup, &target)?;
    guard_proc(&target, &plan.destination, Some(tree))?;
    mount::attach(tree, &target).doing(|| "attach".to_owned())
}

/// A symlink of the image may lead to the root itself. Covered, it would be another
/// root for those who join the container later: `setns(2)` enters the topmost mount.
pub(super) fn guard_root(setup: &Setup, target: &OwnedFd) -> Result<(), InitError> {
    let at = |fd: BorrowedFd<'_>| rustix::fs::fstat(fd).map(|stat| (stat.st_dev, stat.st_ino));
    let doing = || "look at the destination".to_owned();
    if at(target.as_fd()).doing(doing)? != at(setup.root.as_fd()).doing(doing)? {
        return Ok(());
    }
    Err(InitError::plain("the destination is a link to the container's root, where nothing may be mounted"))
}

/// A look-alike of `/proc` would take our writes of labels (CVE-2019-16884,
/// CVE-2019-19921, CVE-2023-27561): only a procfs may stand at `/proc`, and below it
/// only files that are known to be harmless may be replaced.
fn guard_proc(target: &OwnedFd, destination: &Path, bound: Option<&OwnedFd>) -> Result<(), InitError> {
    if destination == Path::new("/proc") {
        let is_procfs = bound.is_none_or(is_proc);
        if is_procfs {
            return Ok(());
        }
        return Err(InitError::plain("only a procfs can be mounted on /proc"));
    }
    if is_proc(target) && !PROC_MAY_BE_REPLACED.iter().any(|path| destination == Path::new(path)) {
        return Err(InitError::plain("the destination is inside /proc, where nothing may be mounted"));
    }
    Ok(())
}

fn is_proc(fd: &OwnedFd) -> bool {
    rustix::fs::fstatfs(fd).is_ok_and(|stat| stat.f_type as u64 == PROC_SUPER_MAGIC)
}

fn filesystem(setup: &mut Setup, plan: &MountPlan) -> Result<(), InitError> {
    let MountKind::Filesystem { kind, source, options, copy_up } = &plan.kind else {
        return Err(InitError::plain("not a file system"));
    };
    let is_tmpfs = kind == "tmpfs";
    let mut attributes = plan.set | plan.set_all;
    let readonly_later = is_tmpfs && attributes & attr::RDONLY != 0;
    if readonly_later {
        attributes &= !attr::RDONLY;
    }
    let inherited = if is_tmpfs { inherited_mode(setup, plan, options) } else { None };
    let with_mode;
    let options = match inherited {
        Some(mode) => {
            with_mode =
                [options.as_slice(), &[FsOption::Value("mode".to_owned(), format!("{mode:o}"))]].concat();
            &with_mode
        }
        None => options,
    };
    let target = target(setup, plan, kind)?;
    let made = make(kind, source, options, attributes);
    let mount = match made {
        Err(error) if kind == "sysfs" && is_not_permitted(&error) => {
            // A network namespace that our user namespace does not own has no sysfs for us.
            setup
                .warnings
                .push("sysfs is bound from the host: the network namespace is not the container's".into());
            clone_of_sysfs(attributes)?
        }
        made => made?,
    };
    if *copy_up {
        copy_up::copy(&target, &mount)?;
    }
    change_propagation(plan, &mount)?;
    if kind == "proc" && setup.proc.is_none() {
        let copy = mount.try_clone().doing(|| "keep the procfs".to_owned())?;
        setup.proc = Some(Procfs::from_mount(copy).doing(|| "verify the procfs".to_owned())?);
    }
    mount::attach(&mount, &target).doing(|| "attach".to_owned())?;
    if kind == "devpts" {
        setup.devpts = Some(mount);
    } else if readonly_later {
        setup.readonly_later.push(mount);
    }
    Ok(())
}

/// A tmpfs over a directory of the image has its mode, unless the options name one.
fn inherited_mode(setup: &Setup, plan: &MountPlan, options: &[FsOption]) -> Option<u32> {
    let named = |option: &FsOption| matches!(option, FsOption::Value(key, _) if key == "mode");
    if options.iter().any(named) {
        return None;
    }
    let there = setup.root.resolve(&plan.destination).ok()?;
    rustix::fs::fstat(&there).ok().map(|stat| stat.st_mode & 0o7777)
}

fn target(setup: &Setup, plan: &MountPlan, kind: &str) -> Result<OwnedFd, InitError> {
    let destination = &plan.destination;
    if matches!(kind, "proc" | "sysfs") {
        // Followed, a symlink would put the real one elsewhere and leave a fake here.
        match setup.root.resolve_no_follow(destination) {
            Ok(fd) if file_type(&fd).is_ok_and(|t| t == FileType::Directory) => return Ok(fd),
            Ok(_) => {
                return Err(InitError::plain(format!(
                    "filesystem {kind:?} must be mounted on ordinary directory, {} is something else",
                    destination.display()
                )));
            }
            Err(_) => {}
        }
    }
    let target = setup.root.mkdir_all(destination, 0o755).doing(|| "make the destination".to_owned())?;
    guard_root(setup, &target)?;
    if kind != "proc" {
        guard_new(&target, destination)?;
    }
    Ok(target)
}

/// [`guard_proc`] for a file system that is none.
pub(super) fn guard_new(target: &OwnedFd, destination: &Path) -> Result<(), InitError> {
    if destination == Path::new("/proc") {
        return Err(InitError::plain("only a procfs can be mounted on /proc"));
    }
    guard_proc(target, destination, None)
}

/// Makes a new file system, detached.
pub(super) fn make(
    kind: &str,
    source: &str,
    options: &[FsOption],
    attributes: u64,
) -> Result<OwnedFd, InitError> {
    let context = FsContext::open(kind).doing(|| format!("open file system type {kind:?}"))?;
    let result = (|| {
        context.set("source", source)?;
        for option in options {
            match option {
                FsOption::Flag(word) if IGNORED_FLAGS.contains(&word.as_str()) => {}
                FsOption::Flag(word) => context.set_flag(word)?,
                FsOption::Value(key, value) => context.set(key, value)?,
            }
        }
        // A file system with a device is also opened read-only.
        if attributes & attr::RDONLY != 0 && !VIRTUAL.contains(&kind) {
            context.set_flag("ro")?;
        }
        context.mount(attributes)
    })();
    result.doing(|| match context.messages().join("; ") {
        text if text.is_empty() => "make the file system".to_owned(),
        text => format!("make the file system ({text})"),
    })
}

fn is_not_permitted(error: &InitError) -> bool {
    error.source.as_ref().is_some_and(|source| source.kind() == std::io::ErrorKind::PermissionDenied)
}

fn clone_of_sysfs(attributes: u64) -> Result<OwnedFd, InitError> {
    let tree = mount::clone_path(Path::new("/sys"), true).doing(|| "clone the host's sysfs".to_owned())?;
    let change = Change { set: attributes, recursive: true, ..Change::default() };
    mount::set_attributes(&tree, &change).doing(|| "change the clone of sysfs".to_owned())?;
    Ok(tree)
}

/// Applies what the options say about propagation, in their order.
pub(super) fn change_propagation<Fd: AsFd>(plan: &MountPlan, mount: &Fd) -> Result<(), InitError> {
    for (propagation, recursive) in &plan.propagation {
        let change = Change { propagation: Some(*propagation), recursive: *recursive, ..Change::default() };
        mount::set_attributes(mount, &change).doing(|| "set the propagation".to_owned())?;
    }
    Ok(())
}

/// Used by the cgroup mounts: a tmpfs that becomes read-only at the end.
pub(super) fn finish_readonly(mount: &OwnedFd, plan: &MountPlan) -> Result<(), InitError> {
    if (plan.set | plan.set_all) & attr::RDONLY != 0 {
        masks::make_readonly(mount).doing(|| "make read-only".to_owned())?;
    }
    Ok(())
}

const PROC_SUPER_MAGIC: u64 = 0x9fa0;

/// What lxcfs and FIPS set-ups replace; none of it decides about security.
const PROC_MAY_BE_REPLACED: &[&str] = &[
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/uptime",
    "/proc/loadavg",
    "/proc/slabinfo",
    "/proc/net/dev",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/sys/crypto/fips_enabled",
];

/// Words of mount(8) that the kernel does not know.
const IGNORED_FLAGS: &[&str] = &[
    "newinstance",
    "loud",
    "silent",
    "iversion",
    "noiversion",
    "noauto",
    "auto",
    "user",
    "nouser",
    "nofail",
];

const VIRTUAL: &[&str] = &["proc", "sysfs", "tmpfs", "devpts", "mqueue", "cgroup", "cgroup2", "ramfs"];
