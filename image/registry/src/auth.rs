//! Who we are to a registry: challenges, credentials, tokens.

mod challenge;
mod credential;
mod docker_config;
mod helper;
mod session;

pub use credential::{Credential, CredentialError, CredentialSource, NoCredentials, Secret};
pub use docker_config::DockerConfig;
pub use helper::{HelperOutput, HelperRunner, NoHelpers};

pub(crate) use challenge::Challenge;
pub(crate) use session::{Scope, Session};
