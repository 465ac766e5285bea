//! HTTP/2 connections with the administrator's certificate, for requests that no decent client
//! sends.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::io::BufReader;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A server that says nothing for so long counts as dead.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// Read from a connection at a time.
const READ_MAX: usize = 64 * 1024;

/// Connections that take turns.
#[derive(Clone, Debug)]
pub struct Pool {
    senders: Arc<[SendRequest<Full<Bytes>>]>,
    next: Arc<AtomicUsize>,
    authority: Arc<str>,
}

/// What the server may send before we have read it, in bytes.
#[derive(Clone, Copy, Debug)]
pub struct Windows {
    /// On each stream.
    pub stream: u32,
    /// On all streams of a connection.
    pub connection: u32,
}

/// An answer, whole.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub code: u16,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
}

impl Answer {
    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Result<serde_json::Value> {
        serde_json::from_slice(&self.body).with_context(|| format!("{}: {}", self.code, self.text()))
    }
}

impl Pool {
    /// Opens so many connections to the server of a kubeconfig.
    pub async fn connect(kubeconfig: &Path, connections: usize) -> Result<Self> {
        Self::connect_with(kubeconfig, connections, None).await
    }

    /// The same, with windows of their own.
    pub async fn connect_with(
        kubeconfig: &Path,
        connections: usize,
        windows: Option<Windows>,
    ) -> Result<Self> {
        let text = std::fs::read_to_string(kubeconfig).context("read the kubeconfig")?;
        let field = |name: &str| {
            let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
            line.map(|value| value.trim().trim_matches('"').to_owned()).with_context(|| format!("no {name}"))
        };
        let pem = |name: &str| Ok::<_, anyhow::Error>(STANDARD.decode(field(name)?)?);
        let authority = field("server:")?.replace("https://", "").trim_end_matches('/').to_owned();
        let mut roots = rustls::RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(&pem("certificate-authority-data:")?) {
            roots.add(certificate?)?;
        }
        let chain =
            CertificateDer::pem_slice_iter(&pem("client-certificate-data:")?).collect::<Result<_, _>>()?;
        let key = PrivateKeyDer::from_pem_slice(&pem("client-key-data:")?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)?;
        tls.alpn_protocols = vec![b"h2".to_vec()];
        let connector = TlsConnector::from(Arc::new(tls));
        let host = authority.rsplit_once(':').context("no port")?.0.to_owned();
        let mut senders = Vec::new();
        for _ in 0..connections {
            let tcp = TcpStream::connect(&authority).await?;
            tcp.set_nodelay(true)?;
            // rustls reads 4 KiB at a time: without a buffer, a system call for each.
            let tcp = BufReader::with_capacity(READ_MAX, tcp);
            let stream = connector.connect(ServerName::try_from(host.clone())?, tcp).await?;
            let mut builder = Builder::new(TokioExecutor::new());
            if let Some(Windows { stream, connection }) = windows {
                builder.initial_stream_window_size(stream).initial_connection_window_size(connection);
            }
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            senders.push(sender);
        }
        Ok(Self { senders: senders.into(), next: Arc::default(), authority: authority.into() })
    }

    /// Sends a request and reads its whole answer.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Answer> {
        let whole = async {
            let (head, body) = self.open(method, path, headers, body).await?.into_parts();
            let body = body.collect().await?.to_bytes();
            Ok(Answer { code: head.status.as_u16(), headers: head.headers, body })
        };
        tokio::time::timeout(SILENCE_MAX, whole).await.context("the server says nothing")?
    }

    /// Sends a request; its answer's body is the caller's to read.
    pub async fn open(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Response<Incoming>> {
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        let mut sender = self.senders[turn].clone();
        let uri = format!("https://{}{path}", self.authority);
        let mut request = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sender.ready().await?;
        Ok(sender.send_request(request.body(Full::new(body.into()))?).await?)
    }
}
