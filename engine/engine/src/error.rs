//! What can go wrong in the engine, and what the caller may do about it.

use std::io;
use std::path::{Path, PathBuf};

use base::{Classified, ErrorClass};

use crate::container::{InvalidName, InvalidTransition, StoreError};
use crate::request::InvalidOption;
use crate::spec::InvalidUser;

/// An operation of the engine failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of ours or of the user's could not be used.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: io::Error,
    },
    /// The records.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request is wrong.
    #[error(transparent)]
    Option(#[from] InvalidOption),
    /// The name is none.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A container is to be renamed to nothing.
    #[error("Neither old nor new names may be empty: give the container's new name")]
    NoName,
    /// A container is to be renamed to what it is called.
    #[error("Renaming a container with the same name as its current name: give another name than {name}")]
    SameName {
        /// The name.
        name: String,
    },
    /// The user is not in the image.
    #[error(transparent)]
    User(#[from] InvalidUser),
    /// The container's state does not allow it.
    #[error("container {name}")]
    Transition {
        /// The container.
        name: String,
        /// Why not.
        #[source]
        source: InvalidTransition,
    },
    /// It only works on a running container.
    #[error("container {name} is not running; `strake start {name}` starts it")]
    NotRunning {
        /// The container.
        name: String,
    },
    /// It does not work on a frozen container.
    #[error("container {name} is paused; `strake unpause {name}` lets it go on")]
    Paused {
        /// The container.
        name: String,
    },
    /// The source of a bind mount is missing.
    #[error("invalid mount config for type \"bind\": bind source path does not exist: {}, which was to be mounted on {}; make it, or use -v, which makes it", path.display(), target.display())]
    NoMountSource {
        /// The source.
        path: PathBuf,
        /// The target.
        target: PathBuf,
    },
    /// A part of an image that is none.
    #[error("image {image} has no {}: name a path that is in it", path.display())]
    ImagePart {
        /// The image.
        image: String,
        /// The path.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A volume is used.
    #[error("remove {name}: volume is in use - [{ids}]; remove container {container} first")]
    VolumeInUse {
        /// The volume.
        name: String,
        /// Who uses it.
        container: String,
        /// The ids of all who do.
        ids: String,
    },
    /// A part of a volume that is none.
    #[error("failed to access volume subpath: volume {name} has no {}; make it first, or mount the whole volume", path.display())]
    VolumePart {
        /// The volume.
        name: String,
        /// The path in it.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// No such volume.
    #[error("get {name}: no such volume; `strake volume ls` lists them")]
    NoSuchVolume {
        /// What was asked for.
        name: String,
    },
    /// The container's writable layer.
    #[error("the file system of container {name}")]
    Snapshot {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: snapshot::Error,
    },
    /// Its network.
    #[error("the network of container {name}")]
    Network {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<attach::Error>,
    },
    /// Its published ports, for an ordinary user.
    #[error("the published ports of container {name}")]
    Outside {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: user_stack::Error,
    },
    /// A network.
    #[error(transparent)]
    NetworkItself(Box<attach::Error>),
    /// The network of pods is not known yet.
    #[error(
        "the network of pods is not set up, so container {name} can have no address there; wait until the node has its range"
    )]
    NoPodNetwork {
        /// The container.
        name: String,
    },
    /// Its control group.
    #[error("the control group of container {name}")]
    Cgroup {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: cgroup::Error,
    },
    /// Limits that its control group cannot have.
    #[error("the limits of container {name}")]
    CgroupPlan {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: cgroup::PlanError,
    },
    /// The name of its control group.
    #[error("the control group of container {name}")]
    CgroupPath {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: cgroup::PathError,
    },
    /// Nobody answers on a port in its network.
    #[error("connect to port {port} in the network of container {name}")]
    Dial {
        /// The container.
        name: String,
        /// The port.
        port: u16,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// Its supervisor could not be started, or could not make it.
    #[error("start container {name}")]
    Launch {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: shim::LaunchError,
    },
    /// Its supervisor refused or was lost.
    #[error("container {name}")]
    Shim {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: shim::ClientError,
    },
    /// The OCI runtime cannot remove what it keeps of it.
    #[error("remove what the runtime keeps of container {name}")]
    Runtime {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: Box<oci_runtime::Error>,
    },
    /// How it ended cannot be read.
    #[error("container {name}")]
    Exit {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: shim::ExitRecordError,
    },
    /// Its log cannot be read.
    #[error("the log of container {name}")]
    Log {
        /// The container.
        name: String,
        /// What is wrong.
        #[source]
        source: shim::LogReadError,
    },
    /// It keeps no log.
    #[error("container {name} keeps no log: it was made with --log-driver none")]
    NoLog {
        /// The container.
        name: String,
    },
    /// Files of a container.
    #[error(transparent)]
    Files(#[from] crate::files::FilesError),
    /// Images.
    #[error(transparent)]
    Image(#[from] crate::images::Error),
    /// The built-in image.
    #[error(transparent)]
    ToolsImage(#[from] crate::tools_image::ToolsImageError),
    /// There is nothing to do it by.
    #[error(
        "cannot {operation} container {name}: it has no control group, because those of this host are root's; \
         root's containers have one"
    )]
    NoControlGroup {
        /// What was asked for.
        operation: &'static str,
        /// The container.
        name: String,
    },
    /// This process does not know where the shim is.
    #[error("containers cannot be started here: the engine was opened without the shim's executable")]
    NoCompanions,
    /// The shim's executable.
    #[error("find the supervisor strake-shim; `cargo xtask install` lays it beside strake")]
    Companion(#[source] io::Error),
    /// Randomness for an id.
    #[error("get random numbers for a container's id")]
    Random(#[source] io::Error),
    /// The disk is full.
    #[error("no space left for {}: free some, for example with `strake system df` and `strake image prune`", path.display())]
    DiskFull {
        /// Where.
        path: PathBuf,
        /// What the kernel said.
        errno: io::Error,
    },
}

impl Error {
    /// Wraps the error of an operation on a file.
    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |errno| match errno.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::DiskFull { path: path.to_owned(), errno }
            }
            _ => Self::File { operation, path: path.to_owned(), errno },
        }
    }

    pub(crate) fn snapshot(name: &str) -> impl FnOnce(snapshot::Error) -> Self {
        move |source| Self::Snapshot { name: name.to_owned(), source }
    }

    pub(crate) fn cgroup(name: &str) -> impl FnOnce(cgroup::Error) -> Self {
        move |source| Self::Cgroup { name: name.to_owned(), source }
    }

    pub(crate) fn network(name: &str) -> impl FnOnce(attach::Error) -> Self {
        move |source| Self::Network { name: name.to_owned(), source: Box::new(source) }
    }

    /// What is wrong with a network, whoever is in it.
    pub fn of_network(error: attach::Error) -> Self {
        Self::NetworkItself(Box::new(error))
    }

    pub(crate) fn shim(name: &str) -> impl FnOnce(shim::ClientError) -> Self {
        move |source| Self::Shim { name: name.to_owned(), source }
    }

    pub(crate) fn runtime(name: &str) -> impl FnOnce(oci_runtime::Error) -> Self {
        move |source| Self::Runtime { name: name.to_owned(), source: Box::new(source) }
    }

    pub(crate) fn transition(name: &str) -> impl FnOnce(InvalidTransition) -> Self {
        move |source| Self::Transition { name: name.to_owned(), source }
    }

    /// Docker's exit status for a container that could not be run: 126 or 127 when its
    /// command was at fault, otherwise 125.
    pub fn run_status(&self) -> u8 {
        match self {
            Self::Launch { source, .. } => source.exit_code(),
            Self::Shim { source, .. } => source.exit_code().unwrap_or(125),
            _ => 125,
        }
    }

    /// Whether it says that there is no such object.
    pub fn is_not_found(&self) -> bool {
        self.class() == ErrorClass::NotFound
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File { errno, .. } | Self::Companion(errno) | Self::Random(errno) => {
                ErrorClass::of_io(errno)
            }
            Self::Store(source) => source.class(),
            Self::Option(_)
            | Self::Name(_)
            | Self::NoName
            | Self::SameName { .. }
            | Self::User(_)
            | Self::NoMountSource { .. }
            | Self::VolumePart { .. }
            | Self::ImagePart { .. } => ErrorClass::Invalid,
            Self::Transition { .. }
            | Self::NotRunning { .. }
            | Self::Paused { .. }
            | Self::VolumeInUse { .. } => ErrorClass::Conflict,
            Self::NoSuchVolume { .. } | Self::NoLog { .. } => ErrorClass::NotFound,
            Self::Snapshot { source, .. } => source.class(),
            Self::Network { source, .. } | Self::NetworkItself(source) => source.class(),
            Self::Outside { source, .. } => source.class(),
            Self::NoPodNetwork { .. } => ErrorClass::Unavailable,
            Self::Cgroup { source, .. } => source.class(),
            Self::CgroupPlan { source, .. } => source.class(),
            Self::CgroupPath { source, .. } => source.class(),
            Self::Dial { source, .. } => ErrorClass::of_io(source),
            Self::Launch { source, .. } => source.class(),
            Self::Shim { source, .. } => source.class(),
            Self::Runtime { source, .. } => source.class(),
            Self::Exit { source, .. } => source.class(),
            Self::Log { source, .. } => source.class(),
            Self::Image(source) => source.class(),
            Self::Files(source) => source.class(),
            Self::NoCompanions | Self::ToolsImage(_) | Self::NoControlGroup { .. } => ErrorClass::Unsupported,
            Self::DiskFull { .. } => ErrorClass::ResourceExhausted,
        }
    }
}

/// The error and what caused it, joined with `: `; a cause that was said is not repeated.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        let said = cause.to_string();
        if !text.ends_with(&said) {
            text.push_str(": ");
            text.push_str(&said);
        }
        next = cause.source();
    }
    text
}
