//! What can go wrong with a registry, and what to do about it.

use std::io;
use std::time::Duration;

use base::{Classified, Digest, ErrorClass};
use oci_spec::image::InvalidDocument;

use crate::auth::CredentialError;
use crate::hosts::HostsError;

/// What was being asked of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Looking up a name or fetching content.
    Pull,
    /// Uploading content.
    Push,
    /// Proving who we are.
    Login,
}

impl std::fmt::Display for Operation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Login => "log in",
        })
    }
}

/// A request to a registry failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection to the host.
    #[error("registry {host} cannot be reached (check the name, the network, and whether it listens there)")]
    Unreachable {
        /// Host and port.
        host: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// TLS failed.
    #[error(
        "registry {host} has no valid TLS (for a private CA put it as `ca` into hosts.toml; for plain HTTP use http:// there)"
    )]
    Tls {
        /// Host and port.
        host: String,
        /// What failed.
        #[source]
        source: io::Error,
    },
    /// The host went silent or hung up in the middle.
    #[error("connection to registry {host} broke while {during}")]
    Broken {
        /// Host and port.
        host: String,
        /// What was going on.
        during: &'static str,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The registry wants credentials, or other ones.
    #[error(
        "registry {host} refuses to {operation} {object}: {detail}; log in first: `strake login {login_host}`"
    )]
    Unauthorized {
        /// Host and port.
        host: String,
        /// What was tried.
        operation: Operation,
        /// On what.
        object: String,
        /// The registry's own words.
        detail: String,
        /// What to log in to.
        login_host: String,
    },
    /// Name or password is wrong.
    #[error("registry {host} does not accept this user name and password: {detail}")]
    BadLogin {
        /// Host and port.
        host: String,
        /// The registry's own words.
        detail: String,
    },
    /// The credentials do not allow it.
    #[error(
        "registry {host} denies to {operation} {object}: {detail}; check that the account has this right, or `strake login {login_host}` as another"
    )]
    Denied {
        /// Host and port.
        host: String,
        /// What was tried.
        operation: Operation,
        /// On what.
        object: String,
        /// The registry's own words.
        detail: String,
        /// What to log in to.
        login_host: String,
    },
    /// There is no such manifest.
    #[error(
        "{reference} not found on registry {host} (check name and tag; a private repository also needs `strake login`)"
    )]
    ManifestUnknown {
        /// What was asked for.
        reference: String,
        /// Host and port.
        host: String,
    },
    /// There is no such blob.
    #[error("registry {host} lacks blob {digest} of {repository}, which its manifest names")]
    BlobUnknown {
        /// What was asked for.
        digest: Digest,
        /// In which repository.
        repository: String,
        /// Host and port.
        host: String,
    },
    /// There is no such repository.
    #[error("repository {repository} not found on registry {host}")]
    RepositoryUnknown {
        /// What was asked for.
        repository: String,
        /// Host and port.
        host: String,
    },
    /// Content does not have the digest that it was asked for by.
    #[error(
        "{what} from registry {host} has the wrong digest: expected {expected}, got {actual}; nothing of it was kept"
    )]
    WrongDigest {
        /// Which content.
        what: String,
        /// Host and port.
        host: String,
        /// What it should be.
        expected: Digest,
        /// What it is.
        actual: Digest,
    },
    /// Content does not have the size that its descriptor says.
    #[error(
        "{what} from registry {host} has the wrong size: expected {expected} bytes, got {actual}; nothing of it was kept"
    )]
    WrongSize {
        /// Which content.
        what: String,
        /// Host and port.
        host: String,
        /// What it should be.
        expected: u64,
        /// What it is, or the least that it is.
        actual: u64,
    },
    /// A document exceeds what we are ready to hold in memory.
    #[error("{what} from registry {host} is larger than the limit of {limit} bytes")]
    TooLarge {
        /// Which document.
        what: String,
        /// Host and port.
        host: String,
        /// The limit.
        limit: u64,
    },
    /// A manifest cannot be read.
    #[error("manifest of {reference} from registry {host} cannot be used")]
    Document {
        /// Which one.
        reference: String,
        /// Host and port.
        host: String,
        /// Why not.
        #[source]
        source: InvalidDocument,
    },
    /// Too many requests, also after waiting.
    #[error("registry {host} limits the rate of requests{}: wait, or log in for a higher limit", after(.retry_after))]
    RateLimited {
        /// Host and port.
        host: String,
        /// What it asked to wait.
        retry_after: Option<Duration>,
    },
    /// The registry failed, also after retries.
    #[error("registry {host} failed with status {status}: {detail}; try again later")]
    Server {
        /// Host and port.
        host: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        detail: String,
    },
    /// The registry refused the request as wrong.
    #[error("registry {host} rejects {what} with status {status}: {detail}")]
    Rejected {
        /// Host and port.
        host: String,
        /// Which request.
        what: String,
        /// The HTTP status.
        status: u16,
        /// The registry's own words.
        detail: String,
    },
    /// The answer breaks the protocol.
    #[error("host {host} does not answer as a registry: {what}")]
    Protocol {
        /// Host and port.
        host: String,
        /// What is wrong.
        what: String,
    },
    /// No configured host may do it.
    #[error(
        "no host configured for registry {registry} has the capability to {operation}: see its hosts.toml"
    )]
    NoHost {
        /// The registry's name.
        registry: String,
        /// What was tried.
        operation: Operation,
    },
    /// A `hosts.toml` or certificate cannot be used.
    #[error(transparent)]
    Hosts(#[from] HostsError),
    /// Credentials cannot be had.
    #[error(transparent)]
    Credentials(#[from] CredentialError),
    /// The content to push cannot be read.
    #[error("read {what} to push it")]
    Source {
        /// Which content.
        what: String,
        /// What the system said.
        #[source]
        source: io::Error,
    },
}

fn after(retry_after: &Option<Duration>) -> String {
    retry_after.map_or(String::new(), |wait| format!(" (it asks to wait {} s)", wait.as_secs()))
}

impl Error {
    /// Whether the same request to the same host may work a moment later.
    ///
    /// A refused connection or unknown name is not worth a wait: whoever typed the
    /// name should learn at once.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Broken { .. } | Self::RateLimited { .. } | Self::Server { .. })
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Unreachable { .. } | Self::Tls { .. } | Self::Server { .. } => ErrorClass::Unavailable,
            Self::Broken { source, .. } if source.kind() == io::ErrorKind::TimedOut => ErrorClass::TimedOut,
            Self::Broken { .. } | Self::RateLimited { .. } => ErrorClass::Unavailable,
            Self::Unauthorized { .. } | Self::BadLogin { .. } => ErrorClass::Unauthenticated,
            Self::Denied { .. } => ErrorClass::PermissionDenied,
            Self::ManifestUnknown { .. } | Self::BlobUnknown { .. } | Self::RepositoryUnknown { .. } => {
                ErrorClass::NotFound
            }
            Self::WrongDigest { .. } | Self::WrongSize { .. } | Self::Document { .. } => ErrorClass::Corrupt,
            Self::TooLarge { .. } => ErrorClass::ResourceExhausted,
            Self::Rejected { .. } | Self::Protocol { .. } | Self::NoHost { .. } | Self::Hosts(_) => {
                ErrorClass::Invalid
            }
            Self::Credentials(error) => error.class(),
            Self::Source { source, .. } => source.class(),
        }
    }
}
