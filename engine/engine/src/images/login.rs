//! `login` and `logout`: ask the registry first, then keep the credentials where docker does.

use registry::{Credential, Secret};

use super::remote::block_on;
use super::{Error, Images};

/// What a login did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginOutcome {
    /// The file or helper that keeps the credentials; `None` when none is configured.
    pub kept_in: Option<String>,
    /// Whether a helper keeps them: in a file they are readable by their owner.
    pub by_helper: bool,
    /// The password went over the network without TLS.
    pub plain_http: bool,
}

impl Images {
    /// Shows the credentials to `registry` and keeps them when it takes them.
    pub fn login(&self, registry: &str, username: &str, password: &Secret) -> Result<LoginOutcome, Error> {
        let credential = Credential::Basic { username: username.to_owned(), password: password.clone() };
        let client = self.remote.client();
        let failed = |source| Error::Login { registry: registry.to_owned(), source: Box::new(source) };
        let login = block_on(async { client.login(registry, &credential).await.map_err(failed) })?;
        let kept_in = match self.remote.credentials() {
            Some(credentials) => Some(credentials.store(registry, &credential)?),
            None => None,
        };
        let by_helper = kept_in.as_ref().is_some_and(|place| place.starts_with("docker-credential-"));
        Ok(LoginOutcome { kept_in, by_helper, plain_http: login.plain_http })
    }

    /// Proves that the credentials that are kept for `registry` still count. Returns the
    /// user's name; `None` when none are kept.
    pub fn login_again(&self, registry: &str) -> Result<Option<String>, Error> {
        use registry::CredentialSource as _;
        let Some(credentials) = self.remote.credentials() else { return Ok(None) };
        let Some(credential) = credentials.lookup(registry)? else { return Ok(None) };
        let client = self.remote.client();
        let failed = |source| Error::Login { registry: registry.to_owned(), source: Box::new(source) };
        block_on(async { client.login(registry, &credential).await.map_err(failed) })?;
        Ok(Some(match credential {
            Credential::Basic { username, .. } => username,
            Credential::Identity(_) | Credential::Bearer(_) => "(token)".to_owned(),
        }))
    }

    /// Forgets the credentials of `registry`; whether there were any.
    pub fn logout(&self, registry: &str) -> Result<bool, Error> {
        match self.remote.credentials() {
            Some(credentials) => Ok(credentials.erase(registry)?),
            None => Ok(false),
        }
    }
}
