//! Credentials that never show themselves.

use std::fmt;
use std::io;
use std::path::PathBuf;

use base::{Classified, ErrorClass};

/// A password or token. It is not printed, not even by `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Hides `text`.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that must send it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("…")
    }
}

/// What we can show to a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// User name and password.
    Basic {
        /// The user's name.
        username: String,
        /// The password, or an access token in its place.
        password: Secret,
    },
    /// An OAuth2 refresh token (docker's `identitytoken`).
    Identity(Secret),
    /// A bearer token as it is (docker's `registrytoken`).
    Bearer(Secret),
}

/// Where credentials come from.
pub trait CredentialSource: Send + Sync {
    /// What to show to `registry` (its name in references: `docker.io`, `host:port`).
    fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError>;
}

/// No credentials for anyone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoCredentials;

impl CredentialSource for NoCredentials {
    fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(None)
    }
}

/// Credentials cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("read credentials from {path}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file cannot be written.
    #[error("write credentials to {path}")]
    Write {
        /// Which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not docker's config.json.
    #[error(
        "credentials file {path} is not valid JSON of docker's form (line {line}): correct it or move it away"
    )]
    Malformed {
        /// Which file.
        path: PathBuf,
        /// Where. The parser's own text is left out: it can quote a secret.
        line: usize,
    },
    /// An entry cannot be decoded.
    #[error("credentials of {registry} in {path} are damaged: `strake login {registry}` writes them anew")]
    Entry {
        /// Which file.
        path: PathBuf,
        /// Whose entry.
        registry: String,
    },
    /// A helper's name is not a file name.
    #[error("credential helper name {helper:?} is not valid: use letters, digits, - and _")]
    HelperName {
        /// What was configured.
        helper: String,
    },
    /// A credential helper cannot be started.
    #[error("run credential helper docker-credential-{helper} (is it installed and in PATH?)")]
    HelperStart {
        /// Which helper.
        helper: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A credential helper failed.
    #[error("credential helper docker-credential-{helper} failed to {action} for {registry}: {message}")]
    Helper {
        /// Which helper.
        helper: String,
        /// `get`, `store` or `erase`.
        action: &'static str,
        /// For which registry.
        registry: String,
        /// Its own words.
        message: String,
    },
}

impl Classified for CredentialError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } | Self::Write { source, .. } => source.class(),
            Self::Malformed { .. } | Self::Entry { .. } | Self::HelperName { .. } => ErrorClass::Invalid,
            Self::HelperStart { .. } | Self::Helper { .. } => ErrorClass::Unavailable,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn never_prints_a_secret() {
        let secret = || Secret::new("hunter2");
        for credential in [
            Credential::Basic { username: "ann".into(), password: secret() },
            Credential::Identity(secret()),
            Credential::Bearer(secret()),
        ] {
            let text = format!("{credential:?} {credential:#?}");
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
