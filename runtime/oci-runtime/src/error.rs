//! What can go wrong, with the object and the way out in the text.

use std::fmt;
use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass, InvalidContainerId};

use crate::hooks::HookError;
use crate::plan::SpecError;
use crate::state::ContainerStatus;

/// A failed operation of the runtime.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The state directory has no such container.
    #[error("container does not exist")]
    NotFound {
        /// Which.
        id: String,
    },
    /// The id is taken.
    #[error("container with given ID already exists: delete {id} first, or choose another id")]
    Exists {
        /// Which.
        id: String,
    },
    /// The id has a form that cannot be used.
    #[error(transparent)]
    Id(#[from] InvalidContainerId),
    /// The spec cannot be carried out.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A creation failed, and so did something when what it had made was unmade.
    #[error(transparent)]
    Unmade(Box<Unmade>),
    /// The seccomp policy cannot be compiled.
    #[error(transparent)]
    Seccomp(#[from] crate::seccomp::Error),
    /// The cgroup's path has a form that cannot be used.
    #[error(transparent)]
    CgroupPath(#[from] cgroup::PathError),
    /// The resources cannot be had.
    #[error(transparent)]
    Resources(#[from] cgroup::PlanError),
    /// A limit where there can be none.
    #[error(
        "rootless needs no limits + no cgrouppath when no permission is granted for cgroups: {limit} cannot be set; leave linux.resources out, or give a linux.cgroupsPath that is yours"
    )]
    LimitWithoutCgroup {
        /// The first one.
        limit: String,
    },
    /// The ids could not be mapped for a user.
    #[error("map the ids of the user namespace by {program}: {said}")]
    MapHelper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// What it said.
        said: String,
    },
    /// A cgroup operation failed.
    #[error(transparent)]
    Cgroup(#[from] cgroup::Error),
    /// A network device could not be moved.
    #[error(transparent)]
    Network(#[from] crate::network::NetworkError),
    /// Shares of cache or memory bandwidth could not be had.
    #[error(transparent)]
    Rdt(#[from] crate::rdt::RdtError),
    /// CRIU failed.
    #[error(transparent)]
    Criu(#[from] crate::criu::CriuError),
    /// A hook failed.
    #[error(transparent)]
    Hook(#[from] HookError),
    /// The bundle's root filesystem is missing.
    #[error(
        "the bundle has no root filesystem: {} does not exist; unpack an image there or correct root.path in config.json",
        path.display()
    )]
    NoRootfs {
        /// Where it should be.
        path: PathBuf,
    },
    /// The bundle has no configuration.
    #[error("JSON specification file config.json not found in {}: make one with `spec`", bundle.display())]
    NoConfig {
        /// The bundle.
        bundle: PathBuf,
    },
    /// A JSON file could not be read.
    #[error("{} is not valid", path.display())]
    Json {
        /// Which.
        path: PathBuf,
        /// Where it is wrong.
        #[source]
        source: serde_json::Error,
    },
    /// A word of the memory policy is not one of the specification's.
    #[error("invalid memory policy {what} {value:?}: linux.memoryPolicy takes the names of set_mempolicy(2)")]
    MemoryPolicy {
        /// `mode` or `flag`.
        what: &'static str,
        /// The word.
        value: String,
    },
    /// A file or directory could not be used.
    #[error("{what} {}", path.display())]
    Path {
        /// What was being done.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The host's mount has an attribute that a user namespace may not take away.
    #[error(
        "unable to start container process: error during container init: error mounting {:?} to rootfs at {:?}: cannot clear locked flags of the source: operation not permitted; leave the options out that clear them",
        origin.display().to_string(), destination.display().to_string()
    )]
    LockedMount {
        /// What is mounted.
        origin: PathBuf,
        /// Where.
        destination: PathBuf,
    },
    /// A system call failed.
    #[error("{what}")]
    System {
        /// What was being done.
        what: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Init could not set the container up or find its program.
    #[error("unable to start container process: {reason}")]
    Init {
        /// What it reported.
        reason: String,
        /// The error number, 0 if none.
        errno: i32,
    },
    /// Init died while the container was made.
    #[error(
        "unable to start container process: init ended without a word ({status}); see the kernel log, it may have been killed for memory"
    )]
    InitDied {
        /// How it ended.
        status: String,
    },
    /// The container is in a state that does not allow this.
    #[error("{}", state_text(operation, *status))]
    State {
        /// What was asked for.
        operation: &'static str,
        /// Where it is.
        status: ContainerStatus,
    },
    /// A container that is not stopped is only deleted by force.
    #[error("cannot delete container {id} that is not stopped: {}", status.as_str())]
    NotStopped {
        /// Which.
        id: String,
        /// Where it is.
        status: ContainerStatus,
    },
    /// There is nothing to limit it by.
    #[error("container {id} has no cgroup, so its resources cannot be changed: give it a linux.cgroupsPath")]
    NoCgroup {
        /// Which.
        id: String,
    },
    /// There is nothing to execute.
    #[error(
        "container {id} cannot be started: its config.json has no process; create it with the program to run as process.args"
    )]
    NoProcess {
        /// The container.
        id: String,
    },
    /// A signal found no process.
    #[error("container not running")]
    NotRunning,
    /// It did not die.
    #[error(
        "container {id} is still running {seconds} s after SIGKILL: a process of it is in an uninterruptible wait"
    )]
    StillRunning {
        /// Which.
        id: String,
        /// How long was waited.
        seconds: u64,
    },
}

