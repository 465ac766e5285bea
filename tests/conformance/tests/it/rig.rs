//! A server that all tests of this binary share, and a small client of it that waits.
//!
//! A test makes namespaces of its own ([`Rig::namespace`]) or objects with names of its own
//! ([`unique`]), so that tests may run side by side. The server lives as long as any test holds it.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use testkit::kube::KubeServer;
use tokio::runtime::Runtime;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

static RUNTIME: LazyLock<Runtime> = LazyLock::new(|| {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
});
static SHARED: Mutex<Weak<Rig>> = Mutex::new(Weak::new());
static COUNTER: AtomicU32 = AtomicU32::new(0);

/// What a request may take at most, and an event of a watch.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);

pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";

/// The server and who speaks to it.
pub(crate) struct Rig {
    pub(crate) server: Server,
    address: SocketAddr,
    admin: SendRequest<Full<Bytes>>,
    nobody: SendRequest<Full<Bytes>>,
    pub(crate) authority: String,
    identity: (String, String),
}

/// The process behind a [`Rig`].
pub(crate) enum Server {
    /// A server alone, for as long as the rig lives.
    Own(Box<KubeServer>),
    /// Somebody else sees to it.
    Elsewhere,
}

impl std::ops::Deref for Server {
    type Target = KubeServer;

    fn deref(&self) -> &KubeServer {
        match self {
            Self::Own(server) => server,
            Self::Elsewhere => panic!("this server is not the test's own"),
        }
    }
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The object of a 2xx answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {}", self.code, self.text());
        self.json()
    }

    /// The `Status` of a refusal with this code.
    #[track_caller]
    pub(crate) fn refused(&self, code: u16) -> Value {
        assert_eq!(self.code, code, "{}", self.text());
        self.json()
    }
}

/// A name that no other test uses.
pub(crate) fn unique(prefix: &str) -> String {
    format!("{prefix}-{}", COUNTER.fetch_add(1, Ordering::Relaxed))
}

/// The shared server.
pub(crate) fn rig() -> Arc<Rig> {
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(rig) = shared.upgrade() {
        return rig;
    }
    let rig = Arc::new(Rig::start(&[]));
    *shared = Arc::downgrade(&rig);
    rig
}

impl Rig {
    /// A server of a test's own, with more options.
    pub(crate) fn start(extra: &[&str]) -> Self {
        let server = KubeServer::start_with(extra);
        let (address, kubeconfig) = (SocketAddr::from(([127, 0, 0, 1], server.port())), server.kubeconfig());
        let connect = || TcpStream::connect(address).unwrap();
        Self::open_at(Server::Own(Box::new(server)), address, &kubeconfig, connect)
    }

    /// One that runs already at `address`, reached by what `connect` opens.
    pub(crate) fn of(kubeconfig: &Path, address: SocketAddr, connect: impl Fn() -> TcpStream) -> Self {
        Self::open_at(Server::Elsewhere, address, kubeconfig, connect)
    }

    fn open_at(
        server: Server,
        address: SocketAddr,
        kubeconfig: &Path,
        connect: impl Fn() -> TcpStream,
    ) -> Self {
        let config = std::fs::read_to_string(kubeconfig).unwrap();
        let pem = |name: &str| {
            let line = config.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            String::from_utf8(STANDARD.decode(line.trim()).unwrap()).unwrap()
        };
        let authority = pem("certificate-authority-data:");
        let identity = (pem("client-certificate-data:"), pem("client-key-data:"));
        let admin = RUNTIME.block_on(handshake(connect(), &authority, Some(&identity)));
        let nobody = RUNTIME.block_on(handshake(connect(), &authority, None));
        Self { server, address, admin, nobody, authority, identity }
    }

