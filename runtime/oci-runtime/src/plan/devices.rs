//! Device nodes and links below `/dev` (OCI runtime-spec `config-linux.md`,
//! "Devices" and "Default Devices"; `runtime-linux.md`, "Dev symbolic links").

use std::path::{Component, Path, PathBuf};

use oci_spec::runtime::{Linux, LinuxDevice, LinuxDeviceType};

use super::SpecError;
use super::mounts::MountPlan;

/// Which kind of node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Character device.
    Char,
    /// Block device.
    Block,
    /// Named pipe.
    Fifo,
}

/// A node to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DevicePlan {
    /// Where.
    pub path: PathBuf,
    /// What.
    pub kind: DeviceKind,
    /// Major number.
    pub major: u32,
    /// Minor number.
    pub minor: u32,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Bound from the host instead of made: in a user namespace `mknod(2)` is not allowed.
    pub bind: bool,
}

pub(super) fn devices(linux: &Linux, bind: bool) -> Result<Vec<DevicePlan>, SpecError> {
    let given = linux.devices().as_deref().unwrap_or_default();
    let mut plan = Vec::new();
    for (path, major, minor) in DEFAULT_DEVICES {
        if given.iter().any(|device| device.path() == Path::new(path)) {
            continue;
        }
        plan.push(DevicePlan {
            path: PathBuf::from(path),
            kind: DeviceKind::Char,
            major: *major,
            minor: *minor,
            mode: 0o666,
            uid: 0,
            gid: 0,
            bind,
        });
    }
    for device in given {
        // It is a link to the container's own devpts, whatever the host's is.
        if device.path() != Path::new("/dev/ptmx") {
            plan.push(one(device, bind)?);
        }
    }
    Ok(plan)
}

fn one(device: &LinuxDevice, bind: bool) -> Result<DevicePlan, SpecError> {
    let path = device.path();
    let clean = path.is_absolute()
        && path.file_name().is_some()
        && path.components().all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
    if !clean {
        let hint = "use an absolute path without `..`";
        return Err(SpecError::invalid("linux.devices path", path.display(), hint));
    }
    let kind = match device.typ() {
        LinuxDeviceType::C | LinuxDeviceType::U => DeviceKind::Char,
        LinuxDeviceType::B => DeviceKind::Block,
        LinuxDeviceType::P => DeviceKind::Fifo,
        LinuxDeviceType::A => return Err(SpecError::invalid("linux.devices type", "a", "use b, c, u or p")),
    };
    let number = |value: i64| {
        let hint = "a device number is 0 to 4294967295";
        u32::try_from(value).map_err(|_| SpecError::invalid("linux.devices number", value, hint))
    };
    let (major, minor) = match kind {
        DeviceKind::Fifo => (0, 0),
        _ => (number(device.major())?, number(device.minor())?),
    };
    Ok(DevicePlan {
        path: path.clone(),
        kind,
        major,
        minor,
        mode: device.file_mode().unwrap_or(0o666) & 0o7777,
        uid: device.uid().unwrap_or(0),
        gid: device.gid().unwrap_or(0),
        // A FIFO is no device: anyone may make one.
        bind: bind && kind != DeviceKind::Fifo,
    })
}

pub(super) fn links(mounts: &[MountPlan]) -> Vec<(&'static str, &'static str)> {
    let mut links = vec![
        ("/proc/self/fd", "/dev/fd"),
        ("/proc/self/fd/0", "/dev/stdin"),
        ("/proc/self/fd/1", "/dev/stdout"),
        ("/proc/self/fd/2", "/dev/stderr"),
    ];
    if mounts.iter().any(|mount| mount.destination == Path::new("/dev/pts")) {
        links.push(("pts/ptmx", "/dev/ptmx"));
    }
    links
}

const DEFAULT_DEVICES: &[(&str, u32, u32)] = &[
    ("/dev/null", 1, 3),
    ("/dev/zero", 1, 5),
    ("/dev/full", 1, 7),
    ("/dev/random", 1, 8),
    ("/dev/urandom", 1, 9),
    ("/dev/tty", 5, 0),
];
