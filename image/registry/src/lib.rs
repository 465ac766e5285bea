//! A client of the OCI distribution specification 1.1 and of the registries that
//! came before it.
//!
//! [`Client`] resolves, pulls and pushes. It tries the hosts of a registry in the
//! order of its `hosts.toml`, logs in as its `WWW-Authenticate` asks, waits as its
//! `Retry-After` asks, and goes on with a broken transfer where it stopped. What
//! it hands out has the digest and size that were asked for.
//!
//! It does not know where content is kept, what an image is made of, or where
//! its own settings come from: hosts, credentials and limits are arguments.

mod auth;
mod blob;
mod client;
mod config;
mod endpoint;
mod error;
mod failure;
mod hosts;
mod login;
mod manifest;
mod push;
mod retry;
mod tags;
mod transport;
mod url;
mod wire;

pub use auth::{
    Credential, CredentialError, CredentialSource, DockerConfig, HelperOutput, HelperRunner, NoCredentials,
    NoHelpers, Secret,
};
pub use blob::{BlobStream, Verify};
pub use client::Client;
pub use config::{Config, Timeouts};
pub use endpoint::{Capabilities, Endpoint, Tls};
pub use error::{Error, Operation};
pub use hosts::{Hosts, HostsError};
pub use login::Login;
pub use manifest::Fetched;
pub use push::{BlobSource, PushOutcome};
pub use retry::{RetryPolicy, retry_after};
