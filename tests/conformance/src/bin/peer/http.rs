//! HTTP/1.1 and 2 servers, plain and over TLS, for handlers that take a request with its whole body.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_rustls::TlsAcceptor;

/// A request, its body read.
pub(crate) type Asked = Request<Bytes>;
/// An answer, whole.
pub(crate) type Answered = Response<Full<Bytes>>;

/// Where pods have a server's certificate and key from a secret, and the authority of its clients.
const MOUNTED: &str = "/serving";
/// The header that says that a client has shown a certificate; whoever sends it is not heard.
pub(crate) const KNOWN: &str = "x-peer-certified";

/// Ends on SIGTERM and SIGINT, which process 1 gets only when it handles them.
pub(crate) fn ended() -> anyhow::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

/// An answer of text.
pub(crate) fn text(status: u16, body: impl Into<Bytes>) -> Answered {
    kind(status, "text/plain; charset=utf-8", body)
}

/// An answer of JSON.
pub(crate) fn json(status: u16, body: &serde_json::Value) -> Answered {
    kind(status, "application/json", body.to_string())
}

/// An answer of a media type.
pub(crate) fn kind(status: u16, kind: &'static str, body: impl Into<Bytes>) -> Answered {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert("content-type", http::HeaderValue::from_static(kind));
    answer
}

/// The certificate and key that a secret has brought.
pub(crate) fn mounted() -> anyhow::Result<ServerConfig> {
    let read =
        |name: &str| std::fs::read(format!("{MOUNTED}/{name}")).with_context(|| format!("{MOUNTED}/{name}"));
    let chain = CertificateDer::pem_slice_iter(&read("tls.crt")?).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&read("tls.key")?)?;
    let authority = read("client-ca.crt").ok();
    config(chain, key, authority.as_deref())
}

/// A certificate that nobody has signed.
pub(crate) fn unsigned() -> anyhow::Result<ServerConfig> {
    let made = rcgen::generate_simple_self_signed(["peer".to_owned()])?;
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(anyhow::Error::msg)?;
    config(vec![made.cert.der().clone()], key, None)
}

fn config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<&[u8]>,
) -> anyhow::Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(Arc::clone(&provider));
    let config = config.with_safe_default_protocol_versions()?;
    let config = match clients {
        None => config.with_no_client_auth(),
        Some(authority) => {
            let mut roots = RootCertStore::empty();
            for certificate in CertificateDer::pem_slice_iter(authority) {
                roots.add(certificate?)?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
            config.with_client_cert_verifier(verifier.allow_unauthenticated().build()?)
        }
    };
    let mut config = config.with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// Serves until the process ends.
pub(crate) async fn serve<F, R>(port: u16, handler: F) -> anyhow::Result<()>
where
    F: Fn(Asked, SocketAddr) -> R + Clone + Send + 'static,
    R: Future<Output = Answered> + Send + 'static,
{
    let listener = TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("port {port}"))?;
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        tokio::spawn(connection(stream, peer, false, handler.clone()));
    }
}

/// The same over TLS.
pub(crate) async fn serve_tls<F, R>(port: u16, config: ServerConfig, handler: F) -> anyhow::Result<()>
where
    F: Fn(Asked, SocketAddr) -> R + Clone + Send + 'static,
    R: Future<Output = Answered> + Send + 'static,
{
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind(("0.0.0.0", port)).await.with_context(|| format!("port {port}"))?;
    loop {
        let Ok((stream, peer)) = listener.accept().await else { continue };
        let (acceptor, handler) = (acceptor.clone(), handler.clone());
        tokio::spawn(async move {
            if let Ok(stream) = acceptor.accept(stream).await {
                let known = stream.get_ref().1.peer_certificates().is_some();
                connection(stream, peer, known, handler).await;
            }
        });
    }
}

async fn connection<S, F, R>(stream: S, peer: SocketAddr, known: bool, handler: F)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Asked, SocketAddr) -> R + Clone + Send + 'static,
    R: Future<Output = Answered> + Send + 'static,
{
    let service = service_fn(move |request: Request<hyper::body::Incoming>| {
        let handler = handler.clone();
        async move {
            let (mut head, body) = request.into_parts();
            head.headers.remove(KNOWN);
            if known {
                head.headers.insert(KNOWN, http::HeaderValue::from_static("true"));
            }
            let body = body.collect().await?.to_bytes();
            Ok::<_, hyper::Error>(handler(Request::from_parts(head, body), peer).await)
        }
    });
    // A client that goes away in the middle is its own affair.
    let _ = auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
}
