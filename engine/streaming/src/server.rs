//! The HTTP server behind the URLs.

use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, SEC_WEBSOCKET_ACCEPT};
use http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use http::{HeaderMap, Request as HttpRequest, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::backing::{Attach, Backing, Exec, Forward};
use crate::commands::{self, Command, Version};
use crate::forward;
use crate::negotiate::{self, ACCEPTED, PROTOCOL, Transport};
use crate::tokens::{Tokens, TooManyRequests};
use crate::websocket::{self, Coding, Tunnel};

/// SPDY frames inside a WebSocket's messages.
const TUNNEL: &str = "SPDY/3.1+portforward.k8s.io";

const COMMANDS_SPDY: &[&str] =
    &["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"];
const COMMANDS_WEBSOCKET: &[&str] = &[
    "v5.channel.k8s.io",
    "v4.channel.k8s.io",
    "v4.base64.channel.k8s.io",
    "channel.k8s.io",
    "base64.channel.k8s.io",
];
const FORWARD_SPDY: &[&str] = &["portforward.k8s.io"];
const FORWARD_WEBSOCKET: &[&str] = &[TUNNEL, "v4.channel.k8s.io", "v4.base64.channel.k8s.io"];

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Config {
    /// What URLs begin with, without a slash at the end: `http://127.0.0.1:10010`.
    pub base_url: String,
    /// How long a connection lives without a byte.
    pub idle: Duration,
}

impl Config {
    /// Upstream's time-out.
    pub fn at(base_url: impl Into<String>) -> Self {
        Self { base_url: base_url.into(), idle: Duration::from_secs(4 * 60 * 60) }
    }
}

#[derive(Clone, Debug)]
enum Request {
    Command(Command),
    Forward(Forward),
}

/// Hands out URLs and serves them.
pub struct Server {
    backing: Arc<dyn Backing>,
    config: Config,
    tokens: Mutex<Tokens<Request>>,
    shutdown: watch::Receiver<bool>,
}

impl Server {
    /// A server in front of `backing`; its connections end when `shutdown` becomes true.
    pub fn new(backing: Arc<dyn Backing>, config: Config, shutdown: watch::Receiver<bool>) -> Arc<Self> {
        Arc::new(Self { backing, config, tokens: Mutex::new(Tokens::new()), shutdown })
    }

    /// The URL of a command.
    pub fn exec(&self, request: Exec) -> Result<String, TooManyRequests> {
        self.url("exec", Request::Command(Command::Exec(request)))
    }

    /// The URL of an attach.
    pub fn attach(&self, request: Attach) -> Result<String, TooManyRequests> {
        self.url("attach", Request::Command(Command::Attach(request)))
    }

    /// The URL of a port-forward.
    pub fn forward(&self, request: Forward) -> Result<String, TooManyRequests> {
        self.url("portforward", Request::Forward(request))
    }

    fn url(&self, kind: &str, request: Request) -> Result<String, TooManyRequests> {
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let token = tokens.issue(request, Instant::now())?;
        Ok(format!("{}/{kind}/{token}", self.config.base_url))
    }

    /// Serves connections until the shutdown.
    pub async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut shutdown = self.shutdown.clone();
        let mut connections = JoinSet::new();
        loop {
            tokio::select! {
                accepted = listener.accept() => match accepted {
                    Ok((stream, _)) => {
                        // Keys that are typed should not wait for more.
                        drop(stream.set_nodelay(true));
                        connections.spawn(Arc::clone(&self).connection(stream));
                    }
                    // Out of descriptors, mostly: connections end meanwhile.
                    Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
                },
                Some(_) = connections.join_next(), if !connections.is_empty() => {}
                () = asked_to_end(&mut shutdown) => break,
            }
        }
        connections.shutdown().await;
    }

    async fn connection(self: Arc<Self>, stream: tokio::net::TcpStream) {
        let service = service_fn(move |request| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.handle(request)) }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .serve_connection(TokioIo::new(stream), service)
            .with_upgrades();
        // A client that goes away or talks nonsense is no news.
        drop(connection.await);
    }

    /// Answers one request; the work of an upgraded connection is a task of its own.
    pub fn handle(&self, mut request: HttpRequest<Incoming>) -> Response<Full<Bytes>> {
        let Some(found) = self.take(request.uri().path()) else {
            return text(StatusCode::NOT_FOUND, "404 page not found");
        };
        let Some(transport) = negotiate::transport(request.headers()) else {
            return text(StatusCode::BAD_REQUEST, "unable to upgrade: missing upgrade headers in request");
        };
        let ours = match (&found, transport) {
            (Request::Command(_), Transport::Spdy) => COMMANDS_SPDY,
            (Request::Command(_), Transport::WebSocket) => COMMANDS_WEBSOCKET,
            (Request::Forward(_), Transport::Spdy) => FORWARD_SPDY,
            (Request::Forward(_), Transport::WebSocket) => FORWARD_WEBSOCKET,
        };
        let protocol = match agree(request.headers(), transport, ours) {
            Ok(protocol) => protocol,
            Err(refusal) => return *refusal,
        };
        let switching = match transport {
            Transport::Spdy => switching_to_spdy(&protocol),
            Transport::WebSocket => match websocket::accept_key(request.headers()) {
                Some(key) => switching_to_websocket(&key, &protocol),
                None => return text(StatusCode::BAD_REQUEST, "unable to upgrade: not a WebSocket handshake"),
            },
        };
        let upgrade = hyper::upgrade::on(&mut request);
        let work = run(upgrade, found, transport, protocol, Arc::clone(&self.backing), self.config.idle);
        let mut shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = work => {}
                () = asked_to_end(&mut shutdown) => {}
            }
        });
        switching
    }

    fn take(&self, path: &str) -> Option<Request> {
        let (kind, token) = path.strip_prefix('/')?.split_once('/')?;
        let mut tokens = self.tokens.lock().unwrap_or_else(PoisonError::into_inner);
        let found = tokens.take(token, Instant::now())?;
        let named = match found {
            Request::Command(Command::Exec(_)) => "exec",
            Request::Command(Command::Attach(_)) => "attach",
            Request::Forward(_) => "portforward",
        };
        (kind == named).then_some(found)
    }
}

