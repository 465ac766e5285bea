//! `get` and `dial`: asks other servers and says what they answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, bail};
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UdpSocket};
use tokio_rustls::TlsConnector;

/// What one question may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Prints the body of an answer of 2xx; the authority and the token are files.
pub(crate) async fn get(url: &str, authority: Option<&str>, token: Option<&str>) -> anyhow::Result<()> {
    let token = token.map(std::fs::read_to_string).transpose()?;
    let (secure, rest) = match url.split_once("://") {
        Some(("https", rest)) => (true, rest),
        Some(("http", rest)) => (false, rest),
        _ => bail!("{url} is neither http nor https"),
    };
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let address = if host.contains(':') {
        host.to_owned()
    } else {
        format!("{host}:{}", if secure { 443 } else { 80 })
    };
    let stream = TcpStream::connect(&address).await.with_context(|| address.clone())?;
    let request = Request::get(format!("/{path}")).header("host", host);
    let request = match &token {
        Some(token) => request.header("authorization", format!("Bearer {}", token.trim())),
        None => request,
    };
    let request = request.body(Empty::new())?;
    let (code, body) = if secure {
        let name = ServerName::try_from(host.split(':').next().unwrap_or(host).to_owned())?;
        send(connector(authority)?.connect(name, stream).await?, request).await?
    } else {
        send(stream, request).await?
    };
    crate::say(&String::from_utf8_lossy(&body));
    if !(200..300).contains(&code) {
        bail!("{url} answered {code}");
    }
    Ok(())
}

fn connector(authority: Option<&str>) -> anyhow::Result<TlsConnector> {
    let mut roots = RootCertStore::empty();
    if let Some(file) = authority {
        for certificate in CertificateDer::pem_slice_iter(&std::fs::read(file)?) {
            roots.add(certificate?)?;
        }
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    Ok(TlsConnector::from(Arc::new(config.with_root_certificates(roots).with_no_client_auth())))
}

async fn send<S>(stream: S, request: Request<Empty<Bytes>>) -> anyhow::Result<(u16, Bytes)>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    Ok((answer.status().as_u16(), answer.into_body().collect().await?.to_bytes()))
}

/// The code and the body of a plain GET.
pub(crate) async fn plain(to: &str, request: &str) -> anyhow::Result<(u16, Bytes)> {
    let stream = TcpStream::connect(to).await?;
    send(stream, Request::get(format!("/{request}")).header("host", to).body(Empty::new())?).await
}

/// Asks `tries` times, each from a port of its own, and prints how often each answer came: `{"a": 2, "!": 1}`.
pub(crate) async fn dial(how: &str, to: &str, request: &str, tries: u32) -> anyhow::Result<()> {
    let mut answers: BTreeMap<String, u32> = BTreeMap::new();
    for _ in 0..tries {
        let question = async {
            match how {
                "http" => Ok(plain(to, request).await?.1),
                "udp" => datagram(to, request).await,
                other => bail!("{other} is neither http nor udp"),
            }
        };
        let answer = match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(body)) => String::from_utf8_lossy(&body).trim().to_owned(),
            Ok(Err(error)) => format!("! {error:#}"),
            Err(_) => "! timed out".to_owned(),
        };
        *answers.entry(answer).or_default() += 1;
    }
    crate::say(&serde_json::to_string(&answers)?);
    Ok(())
}

async fn datagram(to: &str, request: &str) -> anyhow::Result<Bytes> {
    let socket = UdpSocket::bind("0.0.0.0:0").await?;
    socket.connect(to).await?;
    socket.send(request.as_bytes()).await?;
    let mut buffer = [0; 2048];
    let length = socket.recv(&mut buffer).await?;
    Ok(Bytes::copy_from_slice(&buffer[..length]))
}
