//! Versions of the protocol.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A version of the specification that is spoken here, oldest first.
///
/// Before 0.3.0 a result had no list of interfaces; nobody speaks that any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum Version {
    /// Interfaces and chains.
    V0_3_0,
    /// The same, clarified.
    V0_3_1,
    /// `CHECK`, and the result given to `DEL`.
    V0_4_0,
    /// Lists only; an address no longer names its family.
    V1_0_0,
    /// `GC` and `STATUS`.
    V1_1_0,
}

/// The text is not a version that is spoken here.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cniVersion {raw:?} is not supported; use one of 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0")]
pub struct UnsupportedVersion {
    /// What was given.
    pub raw: String,
}

impl Version {
    /// All, oldest first.
    pub const ALL: [Self; 5] = [Self::V0_3_0, Self::V0_3_1, Self::V0_4_0, Self::V1_0_0, Self::V1_1_0];
    /// The newest.
    pub const LATEST: Self = Self::V1_1_0;

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::V0_3_0 => "0.3.0",
            Self::V0_3_1 => "0.3.1",
            Self::V0_4_0 => "0.4.0",
            Self::V1_0_0 => "1.0.0",
            Self::V1_1_0 => "1.1.0",
        }
    }

    /// Whether it has `CHECK`, and a result for `DEL`.
    pub fn has_check(self) -> bool {
        self >= Self::V0_4_0
    }

    /// Whether it has `GC` and `STATUS`.
    pub fn has_gc(self) -> bool {
        self >= Self::V1_1_0
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Version {
    type Err = UnsupportedVersion;
    fn from_str(raw: &str) -> Result<Self, UnsupportedVersion> {
        let found = Self::ALL.into_iter().find(|version| version.as_str() == raw);
        found.ok_or_else(|| UnsupportedVersion { raw: raw.to_owned() })
    }
}

impl TryFrom<String> for Version {
    type Error = UnsupportedVersion;
    fn try_from(raw: String) -> Result<Self, UnsupportedVersion> {
        raw.parse()
    }
}

impl From<Version> for String {
    fn from(version: Version) -> Self {
        version.as_str().to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_when() {
        for (raw, check, gc) in
            [("0.3.0", false, false), ("0.4.0", true, false), ("1.0.0", true, false), ("1.1.0", true, true)]
        {
            let version: Version = raw.parse().expect(raw);
            assert_eq!(
                (version.has_check(), version.has_gc(), version.to_string()),
                (check, gc, raw.to_owned())
            );
        }
        for raw in ["", "0.2.0", "1.0", "1.2.0", "9.9.9", "x"] {
            assert!(raw.parse::<Version>().is_err(), "{raw}");
        }
    }
}
