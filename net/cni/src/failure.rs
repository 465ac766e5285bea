//! What a plugin says when it fails: section 5, "Error".

use std::fmt;

use base::ErrorClass;
use serde::{Deserialize, Serialize};

use crate::names::InvalidName;

/// The number of a kind of failure. Below 100 they are the specification's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Code(pub u32);

impl Code {
    /// The configuration's version is not spoken.
    pub const INCOMPATIBLE_VERSION: Self = Self(1);
    /// A field's value is not supported.
    pub const UNSUPPORTED_FIELD: Self = Self(2);
    /// The container is not known or does not exist.
    pub const UNKNOWN_CONTAINER: Self = Self(3);
    /// A variable of the environment is missing or wrong.
    pub const INVALID_ENVIRONMENT: Self = Self(4);
    /// Reading or writing failed.
    pub const IO: Self = Self(5);
    /// What was given is not JSON, or not of the expected form.
    pub const DECODING: Self = Self(6);
    /// The configuration is not valid.
    pub const INVALID_CONFIG: Self = Self(7);
    /// The network namespace cannot be used.
    pub const INVALID_NAMESPACE: Self = Self(8);
    /// The same call may succeed later.
    pub const TRY_AGAIN: Self = Self(11);
    /// `STATUS`: no container can be added now.
    pub const NOT_AVAILABLE: Self = Self(50);
    /// `STATUS`: no container can be added now, and those that are there may be cut off.
    pub const LIMITED_CONNECTIVITY: Self = Self(51);
    /// All that has no number of its own; the reference implementation's choice.
    pub const INTERNAL: Self = Self(999);

    /// What a caller may do about it.
    pub const fn class(self) -> ErrorClass {
        match self {
            Self::UNSUPPORTED_FIELD | Self::INCOMPATIBLE_VERSION => ErrorClass::Unsupported,
            Self::UNKNOWN_CONTAINER => ErrorClass::NotFound,
            Self::INVALID_ENVIRONMENT | Self::DECODING | Self::INVALID_CONFIG | Self::INVALID_NAMESPACE => {
                ErrorClass::Invalid
            }
            Self::TRY_AGAIN | Self::NOT_AVAILABLE | Self::LIMITED_CONNECTIVITY => ErrorClass::Unavailable,
            _ => ErrorClass::Internal,
        }
    }

    const fn meaning(self) -> Option<&'static str> {
        Some(match self {
            Self::INCOMPATIBLE_VERSION => "incompatible CNI version",
            Self::UNSUPPORTED_FIELD => "unsupported field",
            Self::UNKNOWN_CONTAINER => "unknown container",
            Self::INVALID_ENVIRONMENT => "invalid environment variables",
            Self::IO => "I/O failure",
            Self::DECODING => "failed to decode",
            Self::INVALID_CONFIG => "invalid network config",
            Self::INVALID_NAMESPACE => "invalid network namespace",
            Self::TRY_AGAIN => "try again later",
            Self::NOT_AVAILABLE => "the plugin is not available",
            Self::LIMITED_CONNECTIVITY => "the plugin is not available, connectivity is limited",
            _ => return None,
        })
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.meaning() {
            Some(meaning) => write!(f, "code {}, {meaning}", self.0),
            None => write!(f, "code {}", self.0),
        }
    }
}

/// A plugin's failure, as it stands on its standard output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{msg}{} ({code})", details_text(.details))]
pub struct Failure {
    /// The version of the protocol; older plugins leave it out.
    #[serde(rename = "cniVersion", default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// What kind it is.
    pub code: Code,
    /// One sentence.
    pub msg: String,
    /// More than one.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub details: String,
}

impl Failure {
    /// A failure of this kind.
    pub fn new(code: Code, msg: impl Into<String>) -> Self {
        Self { version: None, code, msg: msg.into(), details: String::new() }
    }

    /// The same with details.
    #[must_use]
    pub fn with_details(mut self, details: impl Into<String>) -> Self {
        self.details = details.into();
        self
    }

    /// Reads one; `None` when it is something else.
    pub(crate) fn parse(stdout: &[u8]) -> Option<Self> {
        serde_json::from_slice(stdout).ok()
    }
}

impl From<InvalidName> for Failure {
    fn from(error: InvalidName) -> Self {
        use InvalidName::*;
        let code = match &error {
            NoNetwork | Network { .. } | Plugin { .. } => Code::INVALID_CONFIG,
            NoContainer => Code::UNKNOWN_CONTAINER,
            _ => Code::INVALID_ENVIRONMENT,
        };
        match error {
            Network { raw } => Self::new(code, "invalid characters found in network name").with_details(raw),
            Container { raw } => Self::new(code, "invalid characters in containerID").with_details(raw),
            LongInterface => Self::new(code, error.to_string())
                .with_details("interface name should be less than 16 characters"),
            other => Self::new(code, other.to_string()),
        }
    }
}

fn details_text(details: &str) -> String {
    if details.is_empty() { String::new() } else { format!("; {details}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_as_a_sentence_with_its_code() {
        let failure = Failure::parse(br#"{"code": 7, "msg": "missing network name"}"#).expect("a failure");
        assert_eq!(failure.to_string(), "missing network name (code 7, invalid network config)");
        assert_eq!(failure.code.class(), ErrorClass::Invalid);
        let failure = Failure::new(Code(120), "no").with_details("because");
        assert_eq!(failure.to_string(), "no; because (code 120)");
        assert_eq!(Failure::parse(b"{}"), None);
        assert_eq!(Failure::parse(b""), None);
    }
}
