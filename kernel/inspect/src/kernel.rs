//! The kernel under every process of the host: `uname(2)`.

use serde::Serialize;

use crate::error::Error;
use crate::procfs::{Proc, Process};
use crate::rootfs::{OsRelease, beneath};
use crate::sourced::Sourced;

/// Which kernel runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Kernel {
    /// `6.1.0-18-amd64`.
    pub release: String,
    /// Build number and date.
    pub version: String,
    /// `x86_64`.
    pub machine: String,
}

/// The running kernel.
pub fn running() -> Sourced<Kernel> {
    let name = rustix::system::uname();
    let text = |field: &std::ffi::CStr| field.to_string_lossy().into_owned();
    let kernel = Kernel {
        release: text(name.release()),
        version: text(name.version()),
        machine: text(name.machine()),
    };
    Sourced::new(kernel, "uname(2)")
}

/// The host's own distribution: `os-release` below the root of PID 1.
pub fn host_os(proc: &Proc) -> Result<Option<Sourced<OsRelease>>, Error> {
    proc.process(1)?.os_release()
}

/// Host name as the process's UTS namespace has it. Read through its own procfs
/// entry, so it is only known when it is the reader's namespace or the file exists.
pub fn hostname_file(process: &Process) -> Result<Option<Sourced<String>>, Error> {
    let text = beneath(process, "etc/hostname")?;
    Ok(text.map(|found| found.map(|name| name.trim().to_owned())))
}

/// When the host was booted, seconds since 1970: `btime` of `/proc/stat`.
pub fn boot_time(proc: &Proc) -> Result<Sourced<u64>, Error> {
    let text = proc.text("stat")?;
    let seconds = text.value.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    Ok(Sourced::new(seconds.unwrap_or(0), text.source))
}
