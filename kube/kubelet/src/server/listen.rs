//! Connections: accepted, wrapped in TLS, served in HTTP/1.1, which is what upgrades need.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use super::Server;
use super::access::Peer;

/// How long a client may take for its handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the head of a request may take.
const HEADER_TIMEOUT: Duration = Duration::from_secs(32);

/// What it speaks over TLS (ALPN).
pub const PROTOCOLS: &[&[u8]] = &[b"http/1.1"];

/// Where connections come from; the newest configuration counts for each new connection.
#[derive(Debug)]
pub struct Listener {
    /// The socket.
    pub socket: TcpListener,
    /// What the server shows.
    pub tls: watch::Receiver<Arc<ServerConfig>>,
}

pub(super) async fn serve(server: Arc<Server>, listener: Listener) {
    let mut shutdown = server.shutdown.clone();
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.socket.accept() => match accepted {
                Ok((stream, _)) => {
                    // Keys that are typed should not wait for more.
                    drop(stream.set_nodelay(true));
                    let acceptor = TlsAcceptor::from(Arc::clone(&listener.tls.borrow()));
                    connections.spawn(connection(Arc::clone(&server), acceptor, stream));
                }
                // Out of descriptors, mostly: connections end meanwhile.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            () = client::asked_to_end(&mut shutdown) => break,
        }
    }
    connections.shutdown().await;
}

async fn connection(server: Arc<Server>, acceptor: TlsAcceptor, stream: TcpStream) {
    let handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream));
    let Ok(Ok(stream)) = handshake.await else { return };
    let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default().into();
    let peer = Peer { certificates };
    let service = service_fn(move |request| {
        let (server, peer) = (Arc::clone(&server), peer.clone());
        async move { Ok::<_, Infallible>(server.handle(&peer, request).await) }
    });
    let connection = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .with_upgrades();
    // A client that goes away or talks nonsense is no news.
    drop(connection.await);
}
