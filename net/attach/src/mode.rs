//! The `--network` of a container.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which network a container is in.
#[derive(Clone, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum NetworkMode {
    /// Its own namespace, attached to the default bridge.
    #[default]
    Bridge,
    /// The host's network namespace.
    Host,
    /// Its own namespace with nothing but loopback.
    None,
    /// The network namespace of another container, by name or id.
    Container(String),
    /// Its own namespace, attached to the network of this name.
    Named(String),
}

/// The text names no network.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("network {raw:?} is not valid: use bridge, host, none, container:NAME or the name of a network")]
pub struct InvalidNetworkMode {
    /// What was given.
    pub raw: String,
}

impl NetworkMode {
    /// Whether the container gets a network namespace of its own.
    pub fn is_private(&self) -> bool {
        matches!(self, Self::Bridge | Self::None | Self::Named(_))
    }

    /// The name of the network to attach to, when there is one.
    pub fn network(&self) -> Option<&str> {
        match self {
            Self::Bridge => Some(crate::DEFAULT_NETWORK),
            Self::Named(name) => Some(name),
            Self::Host | Self::None | Self::Container(_) => None,
        }
    }
}

/// Whether `name` can be a network's: it becomes a file name.
pub(crate) fn is_name(name: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    let head = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
    head && name.len() <= 128 && name.bytes().all(allowed)
}

impl FromStr for NetworkMode {
    type Err = InvalidNetworkMode;
    fn from_str(raw: &str) -> Result<Self, InvalidNetworkMode> {
        Ok(match raw {
            "bridge" | "default" => Self::Bridge,
            "host" => Self::Host,
            "none" => Self::None,
            _ => match raw.strip_prefix("container:") {
                Some(container) if !container.is_empty() => Self::Container(container.to_owned()),
                None if is_name(raw) => Self::Named(raw.to_owned()),
                _ => return Err(InvalidNetworkMode { raw: raw.to_owned() }),
            },
        })
    }
}

impl fmt::Display for NetworkMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bridge => f.write_str("bridge"),
            Self::Host => f.write_str("host"),
            Self::None => f.write_str("none"),
            Self::Container(container) => write!(f, "container:{container}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

impl TryFrom<String> for NetworkMode {
    type Error = InvalidNetworkMode;
    fn try_from(raw: String) -> Result<Self, InvalidNetworkMode> {
        raw.parse()
    }
}

impl From<NetworkMode> for String {
    fn from(mode: NetworkMode) -> Self {
        mode.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_docker_reads() {
        for (raw, mode) in [
            ("bridge", NetworkMode::Bridge),
            ("default", NetworkMode::Bridge),
            ("host", NetworkMode::Host),
            ("none", NetworkMode::None),
            ("container:web", NetworkMode::Container("web".to_owned())),
            ("backend", NetworkMode::Named("backend".to_owned())),
        ] {
            assert_eq!(raw.parse(), Ok(mode), "{raw}");
        }
        for raw in ["", "container:", "../x", "a b", ".hidden"] {
            assert!(raw.parse::<NetworkMode>().is_err(), "{raw}");
        }
    }
}