/// The sub-protocol, or the answer that says why there is none.
fn agree(
    headers: &HeaderMap,
    transport: Transport,
    ours: &[&str],
) -> Result<String, Box<Response<Full<Bytes>>>> {
    let offered = negotiate::offered(headers, transport);
    if offered.is_empty() {
        return match transport {
            // As upstream: WebSocket clients that name none speak the oldest, in binary.
            Transport::WebSocket => Ok(String::new()),
            Transport::Spdy => {
                let why = "unable to upgrade: X-Stream-Protocol-Version is required";
                Err(Box::new(text(StatusCode::BAD_REQUEST, why)))
            }
        };
    }
    if let Some(protocol) = negotiate::choose(&offered, ours) {
        return Ok(protocol.to_owned());
    }
    let why = format!(
        "unable to upgrade: unable to negotiate protocol: client supports [{}], server accepts [{}]",
        offered.join(" "),
        ours.join(" ")
    );
    let mut refusal = text(StatusCode::FORBIDDEN, &why);
    for protocol in ours {
        if let Ok(value) = HeaderValue::from_str(protocol) {
            refusal.headers_mut().append(HeaderName::from_static(ACCEPTED), value);
        }
    }
    Err(Box::new(refusal))
}

async fn run(
    upgrade: OnUpgrade,
    request: Request,
    transport: Transport,
    protocol: String,
    backing: Arc<dyn Backing>,
    idle: Duration,
) {
    let Ok(upgraded) = upgrade.await else { return };
    let io = TokioIo::new(upgraded);
    let version = Version::of(&protocol);
    match (request, transport) {
        (Request::Command(command), Transport::Spdy) => {
            commands::over_spdy(io, version, command, backing, idle).await;
        }
        (Request::Command(command), Transport::WebSocket) => {
            let socket = socket(io).await;
            commands::over_websocket(socket, version, Coding::of(&protocol), command, backing).await;
        }
        (Request::Forward(request), Transport::Spdy) => {
            forward::over_spdy(io, request, backing, idle).await;
        }
        (Request::Forward(request), Transport::WebSocket) if protocol == TUNNEL => {
            forward::over_spdy(Tunnel::new(socket(io).await), request, backing, idle).await;
        }
        (Request::Forward(request), Transport::WebSocket) => {
            forward::over_websocket(socket(io).await, Coding::of(&protocol), request, backing).await;
        }
    }
}

async fn socket(io: TokioIo<Upgraded>) -> WebSocketStream<TokioIo<Upgraded>> {
    WebSocketStream::from_raw_socket(io, Role::Server, Some(websocket::limits())).await
}

/// Returns when the end is asked for, or nobody can ask any more.
async fn asked_to_end(shutdown: &mut watch::Receiver<bool>) {
    let _ = shutdown.wait_for(|ended| *ended).await;
}

fn switching_to_spdy(protocol: &str) -> Response<Full<Bytes>> {
    let mut response = switching("SPDY/3.1");
    if let Ok(protocol) = HeaderValue::from_str(protocol) {
        response.headers_mut().insert(HeaderName::from_static(PROTOCOL), protocol);
    }
    response
}

fn switching_to_websocket(key: &str, protocol: &str) -> Response<Full<Bytes>> {
    let mut response = switching("websocket");
    if let Ok(key) = HeaderValue::from_str(key) {
        response.headers_mut().insert(SEC_WEBSOCKET_ACCEPT, key);
    }
    // A client that offered none must get none.
    if let (false, Ok(protocol)) = (protocol.is_empty(), HeaderValue::from_str(protocol)) {
        response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, protocol);
    }
    response
}

fn switching(to: &'static str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("Upgrade"));
    response.headers_mut().insert(UPGRADE, HeaderValue::from_static(to));
    response
}

fn text(status: StatusCode, text: &str) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::from(format!("{text}\n")));
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}
