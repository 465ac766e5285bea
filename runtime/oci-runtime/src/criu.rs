//! `checkpoint` and `restore` by CRIU (<https://criu.org>), which is a program of its own.
//!
//! ```text
//! request ──▶ criu swrk FD ──▶ images, log
//!    ▲             │ notify: hooks, the terminal, the new process id
//!    └── answer ◀──┘
//! ```
//!
//! One CRIU is started for each request and spoken to over a socket in messages of its
//! `rpc.proto`. What belongs to the host, as the sources of bind mounts, is *external* to
//! it: named in the images and given anew at the restore.

mod checkpoint;
mod failure;
mod lines;
mod message;
mod mounts;
mod options;
mod restore;
mod session;
mod version;
mod wire;

pub use failure::CriuError;
pub use options::{CgroupMode, CheckpointOptions, CriuProgram, ImageOptions, PageServer, RestoreOptions};

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use oci_spec::runtime::Spec;
use rustix::fs::{Mode, OFlags};

use crate::error::Error;
use message::Message;

/// The open directories of a request, and where its log is.
struct Directories {
    images: OwnedFd,
    work: Option<OwnedFd>,
    log: PathBuf,
}

impl Directories {
    /// The images' must exist.
    fn open(options: &ImageOptions, log: &str) -> Result<Self, Error> {
        let images = open_dir(&options.images)?;
        let work = match &options.work {
            Some(path) => {
                make_dir(path)?;
                Some(open_dir(path)?)
            }
            None => None,
        };
        let log = options.work.as_ref().unwrap_or(&options.images).join(log);
        Ok(Self { images, work, log })
    }
}

fn make_dir(path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::DirBuilderExt;
    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
    made.map_err(Error::path("make the directory", path))
}

fn open_dir(path: &Path) -> Result<OwnedFd, Error> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::open(path, flags, Mode::empty())
        .map_err(|errno| Error::path("open the directory", path)(errno.into()))
}

/// The options that both requests have.
fn common(options: &ImageOptions, spec: &Spec, directories: &Directories, log: &str) -> Message {
    use std::os::fd::AsRawFd;
    // CRIU opens them by number in our `/proc/PID/fd`.
    let number = |fd: &OwnedFd| u64::from(fd.as_raw_fd().unsigned_abs());
    let mut message = Message::new()
        .number(message::IMAGES_DIR_FD, number(&directories.images))
        .number(message::LOG_LEVEL, LOG_LEVEL)
        .text(message::LOG_FILE, log)
        .flag(message::NOTIFY_SCRIPTS, true)
        // What old versions know of `MANAGE_CGROUPS_MODE`.
        .flag(message::MANAGE_CGROUPS, true)
        .number(message::MANAGE_CGROUPS_MODE, options.cgroups.number())
        .flag(message::ORPHAN_PTS_MASTER, true)
        .number(message::EMPTY_NS, sys::Namespace::Net.flag())
        .flag(message::SHELL_JOB, options.shell_job)
        .flag(message::TCP_ESTABLISHED, options.tcp_established)
        .flag(message::EXT_UNIX_SK, options.ext_unix_sk)
        .flag(message::FILE_LOCKS, options.file_locks)
        .flag(message::AUTO_DEDUP, options.auto_dedup)
        .flag(message::LAZY_PAGES, options.lazy_pages);
    if let Some(work) = &directories.work {
        message = message.number(message::WORK_DIR_FD, number(work));
    }
    match spec.annotations().as_ref().and_then(|annotations| annotations.get(CONFIG_ANNOTATION)) {
        // Named empty: no configuration at all.
        Some(file) if file.is_empty() => message,
        Some(file) => message.text(message::CONFIG_FILE, file),
        None => message.text(message::CONFIG_FILE, CONFIG_FILE),
    }
}

/// An annotation that names a configuration of CRIU for this container.
pub(crate) const CONFIG_ANNOTATION: &str = "org.criu.config";

/// The configuration otherwise: where users of runc have it. It need not exist.
const CONFIG_FILE: &str = "/etc/criu/runc.conf";

/// Debug: a failure is seldom understood with less.
const LOG_LEVEL: u64 = 4;

/// Where the images say what the standard streams were.
const DESCRIPTORS: &str = "descriptors.json";
