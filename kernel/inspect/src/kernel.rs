//! The kernel under every process of the host: `uname(2)`.

use std::time::Duration;

use serde::Serialize;

use crate::error::{Error, Malformed};
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

/// How long the host has been up, to a hundredth of a second: `/proc/uptime`.
pub fn uptime(proc: &Proc) -> Result<Sourced<Duration>, Error> {
    let text = proc.text("uptime")?;
    let seconds = text.value.split_ascii_whitespace().next().and_then(|word| word.parse::<f64>().ok());
    let uptime = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    uptime.map(|uptime| Sourced::new(uptime, text.source.clone())).ok_or(Error::Malformed {
        path: text.source,
        at: Malformed { line: 1, what: "expected the seconds since boot" },
    })
}
