//! Mounts, and what of /proc and /sys is hidden or read-only.

use std::path::PathBuf;

use crate::runtime::Mount;

/// Paths that a container must not see: they tell about, or reach, the host's hardware and
/// kernel. Paths that do not exist are skipped by the runtime.
///
/// `cpus` is how many CPUs the machine can have: each has a `thermal_throttle` counter that
/// tells about the work of others (GHSA-6fw5-f8r9-fgfm).
pub fn masked_paths(cpus: usize) -> Vec<String> {
    let per_cpu = (0..cpus).map(|cpu| format!("/sys/devices/system/cpu/cpu{cpu}/thermal_throttle"));
    MASKED.iter().map(|path| (*path).to_owned()).chain(per_cpu).collect()
}

/// Paths that a container may read and not write.
pub fn readonly_paths() -> Vec<String> {
    READONLY.iter().map(|path| (*path).to_owned()).collect()
}

/// The mounts of every container, in order. `/dev/shm` has `shm_size_bytes`.
pub fn mounts(shm_size_bytes: u64) -> Vec<Mount> {
    let shm_size = format!("size={shm_size_bytes}");
    let mut mounts: Vec<Mount> =
        MOUNTS.iter().map(|(at, kind, source, options)| mount(at, kind, source, options)).collect();
    mounts.push(mount("/dev/shm", "tmpfs", "shm", &["nosuid", "noexec", "nodev", "mode=1777", &shm_size]));
    mounts
}

fn mount(at: &str, kind: &str, source: &str, options: &[&str]) -> Mount {
    let mut mount = Mount::default();
    mount
        .set_destination(PathBuf::from(at))
        .set_typ(Some(kind.to_owned()))
        .set_source(Some(PathBuf::from(source)))
        .set_options(Some(options.iter().map(|option| (*option).to_owned()).collect()));
    mount
}

const MASKED: [&str; 12] = [
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READONLY: [&str; 5] = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// Where, type, source, options.
type Row = (&'static str, &'static str, &'static str, &'static [&'static str]);

const MOUNTS: [Row; 6] = [
    ("/proc", "proc", "proc", &["nosuid", "noexec", "nodev"]),
    ("/dev", "tmpfs", "tmpfs", &["nosuid", "strictatime", "mode=755", "size=65536k"]),
    (
        "/dev/pts",
        "devpts",
        "devpts",
        &["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    ),
    ("/sys", "sysfs", "sysfs", &["nosuid", "noexec", "nodev", "ro"]),
    ("/sys/fs/cgroup", "cgroup", "cgroup", &["ro", "nosuid", "noexec", "nodev"]),
    ("/dev/mqueue", "mqueue", "mqueue", &["nosuid", "noexec", "nodev"]),
];
