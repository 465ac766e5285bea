//! The id of a container, proof that it is safe inside a path.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A container id: 1 to 255 bytes of `[A-Za-z0-9_+.-]`, never `.` or `..`.
///
/// It is joined into paths under the state directory, so a value of this type is
/// proof that it cannot climb out of there.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ContainerId(String);

/// The text is not a container id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("container id {raw:?} is not valid: use 1 to 255 characters of [A-Za-z0-9_+.-], not `.` or `..`")]
pub struct InvalidContainerId {
    /// What was given.
    pub raw: String,
}

impl ContainerId {
    /// Takes `raw` as an id if it is one.
    pub fn parse(raw: &str) -> Result<Self, InvalidContainerId> {
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b"_+.-".contains(&b);
        if raw.is_empty() || raw.len() > 255 || raw == "." || raw == ".." || !raw.bytes().all(allowed) {
            return Err(InvalidContainerId { raw: raw.to_owned() });
        }
        Ok(Self(raw.to_owned()))
    }

    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first twelve characters, as docker prints ids.
    pub fn short(&self) -> &str {
        self.0.get(..12).unwrap_or(&self.0)
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<std::path::Path> for ContainerId {
    fn as_ref(&self) -> &std::path::Path {
        self.0.as_ref()
    }
}

impl TryFrom<String> for ContainerId {
    type Error = InvalidContainerId;
    fn try_from(raw: String) -> Result<Self, Self::Error> {
        Self::parse(&raw)
    }
}

impl From<ContainerId> for String {
    fn from(id: ContainerId) -> Self {
        id.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, valid: bool) {
        assert_eq!(ContainerId::parse(raw).is_ok(), valid, "{raw:?}");
    }

    #[test]
    fn accepts_the_usual() {
        for raw in ["a", "web-1", "0123abc", "a.b_c+d"] {
            check(raw, true);
        }
    }

    #[test]
    fn refuses_what_climbs_or_surprises() {
        for raw in ["", ".", "..", "a/b", "../x", "a b", "a\0b", "é", &"x".repeat(256)] {
            check(raw, false);
        }
    }
}