    /// Sends a request as the administrator, or with `authorization` as whoever that names.
    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let response = self.open(method, path, headers, body);
        RUNTIME.block_on(async {
            let (parts, body) = response.into_parts();
            let body = tokio::time::timeout(ANSWER_WITHIN, body.collect()).await.unwrap().unwrap();
            Answer { code: parts.status.as_u16(), headers: parts.headers, body: body.to_bytes() }
        })
    }

    fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Response<Incoming> {
        let uri = format!("https://{}{path}", self.address);
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Full::new(body.into())).unwrap();
        let other = headers.iter().any(|(name, _)| *name == "authorization");
        let mut sender = if other { self.nobody.clone() } else { self.admin.clone() };
        RUNTIME.block_on(async {
            let answer = tokio::time::timeout(ANSWER_WITHIN, sender.send_request(request)).await;
            answer.expect("an answer in time").unwrap()
        })
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "")
    }

    pub(crate) fn get_as(&self, path: &str, accept: &str) -> Answer {
        self.send("GET", path, &[("accept", accept)], "")
    }

    pub(crate) fn create(&self, path: &str, object: &Value) -> Answer {
        self.send("POST", path, &[("content-type", "application/json")], object.to_string())
    }

    pub(crate) fn update(&self, path: &str, object: &Value) -> Answer {
        self.send("PUT", path, &[("content-type", "application/json")], object.to_string())
    }

    /// `how` is one of the `…_PATCH` media types.
    pub(crate) fn patch(&self, path: &str, how: &str, patch: &Value) -> Answer {
        self.send("PATCH", path, &[("content-type", how)], patch.to_string())
    }

    pub(crate) fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], "")
    }

    pub(crate) fn delete_with(&self, path: &str, options: &Value) -> Answer {
        self.send("DELETE", path, &[("content-type", "application/json")], options.to_string())
    }

    /// Follows what `path` (with its query, but without `watch`) lists.
    pub(crate) fn watch(&self, path: &str) -> Watch {
        let joint = if path.contains('?') { '&' } else { '?' };
        let response = self.open("GET", &format!("{path}{joint}watch=true"), &[], "");
        let code = response.status().as_u16();
        let mut watch = Watch { body: response.into_body(), buffer: Vec::new() };
        if code != 200 {
            let said = RUNTIME.block_on((&mut watch.body).collect()).unwrap().to_bytes();
            panic!("watch {path}: {code} {}", String::from_utf8_lossy(&said));
        }
        watch
    }

    /// What a WebSocket brings over a connection to the server, message by message, to its end.
    pub(crate) fn websocket(&self, connection: TcpStream, path: &str, protocol: &str) -> Vec<Bytes> {
        let mut request = format!("wss://{}{path}", self.address).into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let messages = self.messages(connection, request);
        RUNTIME.block_on(async { tokio::time::timeout(ANSWER_WITHIN, messages).await.unwrap() })
    }

    async fn messages(&self, connection: TcpStream, request: Request<()>) -> Vec<Bytes> {
        let stream = secured(connection, &self.authority, Some(&self.identity), b"http/1.1").await;
        let protocol = request.headers()["sec-websocket-protocol"].clone();
        let (mut socket, answer) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(answer.headers().get("sec-websocket-protocol"), Some(&protocol));
        let mut all = Vec::new();
        while let Some(Ok(message)) = socket.next().await {
            if message.is_text() || message.is_binary() {
                all.push(message.into_data());
            }
        }
        all
    }

    /// Makes a namespace with a name of its own and waits for its default service account.
    pub(crate) fn namespace(&self) -> String {
        let name = unique("conf");
        let object = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
        self.create("/api/v1/namespaces", &object).ok();
        wait_for("the default service account", || {
            self.get(&format!("/api/v1/namespaces/{name}/serviceaccounts/default")).code == 200
        });
        name
    }

    /// Runs kubectl, which must succeed; its output.
    #[track_caller]
    pub(crate) fn kubectl(&self, args: &[&str]) -> String {
        self.server.kubectl(args).ok().to_owned()
    }
}

/// Looks at `condition` until it holds.
///
/// # Panics
/// When it has not held for 30 seconds.
#[track_caller]
pub(crate) fn wait_for(what: &str, condition: impl FnMut() -> bool) {
    assert!(testkit::wait_until(Duration::from_secs(30), condition), "waited in vain for {what}");
}

/// A watch: its events in their order.
pub(crate) struct Watch {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Watch {
    /// The next event (`type` and `object`) but bookmarks; none when the server has ended the watch.
    ///
    /// # Panics
    /// When none comes in time.
    pub(crate) fn next(&mut self) -> Option<Value> {
        loop {
            let event = self.next_within(ANSWER_WITHIN).expect("an event in time")?;
            if event["type"] != "BOOKMARK" {
                return Some(event);
            }
        }
    }

    /// The next event's type and object.
    #[track_caller]
    pub(crate) fn event(&mut self) -> (String, Value) {
        let mut event = self.next().expect("an event, not the end");
        (event["type"].as_str().unwrap().to_owned(), event["object"].take())
    }

    /// Reads on until an event of this type whose object fits.
    #[track_caller]
    pub(crate) fn until(&mut self, kind: &str, fits: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (found, object) = self.event();
            if found == kind && fits(&object) {
                return object;
            }
        }
    }

    /// The next event of any type, if one comes in time.
    pub(crate) fn next_within(&mut self, limit: Duration) -> Option<Option<Value>> {
        let deadline = Instant::now() + limit;
        loop {
            if let Some(at) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return Some(Some(serde_json::from_slice(&line).unwrap()));
            }
            let left = deadline.saturating_duration_since(Instant::now());
            let frame = async { tokio::time::timeout(left, self.body.frame()).await };
            match RUNTIME.block_on(frame) {
                Err(_) => return None,
                Ok(None) => return Some(None),
                Ok(Some(frame)) => {
                    if let Ok(data) = frame.unwrap().into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
            }
        }
    }
}

async fn handshake(
    stream: TcpStream,
    authority: &str,
    identity: Option<&(String, String)>,
) -> SendRequest<Full<Bytes>> {
    let stream = secured(stream, authority, identity, b"h2").await;
    let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await;
    let (sender, connection) = handshake.unwrap();
    tokio::spawn(connection);
    sender
}

/// TLS over a connection, for the protocol `speaks`.
async fn secured(
    stream: TcpStream,
    authority: &str,
    identity: Option<&(String, String)>,
    speaks: &[u8],
) -> TlsStream<tokio::net::TcpStream> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
        roots.add(certificate.unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let mut config = match identity {
        Some((certificate, key)) => {
            let chain = CertificateDer::pem_slice_iter(certificate.as_bytes());
            let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
            let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
            builder.with_client_auth_cert(chain, key).unwrap()
        }
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![speaks.to_vec()];
    stream.set_nodelay(true).unwrap();
    stream.set_nonblocking(true).unwrap();
    let name = ServerName::IpAddress(stream.peer_addr().unwrap().ip().into());
    let stream = tokio::net::TcpStream::from_std(stream).unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
}
