//! Handing a request to another server and its answer back, upgrades included.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use audit::Trail;
use bytes::Bytes;
use http::header::{CONNECTION, HOST, HeaderName, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Body as HttpBody, Incoming};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

use super::pool::Pool;
use crate::http::BodyError;

/// How long connecting and the handshake may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A body on its way back.
pub(crate) type ForwardBody = BoxBody<Bytes, BodyError>;

/// Where a request goes.
#[derive(Clone)]
pub(crate) struct Way {
    /// Host and port.
    pub(crate) address: String,
    /// TLS and the name that the server's certificate must have.
    pub(crate) tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// What stands in `Host`.
    pub(crate) host: String,
}

/// The other server cannot be asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ForwardError {
    /// No connection.
    #[error("connect to {address}")]
    Connect {
        /// Where.
        address: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The connection broke, or it speaks no HTTP.
    #[error("ask {address}")]
    Ask {
        /// Whom.
        address: String,
        /// Why not.
        #[source]
        source: hyper::Error,
    },
    /// The path cannot stand in a request.
    #[error("path of the proxied request")]
    Path(#[source] http::Error),
}

impl ForwardError {
    /// The error as clients know it from upstream.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Connect { address, source } => {
                let why = match source.kind() {
                    io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
                    io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
                    io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
                    io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
                    _ => source.to_string(),
                };
                format!("dial tcp {address}: {why}")
            }
            Self::Ask { source, .. } => source.to_string(),
            Self::Path(source) => source.to_string(),
        }
    }
}

/// Sends a request on to `path` (with its query) at another server, with `extra` headers; over a
/// connection that is kept where there is a pool.
pub(crate) async fn forward(
    way: &Way,
    path: &str,
    mut request: Request<Incoming>,
    extra: HeaderMap,
    pool: Option<&Arc<Pool>>,
    shutdown: watch::Receiver<bool>,
) -> Result<Response<ForwardBody>, ForwardError> {
    let upgrade = request.headers().get(UPGRADE).cloned();
    let from_client = upgrade.is_some().then(|| hyper::upgrade::on(&mut request));
    // The record of a request ends with its connection.
    let trail = request.extensions().get::<Trail>().cloned();
    let (parts, body) = request.into_parts();
    let mut onward = Request::builder()
        .method(parts.method)
        .uri(Uri::builder().path_and_query(path).build().map_err(ForwardError::Path)?)
        .version(Version::HTTP_11)
        .body(body)
        .map_err(ForwardError::Path)?;
    *onward.headers_mut() = parts.headers;
    strip(onward.headers_mut());
    if let Ok(host) = HeaderValue::from_str(&way.host) {
        onward.headers_mut().insert(HOST, host);
    }
    onward.headers_mut().extend(extra);
    if let Some(protocol) = upgrade {
        onward.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        onward.headers_mut().insert(UPGRADE, protocol);
    }
    let mut response = match pool {
        Some(pool) => pool.send(way, onward, shutdown.clone()).await?,
        None => send(way, onward, shutdown.clone()).await?,
    };
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let from_server = hyper::upgrade::on(&mut response);
        if let Some(from_client) = from_client {
            tokio::spawn(async move {
                join(from_client, from_server, shutdown).await;
                drop(trail);
            });
        }
        let (parts, _) = response.into_parts();
        let none = Empty::new().map_err(|never| match never {}).boxed();
        return Ok(Response::from_parts(parts, none));
    }
    let mut response = response.map(|body| body.map_err(BodyError::from).boxed());
    strip(response.headers_mut());
    Ok(response)
}

/// Sends a request as it is, over a connection of its own.
pub(crate) async fn send<B>(
    way: &Way,
    request: Request<B>,
    shutdown: watch::Receiver<bool>,
) -> Result<Response<Incoming>, ForwardError>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let mut sender = connect(way, shutdown).await?;
    let ask = |source| ForwardError::Ask { address: way.address.clone(), source };
    sender.send_request(request).await.map_err(ask)
}

/// Opens a connection, which lives until the shutdown at most.
pub(super) async fn connect<B>(
    way: &Way,
    shutdown: watch::Receiver<bool>,
) -> Result<http1::SendRequest<B>, ForwardError>
where
    B: HttpBody<Data = Bytes> + Send + Unpin + 'static,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    let failed = |source| ForwardError::Connect { address: way.address.clone(), source };
    let ask = |source| ForwardError::Ask { address: way.address.clone(), source };
    let timed_out = || failed(io::Error::from(io::ErrorKind::TimedOut));
    let opened = tokio::time::timeout(CONNECT_TIMEOUT, open(way)).await;
    let stream = opened.map_err(|_| timed_out())?.map_err(failed)?;
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(ask)?;
    tokio::spawn(until(shutdown, async move { drop(connection.with_upgrades().await) }));
    Ok(sender)
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

async fn open(way: &Way) -> io::Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(&way.address).await?;
    stream.set_nodelay(true)?;
    match &way.tls {
        None => Ok(Box::new(stream)),
        Some((config, name)) => {
            let connector = TlsConnector::from(Arc::clone(config));
            Ok(Box::new(connector.connect(name.clone(), stream).await?))
        }
    }
}

/// Joins the two ends of an upgraded connection until one closes.
async fn join(
    client: hyper::upgrade::OnUpgrade,
    server: hyper::upgrade::OnUpgrade,
    shutdown: watch::Receiver<bool>,
) {
    let joined = async {
        let (Ok(client), Ok(server)) = (client.await, server.await) else { return };
        let (mut client, mut server) = (TokioIo::new(client), TokioIo::new(server));
        // An end that goes away ends both.
        drop(tokio::io::copy_bidirectional(&mut client, &mut server).await);
    };
    until(shutdown, joined).await;
}

pub(super) async fn until(mut shutdown: watch::Receiver<bool>, work: impl Future<Output = ()>) {
    tokio::select! {
        () = work => {}
        () = client::asked_to_end(&mut shutdown) => {}
    }
}

/// Takes away what is between two neighbours only, and what the client showed us of itself.
fn strip(headers: &mut HeaderMap) {
    const OURS: [HeaderName; 4] = [CONNECTION, UPGRADE, TRANSFER_ENCODING, http::header::AUTHORIZATION];
    for name in OURS {
        headers.remove(name);
    }
    for name in
        ["keep-alive", "proxy-connection", "proxy-authorization", "proxy-authenticate", "te", "trailer"]
    {
        headers.remove(name);
    }
    let claims: Vec<HeaderName> = headers
        .keys()
        .filter(|name| name.as_str().starts_with("x-remote-") || name.as_str().starts_with("impersonate-"))
        .cloned()
        .collect();
    for name in claims {
        headers.remove(name);
    }
}

/// A name or address as TLS wants it.
pub(crate) fn server_name(host: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(host.to_owned()).ok()
}
