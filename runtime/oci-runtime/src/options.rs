//! What callers hand in and get back.

use std::os::fd::OwnedFd;
use std::path::PathBuf;

use sys::seccomp::Filter;

/// Where the container's root filesystem comes from.
#[derive(Debug, Default)]
pub enum Rootfs {
    /// `root.path` of the bundle's `config.json`.
    #[default]
    Path,
    /// A detached mount (`fsmount(2)`, `open_tree(2)`): it is attached in the
    /// container's mount namespace only.
    Mount(OwnedFd),
}

/// The standard streams of a process without terminal.
#[derive(Debug, Default)]
pub enum Stdio {
    /// The caller's own descriptors 0, 1 and 2.
    #[default]
    Inherit,
    /// These.
    Fds {
        /// Descriptor 0.
        stdin: OwnedFd,
        /// Descriptor 1.
        stdout: OwnedFd,
        /// Descriptor 2.
        stderr: OwnedFd,
    },
}

/// A terminal's size in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConsoleSize {
    /// Width.
    pub columns: u16,
    /// Height.
    pub rows: u16,
}

/// How a container is created.
#[derive(Debug, Default)]
pub struct CreateOptions {
    /// The directory with `config.json`; absolute.
    pub bundle: PathBuf,
    /// The root filesystem.
    pub rootfs: Rootfs,
    /// Streams; ignored when `process.terminal` is set, then the pty's master is in
    /// [`Created::console`].
    pub stdio: Stdio,
    /// Size of the terminal; `process.consoleSize` otherwise.
    pub console_size: Option<ConsoleSize>,
    /// The terminal's output goes on to another one, which ends the lines itself.
    pub relayed: bool,
    /// Descriptors 3 to 2 + n of the caller are passed on.
    pub preserve_fds: u32,
    /// Moves the root instead of pivoting, for hosts that run from a ramdisk.
    pub no_pivot: bool,
    /// Joins the caller's session keyring instead of making one.
    pub no_new_keyring: bool,
    /// The seccomp filter, where it is made already; it is compiled from the spec's section otherwise.
    pub filter: Option<Filter>,
}

/// A process that the runtime has made.
#[derive(Debug)]
pub struct Created {
    /// Its id in the caller's PID namespace.
    pub pid: i32,
    /// Its descriptor. The caller is the parent and reaps it.
    pub pidfd: OwnedFd,
    /// Init's start time in ticks since boot (`/proc/PID/stat`, field 22); 0 for a further process.
    pub start_time: u64,
    /// The master of its terminal.
    pub console: Option<OwnedFd>,
    /// What could not be done as asked and was left out.
    pub warnings: Vec<String>,
}

/// How a further process is run in a container.
#[derive(Debug)]
pub struct ExecOptions {
    /// The process, complete: environment, capabilities, user as they shall be.
    pub process: oci_spec::runtime::Process,
    /// Streams, as in [`CreateOptions`].
    pub stdio: Stdio,
    /// Size of the terminal.
    pub console_size: Option<ConsoleSize>,
    /// As in [`CreateOptions`].
    pub relayed: bool,
    /// Descriptors 3 to 2 + n of the caller are passed on.
    pub preserve_fds: u32,
    /// Cgroups below the container's own: v1's controllers, or none for all, and the path.
    pub cgroups: Vec<(Vec<String>, String)>,
    /// Allows it in a paused container.
    pub ignore_paused: bool,
}
