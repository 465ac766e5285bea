//! Name → address → TCP → perhaps TLS.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::config::Timeouts;
use crate::error::Error;
use crate::hosts::HostsError;
use crate::url::Origin;

/// A connection to a host, with or without TLS.
pub(super) enum Stream {
    Plain(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

/// Opens a connection; `tls` is only asked for its settings when they are needed.
pub(super) async fn connect(
    origin: &Origin,
    timeouts: &Timeouts,
    tls: impl FnOnce() -> Result<Arc<ClientConfig>, HostsError>,
) -> Result<TokioIo<Stream>, Error> {
    let host = origin.authority();
    let tcp =
        tcp(origin, timeouts).await.map_err(|source| Error::Unreachable { host: host.clone(), source })?;
    if !origin.https {
        return Ok(TokioIo::new(Stream::Plain(tcp)));
    }
    let failed = |source| Error::Tls { host: host.clone(), source };
    let name = ServerName::try_from(origin.host.clone())
        .map_err(|error| failed(io::Error::new(io::ErrorKind::InvalidInput, error)))?;
    let handshake = TlsConnector::from(tls()?).connect(name, tcp);
    match timeout(timeouts.handshake, handshake).await {
        Ok(Ok(stream)) => Ok(TokioIo::new(Stream::Tls(Box::new(stream)))),
        Ok(Err(source)) => Err(failed(source)),
        Err(_) => Err(failed(io::ErrorKind::TimedOut.into())),
    }
}

/// Tries each address of the name in the resolver's order.
async fn tcp(origin: &Origin, timeouts: &Timeouts) -> io::Result<TcpStream> {
    let lookup = timeout(timeouts.connect, lookup_host((origin.host.as_str(), origin.port)));
    let addresses = lookup.await.map_err(|_| io::Error::from(io::ErrorKind::TimedOut))??;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        match timeout(timeouts.connect, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                stream.set_nodelay(true)?;
                return Ok(stream);
            }
            Ok(Err(error)) => last = error,
            Err(_) => last = io::ErrorKind::TimedOut.into(),
        }
    }
    Err(last)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
