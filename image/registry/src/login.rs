//! Whether a registry takes some credentials (distribution-spec, "Determining support").

use std::sync::Arc;

use http::{Method, StatusCode};

use crate::auth::{Credential, CredentialError, CredentialSource, Scope};
use crate::client::Client;
use crate::error::{Error, Operation};
use crate::failure::{self, Subject};
use crate::wire::Call;

/// What a login found out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// The host that took the credentials.
    pub host: String,
    /// It was spoken to without TLS: the password went over the network in clear.
    pub plain_http: bool,
}

struct Given(Credential);

impl CredentialSource for Given {
    fn lookup(&self, _registry: &str) -> Result<Option<Credential>, CredentialError> {
        Ok(Some(self.0.clone()))
    }
}

impl Client {
    /// Shows `credential` to `registry`; success means that it took it.
    pub async fn login(&self, registry: &str, credential: &Credential) -> Result<Login, Error> {
        let given: Arc<dyn CredentialSource> = Arc::new(Given(credential.clone()));
        let host = self.host_with(registry, &given)?;
        let make = |base: &_| Call::new(Method::GET, host.address(base, "/"));
        let mut attempt = 1;
        loop {
            let response = self.attempt(&host, &Scope::Nothing, &make).await?;
            let status = response.status();
            if status.is_success() {
                response.drain().await;
                let plain_http = host.base().scheme_str() == Some("http");
                return Ok(Login { host: host.name(), plain_http });
            }
            let worth_a_wait = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            let error = failure::error_of(response, Operation::Login, &Subject::Api, registry).await;
            if !worth_a_wait || !self.wait(attempt, None).await {
                return Err(error);
            }
            attempt += 1;
        }
    }
}
