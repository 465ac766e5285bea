//! One connection, made when it is needed and again when it has broken.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::config::Endpoint;

/// A connection to one server, or none at the moment.
pub(super) struct Connection(Mutex<Option<Open>>);

struct Open {
    /// What it was made for.
    endpoint: Arc<Endpoint>,
    sender: SendRequest<Full<Bytes>>,
    driver: Driver,
}

/// What moves a connection's bytes.
struct Driver(Option<AbortHandle>);

/// The request did not get an answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum SendError {
    #[error("connect to {to}")]
    Connect {
        to: String,
        #[source]
        cause: io::Error,
    },
    #[error("speak HTTP/2")]
    Http(#[from] hyper::Error),
}

impl Connection {
    pub(super) fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// Sends a request. One that met a connection which the server had closed is sent again on a new one.
    pub(super) async fn send(
        &self,
        endpoint: &Arc<Endpoint>,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<Incoming>, SendError> {
        let mut request = request;
        for last in [false, true] {
            let mut sender = self.sender(endpoint).await?;
            match sender.try_send_request(request).await {
                Ok(response) => return Ok(response),
                Err(mut error) => match error.take_message() {
                    // Nothing of it was sent.
                    Some(message) if !last => request = message,
                    _ => return Err(error.into_error().into()),
                },
            }
        }
        Err(SendError::Connect { to: endpoint.authority(), cause: io::ErrorKind::ConnectionReset.into() })
    }

    async fn sender(&self, endpoint: &Arc<Endpoint>) -> Result<SendRequest<Full<Bytes>>, SendError> {
        // Held across the connect, so that all who wait get the same connection.
        let mut open = self.0.lock().await;
        let is_for = |open: &&Open| Arc::ptr_eq(&open.endpoint, endpoint) && !open.sender.is_closed();
        if let Some(open) = open.as_ref().filter(is_for) {
            return Ok(open.sender.clone());
        }
        let failed = |cause| SendError::Connect { to: endpoint.authority(), cause };
        let made = tokio::time::timeout(CONNECT_MAX, connect(endpoint)).await;
        let stream = made.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into())).map_err(failed)?;
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(KEEP_ALIVE)
            .handshake(TokioIo::new(stream))
            .await?;
        let driver = tokio::spawn(async move {
            // Requests on it have been told of the error.
            drop(connection.await);
        });
        let driver = Driver(Some(driver.abort_handle()));
        let made = Open { endpoint: Arc::clone(endpoint), sender: sender.clone(), driver };
        if let Some(mut old) = open.replace(made) {
            // What is under way on it goes on; it ends with that, as nobody can send on it any more.
            old.driver.0 = None;
        }
        Ok(sender)
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        if let Some(driver) = &self.0 {
            driver.abort();
        }
    }
}

async fn connect(endpoint: &Endpoint) -> io::Result<tokio_rustls::client::TlsStream<TcpStream>> {
    let stream = TcpStream::connect(endpoint.address()).await?;
    stream.set_nodelay(true)?;
    TlsConnector::from(endpoint.tls().clone()).connect(endpoint.name().clone(), stream).await
}

/// A server that is there answers sooner.
const CONNECT_MAX: Duration = Duration::from_secs(10);
/// A server that has vanished is noticed after this, and watches begin anew.
const KEEP_ALIVE: Duration = Duration::from_secs(30);
