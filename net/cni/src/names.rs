//! The names of the protocol: networks, containers, interfaces, plugins.
//!
//! They become file names, environment variables and names of links, so a value of one of these
//! types is proof that it can.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The longest name of a link: `IFNAMSIZ` less its end.
const INTERFACE_BYTES_MAX: usize = 15;

/// A name is not one. The texts are those of the reference implementation: callers compare them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// No network name.
    #[error("missing network name")]
    NoNetwork,
    /// Not a network's name.
    #[error("invalid characters found in network name {raw:?}")]
    Network {
        /// What was given.
        raw: String,
    },
    /// No container id.
    #[error("missing containerID")]
    NoContainer,
    /// Not a container's id.
    #[error("invalid characters in containerID {raw:?}")]
    Container {
        /// What was given.
        raw: String,
    },
    /// No interface name.
    #[error("interface name is empty")]
    NoInterface,
    /// An interface name that the kernel cannot hold.
    #[error("interface name is too long")]
    LongInterface,
    /// `.` or `..`.
    #[error("interface name is . or ..")]
    DotInterface,
    /// A character that no link's name has.
    #[error("interface name contains / or : or whitespace characters")]
    Interface,
    /// Not the name of a program.
    #[error("plugin type {raw:?} is not the name of a program: it is empty or has a `/`")]
    Plugin {
        /// What was given.
        raw: String,
    },
}

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidName;
            fn try_from(raw: String) -> Result<Self, InvalidName> {
                Self::parse(&raw)
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0
            }
        }
    };
}

name! {
    /// A network's name: a letter or digit, then letters, digits, `_`, `.`, `-`. Section 1,
    /// "Network configuration format".
    NetworkName
}
name! {
    /// A container's id: as a network's name. Section 2, "Parameters".
    ContainerId
}
name! {
    /// A link's name in the container.
    InterfaceName
}
name! {
    /// The name of a plugin's program.
    PluginType
}

impl NetworkName {
    /// Takes `raw` if it is one.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        match raw {
            "" => Err(InvalidName::NoNetwork),
            _ if is_identifier(raw) => Ok(Self(raw.to_owned())),
            _ => Err(InvalidName::Network { raw: raw.to_owned() }),
        }
    }
}

impl ContainerId {
    /// Takes `raw` if it is one.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        match raw {
            "" => Err(InvalidName::NoContainer),
            _ if is_identifier(raw) => Ok(Self(raw.to_owned())),
            _ => Err(InvalidName::Container { raw: raw.to_owned() }),
        }
    }
}

impl InterfaceName {
    /// Takes `raw` if it is one.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        let refused = |c: char| c == '/' || c == ':' || c.is_whitespace();
        match raw {
            "" => Err(InvalidName::NoInterface),
            _ if raw.len() > INTERFACE_BYTES_MAX => Err(InvalidName::LongInterface),
            "." | ".." => Err(InvalidName::DotInterface),
            _ if raw.contains(refused) || raw.contains('\0') => Err(InvalidName::Interface),
            _ => Ok(Self(raw.to_owned())),
        }
    }
}

impl PluginType {
    /// Takes `raw` if it is one.
    pub fn parse(raw: &str) -> Result<Self, InvalidName> {
        if raw.is_empty() || raw == "." || raw == ".." || raw.contains(['/', '\0']) {
            return Err(InvalidName::Plugin { raw: raw.to_owned() });
        }
        Ok(Self(raw.to_owned()))
    }
}

fn is_identifier(raw: &str) -> bool {
    let tail = |b: u8| b.is_ascii_alphanumeric() || b"_.-".contains(&b);
    raw.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric()) && raw.bytes().all(tail)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_what_the_reference_takes() {
        for (raw, valid) in
            [("a", true), ("net-1_x.y", true), ("-a", false), ("a/b", false), ("a b", false), ("", false)]
        {
            assert_eq!(NetworkName::parse(raw).is_ok(), valid, "{raw:?}");
            assert_eq!(ContainerId::parse(raw).is_ok(), valid, "{raw:?}");
        }
        for (raw, said) in [
            ("", "interface name is empty"),
            ("0123456789abcdef", "interface name is too long"),
            ("..", "interface name is . or .."),
            ("a:b", "interface name contains / or : or whitespace characters"),
            ("a b", "interface name contains / or : or whitespace characters"),
            ("et/h", "interface name contains / or : or whitespace characters"),
        ] {
            assert_eq!(InterfaceName::parse(raw).expect_err(raw).to_string(), said);
        }
        assert!(InterfaceName::parse("eth0").is_ok());
        for (raw, valid) in
            [("bridge", true), ("host-local", true), ("", false), ("../sh", false), ("..", false)]
        {
            assert_eq!(PluginType::parse(raw).is_ok(), valid, "{raw:?}");
        }
    }
}
