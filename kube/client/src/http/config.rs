//! Where the server is, whom to trust, and as whom to come.

use std::sync::Arc;

use http::HeaderValue;
use kube_object::status::Status;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::Value;

use super::tls::{Identity, Trust, client_config};

/// A server, and how to speak to it.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    name: ServerName<'static>,
    tls: Arc<ClientConfig>,
    bearer: Option<HeaderValue>,
    agent: String,
}

/// What is given does not say how to reach a server.
#[derive(Debug, thiserror::Error)]
pub enum InvalidEndpoint {
    /// Not `https://HOST:PORT`.
    #[error("server {0:?} is not of the form https://HOST:PORT")]
    Url(String),
    /// Certificates or a key cannot be read.
    #[error("{0} is not PEM")]
    Pem(&'static str),
    /// TLS refuses them.
    #[error("client certificate")]
    Tls(#[source] rustls::Error),
    /// The token cannot stand in a header.
    #[error("the token has characters that no token has")]
    Token,
    /// The kubeconfig lacks something.
    #[error("kubeconfig without {0}")]
    Missing(&'static str),
}

/// What an [`Endpoint`] is made of.
#[derive(Clone, Default)]
pub struct Credentials {
    /// Whom to trust.
    pub trust: Trust,
    /// The client's certificates and key.
    pub identity: Option<Identity>,
    /// A bearer token.
    pub token: Option<String>,
}

impl Endpoint {
    /// A server by its URL. `agent` is what the client calls itself.
    pub fn new(url: &str, credentials: &Credentials, agent: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = || InvalidEndpoint::Url(url.to_owned());
        let uri: http::Uri = url.parse().map_err(|_| invalid())?;
        if uri.scheme_str() != Some("https") {
            return Err(invalid());
        }
        let host = uri.host().ok_or_else(invalid)?.trim_matches(['[', ']']).to_owned();
        let name = ServerName::try_from(host.clone()).map_err(|_| invalid())?;
        let bearer = credentials.token.as_ref().map(|token| {
            let mut value =
                HeaderValue::from_str(&format!("Bearer {token}")).map_err(|_| InvalidEndpoint::Token)?;
            value.set_sensitive(true);
            Ok(value)
        });
        Ok(Self {
            port: uri.port_u16().unwrap_or(443),
            host,
            name,
            tls: Arc::new(tls(credentials)?),
            bearer: bearer.transpose()?,
            agent: agent.to_owned(),
        })
    }

    /// The current context of a kubeconfig, decoded already, whose certificates it holds itself.
    pub fn from_kubeconfig(config: &Value, agent: &str) -> Result<Self, InvalidEndpoint> {
        let text = |value: &Value, name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned);
        let named = |list: &str, name: &str, what: &str| {
            let list = config.get(list).and_then(Value::as_array)?;
            let found = list.iter().find(|entry| entry.get("name").and_then(Value::as_str) == Some(name))?;
            found.get(what).cloned()
        };
        let context = text(config, "current-context").ok_or(InvalidEndpoint::Missing("current-context"))?;
        let context =
            named("contexts", &context, "context").ok_or(InvalidEndpoint::Missing("its context"))?;
        let cluster = text(&context, "cluster").and_then(|name| named("clusters", &name, "cluster"));
        let cluster = cluster.ok_or(InvalidEndpoint::Missing("the context's cluster"))?;
        let user = text(&context, "user").and_then(|name| named("users", &name, "user"));
        let user = user.ok_or(InvalidEndpoint::Missing("the context's user"))?;
        let pem = |value: &Value, name: &'static str| {
            text(value, name).map(|text| base64(&text).ok_or(InvalidEndpoint::Pem(name))).transpose()
        };
        let certificate = pem(&user, "client-certificate-data")?.zip(pem(&user, "client-key-data")?);
        let identity = certificate.map(|(certificate, key)| Identity {
            certificate: String::from_utf8_lossy(&certificate).into_owned(),
            key: String::from_utf8_lossy(&key).into_owned(),
        });
        let anybody = cluster.get("insecure-skip-tls-verify").and_then(Value::as_bool) == Some(true);
        let trust = match pem(&cluster, "certificate-authority-data")? {
            _ if anybody => Trust::Anybody,
            Some(authority) => Trust::Authorities(authority),
            None => return Err(InvalidEndpoint::Missing("certificate-authority-data")),
        };
        let credentials = Credentials { trust, identity, token: text(&user, "token") };
        let server = text(&cluster, "server").ok_or(InvalidEndpoint::Missing("server"))?;
        Self::new(&server, &credentials, agent)
    }

    pub(super) fn authority(&self) -> String {
        if self.host.contains(':') {
            format!("[{}]:{}", self.host, self.port)
        } else {
            format!("{}:{}", self.host, self.port)
        }
    }

    pub(super) fn address(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    pub(super) fn name(&self) -> &ServerName<'static> {
        &self.name
    }

    pub(super) fn tls(&self) -> &Arc<ClientConfig> {
        &self.tls
    }

    pub(super) fn bearer(&self) -> Option<&HeaderValue> {
        self.bearer.as_ref()
    }

    pub(super) fn agent(&self) -> &str {
        &self.agent
    }
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint").field("host", &self.host).field("port", &self.port).finish_non_exhaustive()
    }
}

impl From<InvalidEndpoint> for Status {
    fn from(error: InvalidEndpoint) -> Self {
        Self::bad_request(error.to_string())
    }
}

fn tls(credentials: &Credentials) -> Result<ClientConfig, InvalidEndpoint> {
    if let Trust::Authorities(pem) = &credentials.trust {
        check(CertificateDer::pem_slice_iter(pem), "the authority")?;
    }
    if let Some(identity) = &credentials.identity {
        check(CertificateDer::pem_slice_iter(identity.certificate.as_bytes()), "the client certificate")?;
        PrivateKeyDer::from_pem_slice(identity.key.as_bytes())
            .map_err(|_| InvalidEndpoint::Pem("the client key"))?;
    }
    let config = client_config(&credentials.trust, credentials.identity.as_ref());
    let mut config = Arc::unwrap_or_clone(config.map_err(InvalidEndpoint::Tls)?);
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

/// An error unless all of it is PEM of certificates.
fn check<E>(
    mut certificates: impl Iterator<Item = Result<CertificateDer<'static>, E>>,
    what: &'static str,
) -> Result<(), InvalidEndpoint> {
    if certificates.all(|certificate| certificate.is_ok()) { Ok(()) } else { Err(InvalidEndpoint::Pem(what)) }
}

/// RFC 4648, with or without line breaks.
fn base64(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    let text: String = text.chars().filter(|character| !character.is_whitespace()).collect();
    base64::engine::general_purpose::STANDARD.decode(text).ok()
}
