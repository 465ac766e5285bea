//! The kernel under every process of the host: `uname(2)`.

use serde::Serialize;

use crate::error::Error;
use crate::procfs::Proc;
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

/// When the host was booted, seconds since 1970: `btime` of `/proc/stat`.
pub fn boot_time(proc: &Proc) -> Result<Sourced<u64>, Error> {
    let text = proc.text("stat")?;
    let seconds = text.value.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
    Ok(Sourced::new(seconds.unwrap_or(0), text.source))
}
