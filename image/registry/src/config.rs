//! What a client is told: hosts, credentials, limits.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::auth::{CredentialSource, NoCredentials};
use crate::hosts::Hosts;
use crate::retry::RetryPolicy;

/// Settings of a [`crate::Client`].
#[derive(Clone)]
pub struct Config {
    /// Where each registry's hosts are configured.
    pub hosts: Hosts,
    /// Who we are, per registry.
    pub credentials: Arc<dyn CredentialSource>,
    /// What we call ourselves.
    pub user_agent: String,
    /// How long to wait for what.
    pub timeouts: Timeouts,
    /// How often to try again.
    pub retry: RetryPolicy,
    /// Blobs longer than this are uploaded in pieces of this many bytes; `None` for one piece.
    pub push_chunk_bytes: Option<u64>,
}

/// How long to wait for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// For one address to accept a connection.
    pub connect: Duration,
    /// For the TLS handshake.
    pub handshake: Duration,
    /// For the head of a response after the request was sent.
    pub response: Duration,
    /// For the next bytes of a body.
    pub idle: Duration,
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            handshake: Duration::from_secs(10),
            response: Duration::from_secs(60),
            idle: Duration::from_secs(30),
        }
    }
}

impl Default for Config {
    /// Anonymous, with no configured hosts.
    fn default() -> Self {
        Self {
            hosts: Hosts::default(),
            credentials: Arc::new(NoCredentials),
            user_agent: concat!("strake/", env!("CARGO_PKG_VERSION")).to_owned(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            push_chunk_bytes: None,
        }
    }
}

impl fmt::Debug for Config {
    /// Says nothing of the credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("hosts", &self.hosts)
            .field("user_agent", &self.user_agent)
            .field("timeouts", &self.timeouts)
            .field("retry", &self.retry)
            .finish_non_exhaustive()
    }
}
