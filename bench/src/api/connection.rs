//! Eight HTTP/2 connections with the administrator's certificate.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http2::{Builder, SendRequest};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// Connections that take turns.
#[derive(Clone)]
pub(super) struct Pool {
    senders: Arc<[SendRequest<Full<Bytes>>]>,
    next: Arc<AtomicUsize>,
    authority: String,
    accept: &'static str,
}

/// What the server may send before we have read it, in bytes.
#[derive(Clone, Copy)]
pub(super) struct Windows {
    pub(super) stream: u32,
    pub(super) connection: u32,
}

impl Pool {
    pub(super) async fn connect(kubeconfig: &Path) -> Result<Self> {
        Self::connect_with(kubeconfig, CONNECTIONS, None).await
    }

    /// With another number of connections, and windows of their own.
    pub(super) async fn connect_with(
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
        let mut senders = Vec::new();
        for _ in 0..connections {
            let tcp = TcpStream::connect(&authority).await?;
            tcp.set_nodelay(true)?;
            let host = authority.rsplit_once(':').context("no port")?.0.to_owned();
            let stream = connector.connect(ServerName::try_from(host)?, tcp).await?;
            let mut builder = Builder::new(TokioExecutor::new());
            if let Some(Windows { stream, connection }) = windows {
                builder.initial_stream_window_size(stream).initial_connection_window_size(connection);
            }
            let (sender, connection) = builder.handshake(TokioIo::new(stream)).await?;
            tokio::spawn(connection);
            senders.push(sender);
        }
        Ok(Self { senders: senders.into(), next: Arc::default(), authority, accept: "application/json" })
    }

    /// The same connections, but for answers of another media type.
    pub(super) fn accepting(&self, accept: &'static str) -> Self {
        Self { accept, ..self.clone() }
    }

    /// Sends a request; the answer's head must say that it was done.
    pub(super) async fn send(
        &self,
        method: &str,
        path: &str,
        body: Option<String>,
    ) -> Result<Response<Incoming>> {
        let merges = method == "PATCH";
        let content_type = if merges { "application/merge-patch+json" } else { "application/json" };
        let turn = self.next.fetch_add(1, Ordering::Relaxed) % self.senders.len();
        let mut sender = self.senders[turn].clone();
        let request = Request::builder()
            .method(method)
            .uri(format!("https://{}{path}", self.authority))
            .header("accept", self.accept)
            .header("content-type", content_type)
            .body(Full::new(Bytes::from(body.unwrap_or_default())))?;
        sender.ready().await?;
        let response = sender.send_request(request).await?;
        if !response.status().is_success() {
            let status = response.status();
            let body = response.into_body().collect().await?.to_bytes();
            anyhow::bail!("{method} {path}: {status}: {}", String::from_utf8_lossy(&body));
        }
        Ok(response)
    }

    /// Sends a request and reads the whole answer.
    pub(super) async fn call(&self, method: &str, path: &str, body: Option<String>) -> Result<Bytes> {
        let response = self.send(method, path, body).await?;
        let bytes = response.into_body().collect().await?.to_bytes();
        ensure!(!bytes.is_empty(), "{method} {path}: an empty answer");
        Ok(bytes)
    }
}

const CONNECTIONS: usize = 8;
