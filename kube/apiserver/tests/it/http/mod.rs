//! The front over TLS: what clients see on the wire.

#![allow(clippy::unwrap_used, clippy::panic, reason = "what tests share")]

mod admitted;
mod aggregate;
mod audited;
mod bodies;
mod cbor;
mod discovery;
mod fairness;
mod front;
mod objects;
mod openapi;
mod strict;
mod who;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::aggregate::Aggregator;
use apiserver::compose::{Setup, compose};
use apiserver::http::limits::Limits;
use apiserver::http::{Listener, PROTOCOLS, Settings, serve};
use apiserver::{ApiServer, Config, Network};
use audit::Audit;
use auth::authn::{TlsMaterial, server_config};
use auth::pki::{self, KeyPair, Pki, ServerNames};
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use jiff::Timestamp;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use store::{Embedded, Options, Store};
use testkit::TempDir;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// A server on a port of its own, with everything before the registry.
pub(crate) struct Front {
    pub(crate) server: ApiServer,
    pub(crate) pki: Pki,
    pub(crate) address: SocketAddr,
    pub(crate) shutdown: watch::Sender<bool>,
    pub(crate) aggregator: Arc<Aggregator>,
    serving: JoinHandle<()>,
    keeping: JoinHandle<()>,
    _dir: TempDir,
}

/// An answer, whole.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) code: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
}

impl Front {
    pub(crate) async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    pub(crate) async fn with(limits: Limits) -> Self {
        Self::on(Network::default(), limits).await
    }

    pub(crate) async fn on(network: Network, limits: Limits) -> Self {
        Self::recorded(network, limits, None).await
    }

    pub(crate) async fn recorded(network: Network, limits: Limits, audit: Option<Arc<Audit>>) -> Self {
        let dir = TempDir::new();
        let store = Embedded::open(&dir.path().join("store"), &Options::default(), Instant::now()).unwrap();
        let config = Config { network, ..Config::new(Arc::new(store) as Arc<dyn Store>) };
        let server = ApiServer::open(config).await.unwrap();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let url = format!("https://{address}");
        let names = ServerNames::standard(&url, IpAddr::from([10, 96, 0, 1]), "cluster.local", &[]);
        let pki = pki::ensure(&dir.path().join("pki"), &names, Timestamp::now()).unwrap();
        let (shutdown, ended) = watch::channel(false);
        let setup = Setup {
            pki: &pki,
            issuer: "https://issuer".to_owned(),
            audiences: vec!["https://issuer".to_owned()],
            address: address.to_string(),
            limits,
            audit,
            admission: admission::Config::default(),
            node_proxy: None,
            shutdown: ended.clone(),
        };
        let composed = compose(&server, setup).unwrap();
        let material = TlsMaterial {
            certificates: pki.serving.certificate.clone().into_bytes(),
            key: pki.serving.key.clone().into_bytes(),
            client_authorities: pki.client_ca.certificate.clone().into_bytes(),
        };
        let (_, config) = watch::channel(server_config(&material, PROTOCOLS).unwrap());
        let listener = Listener::Tls(listener, config);
        let settings = Settings { drain: Duration::from_secs(5) };
        let serving = tokio::spawn(serve(Arc::clone(&composed.front), listener, settings, ended));
        composed.bootstrap(&server).await.unwrap();
        let registry = Arc::clone(server.registry());
        let fairness = apiserver::fairness::run(registry, Arc::clone(&composed.front), shutdown.subscribe());
        let keeping = tokio::spawn(fairness);
        Self { server, pki, address, shutdown, aggregator: composed.aggregator, serving, keeping, _dir: dir }
    }

    /// Ends it and waits until it has ended.
    pub(crate) async fn end(self) {
        self.shutdown.send_replace(true);
        self.server.close().await;
        tokio::time::timeout(Duration::from_secs(10), self.serving).await.unwrap().unwrap();
        self.keeping.await.unwrap();
    }

    pub(crate) async fn connect(&self, identity: Option<&KeyPair>, alpn: &[u8]) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(self.pki.server_ca.certificate.as_bytes()) {
            roots.add(certificate.unwrap()).unwrap();
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some(pair) => {
                let chain = CertificateDer::pem_slice_iter(pair.certificate.as_bytes());
                let chain = chain.collect::<Result<Vec<_>, _>>().unwrap();
                let key = PrivateKeyDer::from_pem_slice(pair.key.as_bytes()).unwrap();
                builder.with_client_auth_cert(chain, key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![alpn.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::from(self.address.ip());
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// Sends a request of the administrator's over HTTP/1.1.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        self.send_as(Some(&self.pki.admin), request).await
    }

    pub(crate) async fn send_as(
        &self,
        identity: Option<&KeyPair>,
        request: Request<Full<Bytes>>,
    ) -> Response<Incoming> {
        let stream = self.connect(identity, b"http/1.1").await;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        sender.send_request(request).await.unwrap()
    }

    /// The same over HTTP/2.
    pub(crate) async fn send_h2(&self, request: Request<Full<Bytes>>) -> Response<Incoming> {
        let stream = self.connect(Some(&self.pki.admin), b"h2").await;
        let handshake = http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (mut sender, connection) = handshake.await.unwrap();
        tokio::spawn(connection);
        sender.send_request(request).await.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        whole(self.send(request("GET", path, &[], "")).await).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        whole(self.send(request("GET", path, headers, "")).await).await
    }

    pub(crate) async fn ask(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: impl Into<Bytes>,
    ) -> Answer {
        whole(self.send(request(method, path, &[("content-type", content_type)], body)).await).await
    }
}

pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> Request<Full<Bytes>> {
    let mut builder = Request::builder().method(method).uri(path).header("host", "localhost");
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(Full::new(body.into())).unwrap()
}

pub(crate) async fn whole(response: Response<Incoming>) -> Answer {
    let (parts, body) = response.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    Answer { code: parts.status.as_u16(), headers: parts.headers, body }
}
