//! Connections: accepted, wrapped in TLS, served in HTTP/1.1 or HTTP/2, and ended gently.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream, UnixListener};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Front;
use super::chain::Peer;
use super::gather::Gather;
use super::streams::{Driver, Streams};

/// How long a client may take to say the first word, and to end a handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take; upstream's.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);
/// An HTTP/2 connection that is silent is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(60);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// What all header fields of a request may add up to.
const HEADERS_MAX: u32 = 256 * 1024;
/// Requests at a time on one connection; upstream's `--http2-max-streams-per-connection`.
const STREAMS_MAX: u32 = 1000;
/// What a client may send on a stream before we have read it: half of upstream's, since large bodies
/// wait so.
const STREAM_WINDOW: u32 = 128 * 1024;
/// On all streams of a connection together: those that wait must not stop the others.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS_MAX;

/// What it speaks over TLS (ALPN), the best first.
pub const PROTOCOLS: &[&[u8]] = &[b"h2", b"http/1.1"];

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// TLS over TCP; the newest configuration counts for each new connection.
    Tls(TcpListener, watch::Receiver<Arc<ServerConfig>>),
    /// A Unix socket without TLS, for this machine alone: clients show tokens.
    Unix(UnixListener),
}

/// How serving ends.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long requests may go on after the end was asked for.
    pub drain: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self { drain: Duration::from_secs(10) }
    }
}

/// Serves until `shutdown` is true, and then until all requests have ended or the time is over.
pub async fn serve(
    front: Arc<Front>,
    listener: Listener,
    settings: Settings,
    mut shutdown: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = accept(&listener) => match accepted {
                Ok(accepted) => {
                    connections.spawn(handle(Arc::clone(&front), accepted, shutdown.clone()));
                }
                // Out of descriptors, mostly: the listener stays, connections end meanwhile.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = client::asked_to_end(&mut shutdown) => break,
        }
    }
    drop(listener);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(settings.drain, drained).await.is_err() {
        connections.shutdown().await;
    }
}

enum Accepted {
    Tls(TcpStream, String, Arc<ServerConfig>),
    Unix(tokio::net::UnixStream),
}

async fn accept(listener: &Listener) -> io::Result<Accepted> {
    match listener {
        Listener::Tls(listener, config) => {
            let (stream, address) = listener.accept().await?;
            // Small answers should not wait for larger ones.
            let _ = stream.set_nodelay(true);
            Ok(Accepted::Tls(stream, address.to_string(), Arc::clone(&config.borrow())))
        }
        Listener::Unix(listener) => Ok(Accepted::Unix(listener.accept().await?.0)),
    }
}

async fn handle(front: Arc<Front>, accepted: Accepted, shutdown: watch::Receiver<bool>) {
    match accepted {
        Accepted::Tls(stream, address, config) => {
            let handshake = TlsAcceptor::from(config).accept(stream);
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_TIMEOUT, handshake).await else { return };
            let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
            connection(front, stream, Peer { certificates, address }, shutdown).await;
        }
        Accepted::Unix(stream) => connection(front, stream, Peer::default(), shutdown).await,
    }
}

async fn connection<S>(front: Arc<Front>, stream: S, peer: Peer, mut shutdown: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let streams = Streams::default();
    let arriving = streams.clone();
    let service = service_fn(move |request| {
        arriving.expect(is_watch(&request));
        let (front, peer) = (Arc::clone(&front), peer.clone());
        async move { Ok::<_, Infallible>(front.handle(peer, request).await) }
    });
    let builder = builder(streams.clone());
    let stream = Gather::new(stream);
    let io = TokioIo::new(stream.clone());
    let mut driver = Driver::new(builder.serve_connection_with_upgrades(io, service), streams);
    tokio::select! {
        // A client that goes away or talks nonsense is no news.
        _ = poll_fn(|context| stream.poll(context, |context| driver.poll(context))) => {}
        () = client::asked_to_end(&mut shutdown) => {
            driver.connection().graceful_shutdown();
            let _ = poll_fn(|context| stream.poll(context, |context| driver.poll(context))).await;
        }
    }
}

/// Whether a request looks like a watch: it is nothing more than a matter of who polls its answer.
fn is_watch<B>(request: &Request<B>) -> bool {
    let asks = |query: &str| query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1" | "watch"));
    *request.method() == Method::GET && request.uri().query().is_some_and(asks)
}

fn builder(streams: Streams) -> Builder<Streams> {
    let mut builder = Builder::new(streams);
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(HEADERS_MAX as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(HEADERS_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW);
    builder
}
