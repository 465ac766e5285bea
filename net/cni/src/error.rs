//! What can go wrong when plugins are called.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;

use base::{Classified, ErrorClass};

use crate::failure::Failure;
use crate::list::InvalidList;
use crate::names::{InvalidName, NetworkName, PluginType};
use crate::version::Version;

/// A call of the runtime's side failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was done with it.
        operation: &'static str,
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A file is not a network's configuration.
    #[error("CNI configuration {}", path.display())]
    Config {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: InvalidList,
    },
    /// A kept result is damaged.
    #[error("CNI result {} is damaged; remove it and what it stood for", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// No configuration of that name.
    #[error("no CNI network {name:?} in {}: put its .conflist there", directory.display())]
    NoSuchNetwork {
        /// The name.
        name: String,
        /// Where it was looked for.
        directory: PathBuf,
    },
    /// A name is not one.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// A plugin is not installed.
    #[error("CNI plugin {kind} is in none of {}; install it there or name its directory", join(directories))]
    NoPlugin {
        /// Which.
        kind: PluginType,
        /// Where it was looked for.
        directories: Vec<PathBuf>,
    },
    /// A plugin does not speak the configuration's version.
    #[error(
        "CNI plugin {kind} does not support cniVersion {wanted} of network {network}: it has {}; write one of these",
        .has.join(", ")
    )]
    Version {
        /// Which.
        kind: PluginType,
        /// The network.
        network: NetworkName,
        /// The configuration's version.
        wanted: Version,
        /// The plugin's.
        has: Vec<String>,
    },
    /// A plugin could not be run.
    #[error("run CNI plugin {}", path.display())]
    Run {
        /// Its program.
        path: PathBuf,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A plugin said no.
    #[error("CNI plugin {kind} failed to {command} network {network}")]
    Refused {
        /// Which.
        kind: PluginType,
        /// What it was to do.
        command: &'static str,
        /// The network.
        network: NetworkName,
        /// What it said.
        #[source]
        failure: Box<Failure>,
    },
    /// A plugin failed without saying why.
    #[error(
        "CNI plugin {kind} failed to {command} network {network} without a reason: {status}{}",
        said(stderr)
    )]
    Speechless {
        /// Which.
        kind: PluginType,
        /// What it was to do.
        command: &'static str,
        /// The network.
        network: NetworkName,
        /// How it ended.
        status: ExitStatus,
        /// Its last words.
        stderr: String,
    },
    /// A plugin's answer is not one.
    #[error("CNI plugin {kind} did not answer {command} of network {network} with a result")]
    Answer {
        /// Which.
        kind: PluginType,
        /// What it was to do.
        command: &'static str,
        /// The network.
        network: NetworkName,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
    /// The version has no such call.
    #[error("network {network} has cniVersion {version}, which has no {command}")]
    NotInVersion {
        /// The network.
        network: NetworkName,
        /// Its version.
        version: Version,
        /// The call.
        command: &'static str,
    },
    /// The container is in the network already.
    #[error("container {container} has link {interface} of CNI network {network} already")]
    AlreadyAttached {
        /// The container.
        container: String,
        /// The link.
        interface: String,
        /// The network.
        network: NetworkName,
    },
    /// The container is not in the network.
    #[error("container {container} has no link {interface} of CNI network {network}")]
    NotAttached {
        /// The container.
        container: String,
        /// The link.
        interface: String,
        /// The network.
        network: NetworkName,
    },
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::File { source, .. } => ErrorClass::of_io(source),
            Self::Config { .. } | Self::Name(_) => ErrorClass::Invalid,
            Self::Damaged { .. } => ErrorClass::Corrupt,
            Self::NoSuchNetwork { .. } | Self::NotAttached { .. } => ErrorClass::NotFound,
            Self::NoPlugin { .. } | Self::Version { .. } | Self::NotInVersion { .. } => {
                ErrorClass::Unsupported
            }
            Self::Refused { failure, .. } => failure.code.class(),
            Self::AlreadyAttached { .. } => ErrorClass::Conflict,
            Self::Run { .. } | Self::Speechless { .. } | Self::Answer { .. } => ErrorClass::Internal,
        }
    }
}

fn join(directories: &[PathBuf]) -> String {
    let all: Vec<String> = directories.iter().map(|path| path.display().to_string()).collect();
    all.join(", ")
}

fn said(stderr: &str) -> String {
    if stderr.is_empty() { String::new() } else { format!("; it said: {stderr}") }
}
