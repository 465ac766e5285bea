//! What can go wrong with a cgroup.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// An operation on a cgroup failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No hierarchy at all.
    #[error("no cgroup file system is mounted: mount one, as in `mount -t cgroup2 none /sys/fs/cgroup`")]
    NotMounted,
    /// A directory could not be made.
    #[error("unable to apply cgroup configuration: make cgroup {}{}", path.display(), hint(source))]
    Create {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It exists and has processes of others.
    #[error("container's cgroup is not empty: {processes} process(es) found in {}; choose another cgroupsPath or end them", path.display())]
    InUse {
        /// The directory.
        path: PathBuf,
        /// How many.
        processes: usize,
    },
    /// A path below a cgroup that is not below it.
    #[error("bad sub cgroup path: {path}: name a cgroup below the container's own, without ..")]
    SubPath {
        /// The path.
        path: String,
    },
    /// No v1 hierarchy has this controller.
    #[error("unknown controller {controller} for a sub cgroup: the container has {known}")]
    UnknownController {
        /// The name.
        controller: String,
        /// Those that there are.
        known: String,
    },
    /// It exists and is frozen: whatever enters it stands still.
    #[error("container's cgroup unexpectedly frozen: {}; thaw it, or choose another cgroupsPath", path.display())]
    Frozen {
        /// The directory.
        path: PathBuf,
    },
    /// A value was refused.
    #[error("write {value:?} to {}{}", path.display(), write_hint(path, value, source))]
    Write {
        /// The file.
        path: PathBuf,
        /// The value.
        value: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The new limit is below what is used.
    #[error("limit {value} for {} is below the {usage} bytes in use: free memory first, or clear checkBeforeUpdate", path.display())]
    BelowUsage {
        /// The file of the limit.
        path: PathBuf,
        /// The limit.
        value: u64,
        /// What is used.
        usage: u64,
    },
    /// The cgroup has no directory where the setting belongs.
    #[error("cgroup {cgroup} has no {place} directory: was it made with another layout?")]
    NoPlace {
        /// Its path.
        cgroup: String,
        /// The controller, or `v2`.
        place: String,
    },
    /// A file could not be read.
    #[error("read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process could not be moved in.
    #[error("error adding pid {pid} to cgroup {}{}", path.display(), join_hint(source))]
    Join {
        /// The process.
        pid: i32,
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// systemd did not make it.
    #[error(transparent)]
    Systemd(#[from] crate::systemd::SystemdError),
    /// The owner could not be changed.
    #[error("give cgroup file {} to user {uid}", path.display())]
    Own {
        /// The file or directory.
        path: PathBuf,
        /// To whom.
        uid: u32,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The device program was refused.
    #[error("load the device rules of cgroup {} as an eBPF program{}", path.display(), bpf_hint(source))]
    Devices {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// Nothing here can freeze.
    #[error("cgroup {cgroup} cannot be frozen: neither the v1 freezer controller nor cgroup v2 is mounted")]
    NoFreezer {
        /// Its path.
        cgroup: String,
    },
    /// Freezing took too long.
    #[error("cgroup {} did not freeze within {seconds} s: a process in it is in an uninterruptible wait", path.display())]
    FreezeTimeout {
        /// The directory.
        path: PathBuf,
        /// How long was waited.
        seconds: u64,
    },
    /// It cannot be removed, because processes are in it.
    #[error("remove cgroup {}: processes {pids:?} are still in it; kill them first", path.display())]
    Busy {
        /// The directory.
        path: PathBuf,
        /// Some of the processes.
        pids: Vec<i32>,
    },
    /// It cannot be removed.
    #[error("remove cgroup {}", path.display())]
    Remove {
        /// The directory.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A process could not be signalled.
    #[error("kill process {pid} of cgroup {cgroup}")]
    Kill {
        /// The process.
        pid: i32,
        /// The cgroup's path.
        cgroup: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// No memory controller to watch.
    #[error("cgroup {cgroup} has no memory controller: its out-of-memory events cannot be watched")]
    NoMemory {
        /// The cgroup's path.
        cgroup: String,
    },
    /// Events could not be subscribed to.
    #[error("watch {} for out-of-memory events", path.display())]
    Watch {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotMounted | Self::NoFreezer { .. } | Self::NoMemory { .. } => ErrorClass::Unsupported,
            Self::InUse { .. } => ErrorClass::AlreadyExists,
            Self::BelowUsage { .. } | Self::Busy { .. } | Self::Frozen { .. } => ErrorClass::Conflict,
            Self::NoPlace { .. } | Self::SubPath { .. } | Self::UnknownController { .. } => {
                ErrorClass::Invalid
            }
            Self::FreezeTimeout { .. } => ErrorClass::TimedOut,
            Self::Systemd(error) => error.class(),
            Self::Create { source, .. }
            | Self::Write { source, .. }
            | Self::Read { source, .. }
            | Self::Join { source, .. }
            | Self::Own { source, .. }
            | Self::Devices { source, .. }
            | Self::Remove { source, .. }
            | Self::Kill { source, .. }
            | Self::Watch { source, .. } => of_errno(source),
        }
    }
}

fn of_errno(source: &io::Error) -> ErrorClass {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::INVAL | rustix::io::Errno::RANGE) => ErrorClass::Invalid,
        Some(rustix::io::Errno::BUSY) => ErrorClass::Conflict,
        _ => ErrorClass::of_io(source),
    }
}

fn errno(source: &io::Error) -> Option<rustix::io::Errno> {
    source.raw_os_error().map(rustix::io::Errno::from_raw_os_error)
}

fn hint(source: &io::Error) -> &'static str {
    match errno(source) {
        Some(rustix::io::Errno::ROFS) => " (cgroups are mounted read-only here: mount them read-write)",
        Some(rustix::io::Errno::ACCESS | rustix::io::Errno::PERM) => {
            " (not allowed: run as root, or in a cgroup that was delegated to you)"
        }
        Some(rustix::io::Errno::AGAIN) => " (cgroup.max.descendants of a parent is reached)",
        _ => "",
    }
}

fn join_hint(source: &io::Error) -> &'static str {
    match errno(source) {
        Some(rustix::io::Errno::NOSPC) => {
            " (its cpuset has no CPUs or memory nodes: fill its parents' cpuset.cpus and cpuset.mems)"
        }
        Some(rustix::io::Errno::BUSY) => {
            " (it gives controllers to its children, so it cannot hold processes: use a child)"
        }
        Some(rustix::io::Errno::OPNOTSUPP) => " (it is threaded or its parent's type is invalid)",
        Some(rustix::io::Errno::SRCH) => " (the process has ended)",
        Some(rustix::io::Errno::INVAL) => {
            " (a realtime process cannot enter a cpu cgroup without cpu.rt_runtime_us)"
        }
        _ => hint(source),
    }
}

fn bpf_hint(source: &io::Error) -> &'static str {
    match errno(source) {
        Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
            " (needs CAP_SYS_ADMIN, and a memory lock limit on kernels before 5.11)"
        }
        Some(rustix::io::Errno::NOSYS | rustix::io::Errno::INVAL) => {
            " (needs a kernel with CONFIG_CGROUP_BPF)"
        }
        _ => "",
    }
}

