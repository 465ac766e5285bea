//! A client of one server over TLS and HTTP/2 that expects its connection to break.

use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use testkit::kube::KubeServer;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

pub(crate) const JSON: &str = "application/json";
pub(crate) const JSON_PATCH: &str = "application/json-patch+json";
pub(crate) const MERGE_PATCH: &str = "application/merge-patch+json";
pub(crate) const STRATEGIC_PATCH: &str = "application/strategic-merge-patch+json";
pub(crate) const APPLY_PATCH: &str = "application/apply-patch+yaml";

/// A server that does not answer for so long hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(60);
/// What the server may send on a stream before we have read it.
const STREAM_WINDOW: u32 = 64 * 1024;
/// What it may send on a connection: more than all stalled streams of one hold.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// Where the server is, and how to be its administrator.
#[derive(Clone)]
pub(crate) struct Target {
    config: Arc<ClientConfig>,
    port: u16,
}

/// The connection broke: whether the request was carried out is unknown.
#[derive(Debug)]
pub(crate) struct Lost;

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) body: Bytes,
}

impl Answer {
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> std::borrow::Cow<'_, str> {
        String::from_utf8_lossy(&self.body)
    }

    /// The object of a 2xx answer.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert!((200..300).contains(&self.code), "{}: {}", self.code, self.text());
        self.json()
    }
}

impl Target {
    pub(crate) fn of(server: &KubeServer) -> Self {
        let text = std::fs::read_to_string(server.kubeconfig()).unwrap();
        let pem = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name)).unwrap();
            STANDARD.decode(line.trim()).unwrap()
        };
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem("certificate-authority-data:")) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(&pem("client-certificate-data:")).collect();
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data:")).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_client_auth_cert(chain.unwrap(), key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self { config: Arc::new(config), port: server.port() }
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>, Lost> {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await.map_err(|_| Lost)?;
        stream.set_nodelay(true).map_err(|_| Lost)?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = TlsConnector::from(Arc::clone(&self.config)).connect(name, stream).await;
        let mut builder = Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(STREAM_WINDOW).initial_connection_window_size(CONNECTION_WINDOW);
        let handshake = builder.handshake(TokioIo::new(stream.map_err(|_| Lost)?)).await;
        let (sender, connection) = handshake.map_err(|_| Lost)?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// One connection, made anew when it broke.
pub(crate) struct Wire {
    target: Target,
    sender: Option<SendRequest<Full<Bytes>>>,
}

impl Wire {
    pub(crate) fn new(target: &Target) -> Self {
        Self { target: target.clone(), sender: None }
    }

    /// Sends a request; its answer's head.
    pub(crate) async fn open(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>, Lost> {
        let mut sender = match self.sender.take().filter(|sender| !sender.is_closed()) {
            Some(sender) => sender,
            None => timely(path, self.target.connect()).await?,
        };
        let request = Request::builder()
            .method(method)
            .uri(format!("https://127.0.0.1:{}{path}", self.target.port))
            .header("content-type", content_type)
            .body(Full::new(body.into()))
            .unwrap();
        let answer = timely(path, sender.send_request(request)).await.map_err(|_| Lost)?;
        self.sender = Some(sender);
        Ok(answer)
    }

    /// Sends a request and reads the whole answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Result<Answer, Lost> {
        let (head, body) = self.open(method, path, content_type, body).await?.into_parts();
        let body = timely(path, body.collect()).await.map_err(|_| Lost)?.to_bytes();
        Ok(Answer { code: head.status.as_u16(), body })
    }

    /// Sends a request that may be repeated until there is an answer.
    pub(crate) async fn insist(
        &mut self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        let body = body.into();
        let deadline = Instant::now() + ANSWER_WITHIN;
        loop {
            assert!(Instant::now() < deadline, "{method} {path}: the server is away");
            match self.send(method, path, content_type, body.clone()).await {
                // A server that has just begun may not take everything yet.
                Ok(answer) if answer.code != 503 && answer.code != 429 => return answer,
                _ => tokio::time::sleep(RETRY).await,
            }
        }
    }
}

/// The lines of a watch.
pub(crate) struct Events {
    body: Incoming,
    buffer: Vec<u8>,
}

impl Events {
    pub(crate) fn of(answer: Response<Incoming>) -> Self {
        Self { body: answer.into_body(), buffer: Vec::new() }
    }

    /// The next event; none at the watch's end, whoever ended it.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let event = serde_json::from_slice(&self.buffer[..end]).unwrap();
                self.buffer.drain(..=end);
                return Some(event);
            }
            if let Ok(data) = self.body.frame().await?.ok()?.into_data() {
                self.buffer.extend_from_slice(&data);
            }
        }
    }
}

async fn timely<T>(what: &str, work: impl Future<Output = T>) -> T {
    let answer = tokio::time::timeout(ANSWER_WITHIN, work).await;
    answer.unwrap_or_else(|_| panic!("{what}: no answer within {ANSWER_WITHIN:?}"))
}

/// Between two tries while the server is away.
pub(crate) const RETRY: Duration = Duration::from_millis(10);
