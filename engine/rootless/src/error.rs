//! Why a user has no house.

use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// A house could not be made or entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A directory of state is somebody else's.
    #[error("{} belongs to user {owner}, not to you: set XDG_RUNTIME_DIR to a directory of yours", path.display())]
    NotOurs {
        /// Which.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
    },
    /// A file of ours.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// On which.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The kernel refuses the namespaces.
    #[error("make your user namespace{}", clone_hint(source))]
    Clone {
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The helper does not run.
    #[error("run {program}")]
    Helper {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The helper refuses.
    #[error(
        "{program} refuses the ids of {file}: {said}; the line `{user}:FIRST:COUNT` must be there, \
         and the helper must be set-user-id root"
    )]
    Refused {
        /// `newuidmap` or `newgidmap`.
        program: &'static str,
        /// Where it looks.
        file: &'static str,
        /// What it said.
        said: String,
        /// Who asks.
        user: String,
    },
    /// A step inside failed.
    #[error("set up your namespaces: {step}")]
    Inside {
        /// Which.
        step: String,
    },
    /// A step failed.
    #[error("{step}")]
    Step {
        /// Which.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The way out of the user's network.
    #[error(transparent)]
    Network {
        /// What is wrong.
        source: user_stack::Error,
    },
    /// The process that is the way out did not come up.
    #[error("start the process of your network: {said}")]
    NetworkProcess {
        /// What it said.
        said: String,
    },
    /// There is no way in.
    #[error("enter your user namespace, which process {keeper} holds{}", enter_hint(source))]
    Enter {
        /// The keeper.
        keeper: i32,
        /// Why.
        #[source]
        source: io::Error,
    },
}

impl Error {
    pub(crate) fn file(operation: &'static str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::File { operation, path, source }
    }

    pub(crate) fn step(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Step { step, source }
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::NotOurs { .. } | Self::Refused { .. } => ErrorClass::PermissionDenied,
            Self::Inside { .. } | Self::NetworkProcess { .. } => ErrorClass::Internal,
            Self::Network { source } => source.class(),
            Self::File { source, .. }
            | Self::Clone { source }
            | Self::Helper { source, .. }
            | Self::Step { source, .. }
            | Self::Enter { source, .. } => ErrorClass::of_io(source),
        }
    }
}

fn clone_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::PERM | rustix::io::Errno::ACCESS) => {
            " (the host forbids it to users: see the sysctls kernel.unprivileged_userns_clone and \
             kernel.apparmor_restrict_unprivileged_userns)"
        }
        Some(rustix::io::Errno::NOSPC | rustix::io::Errno::USERS) => {
            " (there are as many as the sysctl user.max_user_namespaces allows)"
        }
        _ => "",
    }
}

fn enter_hint(source: &io::Error) -> &'static str {
    match source.raw_os_error().map(rustix::io::Errno::from_raw_os_error) {
        Some(rustix::io::Errno::PERM) => " (are you in another user namespace yourself?)",
        _ => "",
    }
}
