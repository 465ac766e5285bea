//! HTTP/1.1 over TCP and TLS: connections, a pool of idle ones, time limits.
//!
//! One request, one response: redirects, logins and retries are decided above.

mod body;
mod dial;
mod tls;

use std::collections::HashMap;
use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, header};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::client::conn::http1::SendRequest;
use tokio::task::JoinHandle;
use tokio::time::timeout;

pub(crate) use body::{Body, Payload};

use crate::config::Timeouts;
use crate::endpoint::Tls;
use crate::error::Error;
use crate::url::Origin;

/// Connections kept for reuse, per host.
const IDLE_MAX: usize = 8;

pub(crate) struct Transport {
    timeouts: Timeouts,
    idle: Mutex<HashMap<Route, Vec<Connection>>>,
    tls: tls::Profiles,
}

/// Where a connection goes and how it is protected: only such connections are alike.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Route {
    pub(crate) origin: Origin,
    pub(crate) tls: Tls,
}

/// An open connection; closed when dropped.
struct Connection {
    sender: SendRequest<Body>,
    driver: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// A response whose body is still to be read.
pub(crate) struct Response {
    pub(crate) head: http::response::Parts,
    body: Incoming,
    connection: Option<Connection>,
    transport: Arc<Transport>,
    route: Route,
    idle: Duration,
}

impl Transport {
    pub(crate) fn new(timeouts: Timeouts) -> Self {
        Self { timeouts, idle: Mutex::default(), tls: tls::Profiles::default() }
    }

    /// Sends one request and waits for the head of its response.
    pub(crate) async fn send(
        self: &Arc<Self>,
        route: &Route,
        mut request: Request<Payload>,
        user_agent: &HeaderValue,
    ) -> Result<Response, Error> {
        let host = route.origin.authority();
        let host_value = HeaderValue::try_from(&host).map_err(|_| Error::Protocol {
            host: host.clone(),
            what: "its host name is not valid".to_owned(),
        })?;
        request.headers_mut().insert(header::HOST, host_value);
        request.headers_mut().insert(header::USER_AGENT, user_agent.clone());
        // The connection speaks origin form.
        let path =
            request.uri().path_and_query().map_or("/", |path| path.as_str()).parse().unwrap_or_default();
        *request.uri_mut() = path;
        let broken = |during, source| Error::Broken { host: host.clone(), during, source };
        let (parts, payload) = request.into_parts();
        let (connection, response) = loop {
            let (mut connection, reused) = self.connection(route).await?;
            let source = |source| Error::Source { what: "content".to_owned(), source };
            let (body, length) = payload.clone().open().map_err(source)?;
            let mut request = Request::from_parts(parts.clone(), body);
            if let Some(length) = length {
                request.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
            }
            // The body may be long: the limit is for the answer, each piece has its own.
            let patience =
                self.timeouts.response + Duration::from_secs(length.unwrap_or(0) / SLOWEST_BYTES_PER_SECOND);
            match timeout(patience, connection.sender.send_request(request)).await {
                Ok(Ok(response)) => break (connection, response),
                // The server hung up on an idle connection before it saw the request.
                Ok(Err(error)) if reused && !error.is_timeout() => {}
                Ok(Err(error)) => return Err(broken("waiting for its answer", io_of(error))),
                Err(_) => return Err(broken("waiting for its answer", io::ErrorKind::TimedOut.into())),
            }
        };
        let (head, body) = response.into_parts();
        Ok(Response {
            head,
            body,
            connection: Some(connection),
            transport: Arc::clone(self),
            route: route.clone(),
            idle: self.timeouts.idle,
        })
    }

    /// A connection, and whether it has been used before.
    async fn connection(&self, route: &Route) -> Result<(Connection, bool), Error> {
        loop {
            let kept = self.pool().get_mut(route).and_then(Vec::pop);
            let Some(mut connection) = kept else { break };
            // The server may have hung up meanwhile.
            if connection.sender.ready().await.is_ok() && !connection.driver.is_finished() {
                return Ok((connection, true));
            }
        }
        let stream = dial::connect(&route.origin, &self.timeouts, || self.tls.get(&route.tls)).await?;
        let host = route.origin.authority();
        let (sender, driver) = hyper::client::conn::http1::handshake(stream).await.map_err(|error| {
            Error::Broken { host, during: "opening the connection", source: io_of(error) }
        })?;
        let driver = tokio::spawn(async move {
            // A failure of the connection shows in the request that was on it.
            let _ = driver.await;
        });
        Ok((Connection { sender, driver }, false))
    }

    fn pool(&self) -> std::sync::MutexGuard<'_, HashMap<Route, Vec<Connection>>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn keep(&self, route: &Route, connection: Connection) {
        let mut pool = self.pool();
        let kept = pool.entry(route.clone()).or_default();
        if kept.len() < IDLE_MAX {
            kept.push(connection);
        }
    }
}

/// Below this an upload counts as stuck.
const SLOWEST_BYTES_PER_SECOND: u64 = 64 * 1024;

impl Response {
    pub(crate) fn status(&self) -> http::StatusCode {
        self.head.status
    }

    pub(crate) fn header(&self, name: impl header::AsHeaderName) -> Option<&str> {
        self.head.headers.get(name).and_then(|value| value.to_str().ok())
    }

    pub(crate) fn host(&self) -> String {
        self.route.origin.authority()
    }

    /// The next bytes of the body; `None` at its end.
    ///
    /// Cancel-safe: a dropped call loses no bytes.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, Error> {
        let broken = |host, source| Error::Broken { host, during: "transferring", source };
        loop {
            match timeout(self.idle, self.body.frame()).await {
                Err(_) => return Err(broken(self.host(), io::ErrorKind::TimedOut.into())),
                Ok(Some(Err(error))) => {
                    self.connection = None;
                    return Err(broken(self.host(), io_of(error)));
                }
                Ok(None) => {
                    if let Some(connection) = self.connection.take() {
                        self.transport.keep(&self.route, connection);
                    }
                    return Ok(None);
                }
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        return Ok(Some(data));
                    }
                }
            }
        }
    }

    /// The whole body, if it is no longer than `limit`.
    pub(crate) async fn bytes(&mut self, limit: u64, what: &str) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            if (bytes.len() + chunk.len()) as u64 > limit {
                return Err(Error::TooLarge { what: what.to_owned(), host: self.host(), limit });
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes)
    }

    /// Reads the rest so that the connection can be used again, if the rest is short.
    pub(crate) async fn drain(mut self) {
        const WORTH_READING: u64 = 64 * 1024;
        let _ = self.bytes(WORTH_READING, "the rest of an answer").await;
    }
}

/// hyper's error as one of the system, with its cause if that is one.
fn io_of(error: hyper::Error) -> io::Error {
    let kind = if error.is_timeout() {
        io::ErrorKind::TimedOut
    } else if error.is_incomplete_message() || error.is_closed() {
        io::ErrorKind::UnexpectedEof
    } else {
        let mut source = std::error::Error::source(&error);
        let mut kind = io::ErrorKind::Other;
        while let Some(cause) = source {
            if let Some(cause) = cause.downcast_ref::<io::Error>() {
                kind = cause.kind();
            }
            source = cause.source();
        }
        kind
    };
    io::Error::new(kind, error)
}
