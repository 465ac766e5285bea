//! Whose namespaces a container uses.

use serde::{Deserialize, Serialize};

use super::InvalidOption;

/// `--pid`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PidMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// `--ipc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IpcMode {
    /// Its own.
    #[default]
    Private,
    /// Its own, which others may join.
    Shareable,
    /// Its own, without `/dev/shm`.
    None,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// `--uts`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UtsMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
    /// Another container's.
    Container(String),
}

/// `--userns`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UserMode {
    /// The host's: root inside is root outside, less its capabilities.
    #[default]
    Host,
    /// Its own: ids from 0 inside are ids from `base` outside.
    Private {
        /// The host's id of root inside.
        base: u32,
        /// How many ids.
        size: u32,
    },
}

/// `--cgroupns`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CgroupMode {
    /// Its own.
    #[default]
    Private,
    /// The host's.
    Host,
}

/// `--network`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NetworkMode {
    /// The default bridge.
    #[default]
    Bridge,
    /// The host's.
    Host,
    /// Only a loopback interface.
    None,
    /// The pods' network of a cluster.
    Pod,
    /// A network that a user has made.
    Named(String),
    /// Another container's.
    Container(String),
}

/// `container:NAME`.
fn container<'t>(option: &'static str, text: &'t str) -> Result<Option<&'t str>, InvalidOption> {
    match text.strip_prefix("container:") {
        Some("") => Err(InvalidOption::new(option, text, "a container's name is missing after container:")),
        other => Ok(other),
    }
}

impl PidMode {
    /// Reads docker's form.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        match (text, container("--pid", text)?) {
            (_, Some(name)) => Ok(Self::Container(name.to_owned())),
            ("" | "private", _) => Ok(Self::Private),
            ("host", _) => Ok(Self::Host),
            _ => Err(InvalidOption::new(
                "--pid",
                text,
                "invalid PID mode: use private, host or container:NAME",
            )),
        }
    }
}

impl IpcMode {
    /// Reads docker's form.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        match (text, container("--ipc", text)?) {
            (_, Some(name)) => Ok(Self::Container(name.to_owned())),
            ("" | "private", _) => Ok(Self::Private),
            ("shareable", _) => Ok(Self::Shareable),
            ("none", _) => Ok(Self::None),
            ("host", _) => Ok(Self::Host),
            _ => {
                let why = "invalid IPC mode: use private, shareable, none, host or container:NAME";
                Err(InvalidOption::new("--ipc", text, why))
            }
        }
    }
}

impl UtsMode {
    /// Reads docker's form.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(InvalidOption::new("--uts", text, "invalid UTS mode: use private or host")),
        }
    }
}

impl CgroupMode {
    /// Reads docker's form.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "" | "private" => Ok(Self::Private),
            "host" => Ok(Self::Host),
            _ => Err(InvalidOption::new("--cgroupns", text, "invalid CGROUP mode: use private or host")),
        }
    }
}

impl UserMode {
    /// Where private ids begin unless said otherwise: above all that people and services use.
    pub const BASE_DEFAULT: u32 = 1 << 20;
    /// As many ids as a system needs.
    pub const SIZE_DEFAULT: u32 = 1 << 16;

    /// Reads `host` or `private[:BASE[:SIZE]]`.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        let wrong = |why| InvalidOption::new("--userns", text, why);
        let usage = "invalid USER mode: use host, or private[:BASE[:SIZE]] as in private:100000:65536";
        let mut parts = text.split(':');
        match parts.next() {
            Some("" | "host") if parts.next().is_none() => return Ok(Self::Host),
            Some("private" | "auto") => {}
            _ => return Err(wrong(usage)),
        }
        let mut number = |default: u32| match parts.next() {
            None => Ok(default),
            Some(part) => part.parse::<u32>().map_err(|_| wrong(usage)),
        };
        let base = number(Self::BASE_DEFAULT)?;
        let size = number(Self::SIZE_DEFAULT)?;
        if parts.next().is_some() {
            return Err(wrong(usage));
        }
        if base == 0 || size == 0 {
            return Err(wrong("BASE and SIZE must be greater than 0; host means the host's ids"));
        }
        // Ids are used as signed numbers in places (CVE-2024-40635); the last one is "none".
        if base.checked_add(size).is_none_or(|end| end > i32::MAX as u32) {
            return Err(wrong("BASE + SIZE must stay below 2147483648"));
        }
        Ok(Self::Private { base, size })
    }
}

impl NetworkMode {
    /// Reads docker's form.
    pub fn parse(text: &str) -> Result<Self, InvalidOption> {
        match (text, container("--network", text)?) {
            (_, Some(name)) => Ok(Self::Container(name.to_owned())),
            ("" | "default" | "bridge", _) => Ok(Self::Bridge),
            ("host", _) => Ok(Self::Host),
            ("none", _) => Ok(Self::None),
            (name, _) => Ok(Self::Named(name.to_owned())),
        }
    }

    /// As docker's `HostConfig.NetworkMode` has it.
    pub fn docker_name(&self) -> String {
        match self {
            Self::Bridge => "bridge".to_owned(),
            Self::Host => "host".to_owned(),
            Self::None => "none".to_owned(),
            Self::Pod => "pod".to_owned(),
            Self::Named(name) => name.clone(),
            Self::Container(name) => format!("container:{name}"),
        }
    }

    /// Whether the container is in networks of this host, which it may leave and join.
    pub fn is_bridged(&self) -> bool {
        matches!(self, Self::Bridge | Self::Named(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_modes() {
        assert_eq!(PidMode::parse("container:web"), Ok(PidMode::Container("web".to_owned())));
        assert_eq!(IpcMode::parse("shareable"), Ok(IpcMode::Shareable));
        assert_eq!(NetworkMode::parse("default"), Ok(NetworkMode::Bridge));
        assert_eq!(UtsMode::parse("host"), Ok(UtsMode::Host));
        assert_eq!(UserMode::parse("private:100000"), Ok(UserMode::Private { base: 100_000, size: 65536 }));
        assert_eq!(UserMode::parse("host"), Ok(UserMode::Host));
        assert!(PidMode::parse("container:").is_err());
        for text in ["private:0", "private:1:0", "private:4294967295", "private:1:2:3", "remap", "host:1"] {
            assert!(UserMode::parse(text).is_err(), "{text}");
        }
        let says = |error: InvalidOption, why: &str| assert!(error.to_string().contains(why), "{error}");
        says(PidMode::parse("x").unwrap_err(), "invalid PID mode");
        says(IpcMode::parse("x").unwrap_err(), "invalid IPC mode");
        says(UtsMode::parse("container:x").unwrap_err(), "invalid UTS mode");
        says(UserMode::parse("container:x").unwrap_err(), "invalid USER mode");
        says(CgroupMode::parse("container:x").unwrap_err(), "invalid CGROUP mode");
        assert_eq!(NetworkMode::parse("web"), Ok(NetworkMode::Named("web".to_owned())));
    }
}
