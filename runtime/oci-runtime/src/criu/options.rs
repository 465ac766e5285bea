//! What callers decide about a checkpoint and a restore.

use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// The program, and the environment in which it looks for those that it calls itself.
#[derive(Clone, Debug)]
pub struct CriuProgram {
    /// Its file.
    pub path: PathBuf,
    /// Its environment: `NAME=value`.
    pub env: Vec<CString>,
}

/// Which cgroups CRIU saves and makes, beside those that the runtime makes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CgroupMode {
    /// What CRIU takes for the default, now soft.
    #[default]
    Default,
    /// Makes what is missing, and sets properties of what it has made.
    Soft,
    /// Makes what is missing, and sets all properties.
    Full,
    /// Nothing may be there before.
    Strict,
    /// None.
    Ignore,
}

impl CgroupMode {
    /// The mode of this name.
    pub fn parse(name: &str) -> Option<Self> {
        Some(match name {
            "" => Self::Default,
            "soft" => Self::Soft,
            "full" => Self::Full,
            "strict" => Self::Strict,
            "ignore" => Self::Ignore,
            _ => return None,
        })
    }

    /// Its number in `criu_cg_mode`.
    pub(super) fn number(self) -> u64 {
        match self {
            Self::Ignore => 0,
            Self::Soft => 3,
            Self::Full => 4,
            Self::Strict => 5,
            Self::Default => 6,
        }
    }
}

/// What both have.
#[derive(Clone, Debug)]
pub struct ImageOptions {
    /// Which CRIU.
    pub criu: CriuProgram,
    /// The directory of the images.
    pub images: PathBuf,
    /// The directory of logs and statistics, when it is another.
    pub work: Option<PathBuf>,
    /// Open TCP connections are kept.
    pub tcp_established: bool,
    /// Unix sockets may be connected to outside.
    pub ext_unix_sk: bool,
    /// The session and terminal may be another's.
    pub shell_job: bool,
    /// File locks are kept.
    pub file_locks: bool,
    /// Memory that a later dump has is dropped from an earlier one.
    pub auto_dedup: bool,
    /// Memory is brought when it is touched.
    pub lazy_pages: bool,
    /// Which cgroups are saved.
    pub cgroups: CgroupMode,
}

/// Where memory is sent, or served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageServer {
    /// Its address.
    pub address: String,
    /// Its port.
    pub port: u16,
}

/// How a container is saved.
#[derive(Debug)]
pub struct CheckpointOptions {
    /// Where, and with what.
    pub images: ImageOptions,
    /// An earlier dump that this one adds to, relative to the images.
    pub parent: Option<PathBuf>,
    /// The container goes on.
    pub leave_running: bool,
    /// Memory only, and the container goes on.
    pub pre_dump: bool,
    /// Connections that are not established yet are left out.
    pub tcp_skip_in_flight: bool,
    /// Files that were unlinked may be linked again.
    pub link_remap: bool,
    /// Where memory is sent.
    pub page_server: Option<PageServer>,
    /// Gets a zero byte when memory is served.
    pub status: Option<OwnedFd>,
}

/// How a container is brought back.
#[derive(Debug)]
pub struct RestoreOptions {
    /// From where, and with what.
    pub images: ImageOptions,
    /// The directory with `config.json`; absolute.
    pub bundle: PathBuf,
    /// Its terminal's output goes on to another one, which ends the lines itself.
    pub relayed: bool,
    /// Another profile of AppArmor or SELinux: `TYPE:NAME`.
    pub lsm_profile: Option<String>,
    /// Another label of SELinux for its mounts.
    pub lsm_mount_context: Option<String>,
}
