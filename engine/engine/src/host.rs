//! Facts of the host that a specification depends on.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use crate::apparmor::AppArmorHost;
use crate::error::Error;
use crate::request::{DeviceRequest, InvalidOption, ResourceRequest};
use crate::spec::{HostDevice, HostFacts};

/// Looks at the host, but for AppArmor. Devices are listed for privileged containers only.
pub(crate) fn facts(with_devices: bool, resources: &ResourceRequest) -> Result<HostFacts, Error> {
    let caps = (0..=sys::capability::last_cap())
        .filter(|number| sys::capability::bounding_has(*number) == Some(true));
    let names = caps.map(|number| {
        let name = sys::capability::name(number);
        if name.starts_with("CAP_") { name } else { format!("CAP_{name}") }
    });
    let cpus = std::thread::available_parallelism().map_or(1, |n| u32::try_from(n.get()).unwrap_or(1));
    Ok(HostFacts {
        capabilities: names.collect(),
        apparmor: AppArmorHost::Off,
        selinux: crate::selinux::look(),
        cpus,
        cgroup_v2: cgroup::is_version_2(),
        devices: if with_devices { all_devices()? } else { Vec::new() },
        rootless: sys::user::mapped(),
        delegated: delegated(),
        block_devices: block_devices(resources),
        cpus_online: list("/sys/devices/system/cpu/online"),
        memory_nodes: list("/sys/devices/system/node/online"),
    })
}

/// An ordinary user's part of the control groups.
pub(crate) fn delegated() -> Option<cgroup::Delegated> {
    sys::user::mapped().and_then(|_| cgroup::Delegated::find())
}

fn list(path: &str) -> String {
    fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

/// Numbers of the block devices that limits name; what is none is left out.
fn block_devices(resources: &ResourceRequest) -> BTreeMap<PathBuf, (i64, i64)> {
    let weights = resources.blkio_weight_devices.iter().map(|device| &device.path);
    let rates = [&resources.read_bps, &resources.write_bps, &resources.read_iops, &resources.write_iops];
    let paths = weights.chain(rates.into_iter().flatten().map(|device| &device.path));
    let numbers = paths.filter_map(|path| {
        let found = device(path.clone(), &fs::metadata(path).ok()?).filter(|device| device.is_block)?;
        Some((path.clone(), (found.major, found.minor)))
    });
    numbers.collect()
}

/// All devices below `/dev`, but the terminals and the container's own.
fn all_devices() -> Result<Vec<HostDevice>, Error> {
    let mut devices = Vec::new();
    collect(Path::new("/dev"), &mut devices).map_err(Error::file("list", Path::new("/dev")))?;
    devices.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(devices)
}

/// Not copied: each container has its own.
const OWN: [&str; 12] =
    ["pts", "shm", "mqueue", "fd", "console", "ptmx", "null", "zero", "full", "random", "urandom", "tty"];

fn collect(directory: &Path, devices: &mut Vec<HostDevice>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let Ok(entry) = entry else { continue };
        let name = entry.file_name();
        if directory == Path::new("/dev") && OWN.iter().any(|own| name == *own) {
            continue;
        }
        let Ok(metadata) = entry.path().symlink_metadata() else { continue };
        if metadata.is_dir() {
            // Something may go away while we look.
            let _ = collect(&entry.path(), devices);
        } else if let Some(device) = device(entry.path(), &metadata) {
            devices.push(device);
        }
    }
    Ok(())
}

fn device(path: PathBuf, metadata: &fs::Metadata) -> Option<HostDevice> {
    let kind = metadata.file_type();
    if !kind.is_char_device() && !kind.is_block_device() {
        return None;
    }
    Some(HostDevice {
        path,
        is_block: kind.is_block_device(),
        major: rustix::fs::major(metadata.rdev()).into(),
        minor: rustix::fs::minor(metadata.rdev()).into(),
        mode: metadata.mode() & 0o7777,
        uid: metadata.uid(),
        gid: metadata.gid(),
    })
}

/// Looks up devices asked for by path: a device, or all devices of a directory.
pub(crate) fn look_up(requests: &[DeviceRequest]) -> Result<Vec<(HostDevice, PathBuf, String)>, Error> {
    let mut found = Vec::new();
    for request in requests {
        let text = request.host.to_string_lossy();
        let wrong = |why: String| {
            let what = format!("error gathering device information while adding custom device \"{text}\"");
            Error::from(InvalidOption::new("--device", &text, format!("{what}: {why}")))
        };
        let metadata = fs::metadata(&request.host).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => wrong("no such file or directory".to_owned()),
            _ => wrong(error.to_string()),
        })?;
        if metadata.is_dir() {
            let mut devices = Vec::new();
            collect(&request.host, &mut devices).map_err(Error::file("list", &request.host))?;
            for device in devices {
                let below = device.path.strip_prefix(&request.host).unwrap_or(Path::new("")).to_owned();
                found.push((device, request.container.join(below), request.access.clone()));
            }
            continue;
        }
        let device =
            device(request.host.clone(), &metadata).ok_or_else(|| wrong("not a device node".to_owned()))?;
        found.push((device, request.container.clone(), request.access.clone()));
    }
    Ok(found)
}
