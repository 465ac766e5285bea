//! Calls to what extends the API: a JSON body posted over TLS, a JSON body back.
//!
//! One [`Callout`] is one `clientConfig` (a URL, or a service and a path). It keeps its
//! connections. HTTP/1.1 only, as upstream speaks to services, so that concurrent calls
//! reach several backends.

mod connection;
mod resolve;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Uri;
use kube_object::cluster::Cluster;
use rustls::ClientConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use serde_json::Value;

use self::connection::Connection;
pub use self::resolve::{Unresolved, resolve};
use crate::read::{at, text};

/// What an answer may have at most: as much as a request to the API may.
const ANSWER_BYTES_MAX: usize = 3 * 1024 * 1024;
/// Connections that are kept while nothing is asked.
const IDLE_MAX: usize = 16;

/// One `clientConfig` and its connections.
pub struct Callout {
    target: Target,
    server_name: ServerName<'static>,
    path: String,
    tls: Arc<ClientConfig>,
    idle: Mutex<Vec<Connection>>,
}

enum Target {
    Service { namespace: String, name: String, port: u16 },
    Host { host: String, port: u16 },
}

/// A call failed, or the configuration says not whom to call.
#[derive(Debug, thiserror::Error)]
pub enum CalloutError {
    /// Neither a URL nor a service.
    #[error("webhook configuration must have either service or URL")]
    NoTarget,
    /// The URL cannot be read.
    #[error("Unparsable URL: {0}")]
    Url(String),
    /// The CA bundle cannot be read.
    #[error("unable to load root certificates: unable to parse bytes as PEM block")]
    CaBundle,
    /// TLS cannot be set up.
    #[error("tls")]
    Tls(#[source] rustls::Error),
    /// It did not answer in words of HTTP.
    #[error("Post \"{url}\": {why}")]
    Post {
        /// Whom was asked.
        url: String,
        /// What went wrong.
        #[source]
        why: PostError,
    },
    /// It answered with another status than 200.
    #[error("{}", status_words(*.status, .body))]
    Status {
        /// The status.
        status: u16,
        /// The start of the answer.
        body: String,
    },
}

/// What went wrong on the way.
#[derive(Debug, thiserror::Error)]
pub enum PostError {
    /// The service is nowhere.
    #[error(transparent)]
    Unresolved(#[from] Unresolved),
    /// No connection.
    #[error("dial tcp {address}: {}", dial_words(.source))]
    Dial {
        /// Where to.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// The server is not who it should be, or speaks no TLS.
    #[error("tls: {0}")]
    Handshake(String),
    /// The connection broke.
    #[error("{0}")]
    Http(#[from] hyper::Error),
    /// The request cannot be formed.
    #[error("{0}")]
    Request(#[from] http::Error),
    /// The answer has no end.
    #[error("http: response body too large")]
    TooLarge,
    /// It took too long.
    #[error("context deadline exceeded")]
    Deadline,
}

impl Callout {
    /// Reads a `clientConfig` of a webhook, or a `webhook.clientConfig` of a conversion.
    /// Without a CA bundle, `roots` are trusted.
    pub fn new(config: &Value, roots: &[CertificateDer<'static>]) -> Result<Self, CalloutError> {
        let (target, host, path) = target(config)?;
        let server_name = ServerName::try_from(host.clone())
            .map_err(|_| CalloutError::Url(format!("invalid host {host:?}")))?;
        let tls = tls(text(config, &["caBundle"]), roots)?;
        Ok(Self { target, server_name, path, tls, idle: Mutex::default() })
    }

    /// Posts JSON and gives back the answer's body. The whole call, with looking up and
    /// connecting, takes at most `timeout`, which the other side is told too.
    ///
    /// When it is cancelled, its connection is closed.
    pub async fn post(
        &self,
        cluster: &dyn Cluster,
        body: Bytes,
        timeout: Duration,
    ) -> Result<Bytes, CalloutError> {
        let path = self.path_with_timeout(timeout);
        let failed = |why| CalloutError::Post { url: format!("https://{}{path}", self.authority()), why };
        let exchange = self.exchange(cluster, body, &path);
        let answer = tokio::time::timeout(timeout, exchange).await.unwrap_or(Err(PostError::Deadline));
        let (status, body) = answer.map_err(failed)?;
        if (200..300).contains(&status) {
            return Ok(body);
        }
        let start = body.get(..body.len().min(2048)).unwrap_or_default();
        Err(CalloutError::Status { status, body: String::from_utf8_lossy(start).into_owned() })
    }

    async fn exchange(
        &self,
        cluster: &dyn Cluster,
        body: Bytes,
        path: &str,
    ) -> Result<(u16, Bytes), PostError> {
        let addresses = match &self.target {
            Target::Service { namespace, name, port } => resolve(cluster, namespace, name, *port)?,
            Target::Host { host, port } => vec![(host.clone(), *port)],
        };
        // One that was kept may have been closed by the other side while it was idle: then
        // nothing has been done there yet, and a new one is tried.
        while let Some(mut kept) = self.kept(&addresses) {
            let attempt = kept.post(&self.authority(), path, body.clone()).await;
            match attempt {
                Ok(answer) => {
                    self.keep(kept);
                    return Ok(answer);
                }
                Err(error) if error.is_stale() => {}
                Err(error) => return Err(error),
            }
        }
        let mut failure = PostError::Deadline;
        for address in &addresses {
            let fresh = Connection::open(address, self.server_name.clone(), self.tls.clone()).await;
            match fresh {
                Ok(mut fresh) => {
                    let answer = fresh.post(&self.authority(), path, body).await?;
                    self.keep(fresh);
                    return Ok(answer);
                }
                Err(error) => failure = error,
            }
        }
        Err(failure)
    }

    fn kept(&self, addresses: &[(String, u16)]) -> Option<Connection> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|connection| connection.is_open() && addresses.contains(connection.address()));
        idle.pop()
    }

    fn keep(&self, connection: Connection) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if connection.is_open() && idle.len() < IDLE_MAX {
            idle.push(connection);
        }
    }

    /// Host and port as the other side is addressed.
    fn authority(&self) -> String {
        match &self.target {
            Target::Service { namespace, name, port } => format!("{name}.{namespace}.svc:{port}"),
            Target::Host { host, port: 443 } => bracketed(host),
            Target::Host { host, port } => format!("{}:{port}", bracketed(host)),
        }
    }

    fn path_with_timeout(&self, timeout: Duration) -> String {
        let mark = if self.path.contains('?') { '&' } else { '?' };
        // Whole seconds, rounded up, as upstream tells it.
        format!("{}{mark}timeout={}s", self.path, timeout.as_millis().div_ceil(1000))
    }
}

fn bracketed(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}

/// Whom to call, the name on its certificate, and the path.
fn target(config: &Value) -> Result<(Target, String, String), CalloutError> {
    let service = at(config, &["service"]);
    if service.is_object() {
        let (namespace, name) =
            (text(service, &["namespace"]).to_owned(), text(service, &["name"]).to_owned());
        let port = at(service, &["port"]).as_u64().and_then(|port| u16::try_from(port).ok());
        let path = format!("/{}", text(service, &["path"]).trim_start_matches('/'));
        let host = format!("{name}.{namespace}.svc");
        return Ok((Target::Service { namespace, name, port: port.unwrap_or(443) }, host, path));
    }
    let url = text(config, &["url"]);
    if url.is_empty() {
        return Err(CalloutError::NoTarget);
    }
    let uri: Uri =
        url.parse().map_err(|error: http::uri::InvalidUri| CalloutError::Url(error.to_string()))?;
    if uri.scheme_str() != Some("https") {
        return Err(CalloutError::Url(format!("{url:?}: only https is called")));
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let path = uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    Ok((Target::Host { host: host.clone(), port: uri.port_u16().unwrap_or(443) }, host, path))
}

/// TLS that trusts the bundle (PEM in base64), or the roots.
fn tls(bundle: &str, roots: &[CertificateDer<'static>]) -> Result<Arc<ClientConfig>, CalloutError> {
    let mut store = rustls::RootCertStore::empty();
    if bundle.is_empty() {
        store.add_parsable_certificates(roots.iter().cloned());
    } else {
        let pem = STANDARD.decode(bundle).map_err(|_| CalloutError::CaBundle)?;
        let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
        store.add_parsable_certificates(certificates.map_err(|_| CalloutError::CaBundle)?);
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(CalloutError::Tls)?;
    let mut tls = builder.with_root_certificates(store).with_no_client_auth();
    tls.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(tls))
}

impl PostError {
    /// Whether a kept connection was closed before the request went out.
    fn is_stale(&self) -> bool {
        matches!(self, Self::Http(error) if error.is_canceled() || error.is_closed())
    }
}

fn dial_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
        _ => error.to_string(),
    }
}

fn status_words(status: u16, body: &str) -> String {
    match status {
        401 => "Unauthorized".to_owned(),
        403 => format!("forbidden: {body}"),
        404 => "the server could not find the requested resource".to_owned(),
        500.. => {
            let body = Value::from(body.trim());
            format!("an error on the server ({body}) has prevented the request from succeeding")
        }
        status => {
            format!("the server responded with the status code {status} but did not return more information")
        }
    }
}

impl std::fmt::Debug for Callout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Callout(https://{}{})", self.authority(), self.path)
    }
}
