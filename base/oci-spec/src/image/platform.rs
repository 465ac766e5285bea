//! Platforms as `os/architecture[/variant]`, normalised as containerd does.

use std::fmt;

use serde::{Deserialize, Serialize};

/// OCI image-spec `image-index.md`, "platform".
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// CPU architecture in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// Operating system: `linux`.
    pub os: String,
    /// Variant of the CPU: `v8`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// Version of the operating system (Windows images).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system (Windows images).
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// The text is not a platform.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("platform {raw:?} is not valid: use os/architecture, as in linux/amd64")]
pub struct InvalidPlatform {
    /// What was given.
    pub raw: String,
}

impl Platform {
    /// The platform that this program was built for.
    pub fn host() -> Self {
        let (architecture, variant) = match std::env::consts::ARCH {
            "x86_64" => ("amd64", None),
            "aarch64" => ("arm64", None),
            "x86" => ("386", None),
            "arm" => ("arm", Some("v7")),
            "powerpc64" => ("ppc64le", None),
            other => (other, None),
        };
        Self::new("linux", architecture, variant)
    }

    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// Reads `os/architecture[/variant]`, or one of the two alone if it is known.
    pub fn parse(raw: &str) -> Result<Self, InvalidPlatform> {
        let parts: Vec<&str> = raw.split('/').collect();
        let well_formed = |part: &&str| {
            part.starts_with(|c: char| c.is_ascii_alphanumeric())
                && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b))
        };
        if parts.len() > 3 || !parts.iter().all(well_formed) {
            return Err(InvalidPlatform { raw: raw.to_owned() });
        }
        let host = Self::host();
        let (os, architecture, variant) = match parts[..] {
            [os, architecture, variant] => (os, architecture, Some(variant)),
            [os, architecture] => (os, architecture, None),
            [os] if SYSTEMS.contains(&os) => (os, host.architecture.as_str(), host.variant.as_deref()),
            [single] if ARCHITECTURES.contains(&single) => ("linux", single, None),
            _ => return Err(InvalidPlatform { raw: raw.to_owned() }),
        };
        let (architecture, variant) = match (architecture, variant) {
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("aarch64", variant) => ("arm64", variant),
            ("i386" | "i686", variant) => ("386", variant),
            ("armhf", None) => ("arm", Some("v7")),
            ("armel", None) => ("arm", Some("v6")),
            other => other,
        };
        Ok(Self::new(os, architecture, variant))
    }

    /// Whether an image for `self` runs where `wanted` is asked for.
    ///
    /// `arm64` and `arm64/v8` are the same; `amd64` and `amd64/v1` too. A missing
    /// variant on the wanted side takes any.
    pub fn satisfies(&self, wanted: &Self) -> bool {
        let variant = |p: &Self| match (p.architecture.as_str(), p.variant.as_deref()) {
            ("arm64", Some("v8")) | ("amd64", Some("v1")) => None,
            (_, variant) => variant.map(str::to_owned),
        };
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (variant(self) == variant(wanted) || variant(wanted).is_none())
    }
}

/// Go's names of operating systems, which are the registries'.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// Go's names of architectures, and what else they are called.
const ARCHITECTURES: &[&str] = &[
    "386", "aarch64", "amd64", "arm", "arm64", "armel", "armhf", "i386", "i686", "loong64", "mips", "mips64",
    "mips64le", "mipsle", "ppc64", "ppc64le", "riscv64", "s390x", "sparc64", "wasm", "x86-64", "x86_64",
];

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_normalises() {
        for (raw, text) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
        ] {
            assert_eq!(Platform::parse(raw).unwrap().to_string(), text);
        }
        for raw in ["", "/", "linux/", "a/b/c/d", "linux/../x", "bogus"] {
            assert!(Platform::parse(raw).is_err(), "{raw}");
        }
    }

    #[test]
    fn matches_variants_as_containerd_does() {
        let is = |have: &str, want: &str| {
            Platform::parse(have).unwrap().satisfies(&Platform::parse(want).unwrap())
        };
        assert!(is("linux/arm64/v8", "linux/arm64"));
        assert!(is("linux/arm64", "linux/arm64/v8"));
        assert!(!is("linux/arm/v6", "linux/arm/v7"));
        assert!(!is("linux/amd64", "linux/arm64"));
    }
}