fn write_hint(path: &std::path::Path, value: &str, source: &io::Error) -> String {
    let file = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let controller = file.split('.').next().unwrap_or_default();
    match (errno(source), file) {
        (Some(rustix::io::Errno::NOENT), "memory.memsw.limit_in_bytes" | "memory.swap.max") => {
            " (this kernel does not account swap: boot with swapaccount=1, or leave the swap limit out)"
                .to_owned()
        }
        (Some(rustix::io::Errno::NOENT), _) => {
            format!(" (the kernel has no such file: the {controller} controller lacks it or is not enabled)")
        }
        (Some(rustix::io::Errno::BUSY), "memory.limit_in_bytes") => {
            " (more than that is in use and cannot be reclaimed: choose a higher limit)".to_owned()
        }
        (Some(rustix::io::Errno::INVAL), "memory.memsw.limit_in_bytes") => {
            " (the limit of memory and swap together cannot be below the memory limit)".to_owned()
        }
        (Some(rustix::io::Errno::INVAL), "cpu.cfs_quota_us" | "cpu.max") => {
            " (a quota is at least 1000 µs, a period 1000 to 1000000 µs, and a parent may allow less)"
                .to_owned()
        }
        (Some(rustix::io::Errno::INVAL | rustix::io::Errno::RANGE), "cpuset.cpus" | "cpuset.mems") => {
            format!(" (the parent does not have all of {value}: see its {file})")
        }
        (Some(rustix::io::Errno::NODEV), _) => " (no such device)".to_owned(),
        (Some(rustix::io::Errno::INVAL | rustix::io::Errno::RANGE), _) => {
            " (the kernel does not accept this value)".to_owned()
        }
        _ => hint(source).to_owned(),
    }
}