/// Why a creation failed, and what else did after that.
#[derive(Debug)]
pub struct Unmade {
    /// The failure: what this says is what that says.
    pub error: Error,
    /// In words, for the log.
    pub warnings: Vec<String>,
}

impl fmt::Display for Unmade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.error.fmt(f)
    }
}

impl std::error::Error for Unmade {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.error.source()
    }
}

impl Error {
    /// With what went wrong after it.
    pub(crate) fn then(self, warnings: Vec<String>) -> Self {
        if warnings.is_empty() { self } else { Self::Unmade(Box::new(Unmade { error: self, warnings })) }
    }

    /// What failed first.
    pub fn first(&self) -> &Self {
        match self {
            Self::Unmade(unmade) => &unmade.error,
            error => error,
        }
    }

    pub(crate) fn path(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Path { what, path, source }
    }

    pub(crate) fn system(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        move |source| Self::System { what, source }
    }
}

/// The texts that callers of runtimes know.
fn state_text(operation: &str, status: ContainerStatus) -> String {
    match (operation, status) {
        ("start", ContainerStatus::Stopped) => "cannot start a container that has stopped".to_owned(),
        ("start", ContainerStatus::Running) => "cannot start an already running container".to_owned(),
        ("exec in", ContainerStatus::Paused) => {
            "cannot exec in a paused container (use --ignore-paused to override)".to_owned()
        }
        ("checkpoint", status) => format!("container cannot be checkpointed in {} state", status.as_str()),
        ("resume", _) => "container not paused".to_owned(),
        ("pause", _) => format!("container not running or created: {}", status.as_str()),
        (operation, status) => format!("cannot {operation} a {} container", status.as_str()),
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotFound { .. } | Self::NoRootfs { .. } | Self::NoConfig { .. } => ErrorClass::NotFound,
            Self::Exists { .. } => ErrorClass::AlreadyExists,
            Self::Id(_) | Self::Spec(_) | Self::Json { .. } | Self::MemoryPolicy { .. } => {
                ErrorClass::Invalid
            }
            Self::Unmade(unmade) => unmade.error.class(),
            Self::Seccomp(error) => error.class(),
            Self::CgroupPath(error) => error.class(),
            Self::Resources(error) => error.class(),
            Self::Cgroup(error) => error.class(),
            Self::Network(error) => error.class(),
            Self::Rdt(error) => error.class(),
            Self::Criu(error) => error.class(),
            Self::LimitWithoutCgroup { .. } => ErrorClass::PermissionDenied,
            Self::MapHelper { .. } | Self::Hook(_) | Self::InitDied { .. } => ErrorClass::Internal,
            Self::Path { source, .. } | Self::System { source, .. } => source.class(),
            Self::Init { errno: 0, .. } => ErrorClass::Invalid,
            Self::Init { errno, .. } => io::Error::from_raw_os_error(*errno).class(),
            Self::NoCgroup { .. }
            | Self::LockedMount { .. }
            | Self::State { .. }
            | Self::NotStopped { .. }
            | Self::NotRunning
            | Self::NoProcess { .. }
            | Self::StillRunning { .. } => ErrorClass::Conflict,
        }
    }
}
