//! One HTTP request to a container. Certificates are not looked at: who probes knows whom it asks.

use bytes::Bytes;
use client::http::{Trust, client_config};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, HeaderName, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use serde_json::Value;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::action::joined;
use crate::read::{items, text};

/// A request to send.
#[derive(Clone, Debug)]
pub(super) struct Get {
    is_secure: bool,
    host: String,
    port: u16,
    path: String,
    headers: Vec<(String, String)>,
    agent: &'static str,
}

/// What came back.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) body: String,
}

impl Get {
    /// An `httpGet` of a specification.
    pub(super) fn new(spec: &Value, host: &str, port: u16, agent: &'static str) -> Self {
        let path = text(spec, &["path"]);
        let headers = items(spec, &["httpHeaders"]);
        Self {
            is_secure: text(spec, &["scheme"]).eq_ignore_ascii_case("https"),
            host: host.to_owned(),
            port,
            path: if path.starts_with('/') { path.to_owned() } else { format!("/{path}") },
            headers: headers
                .iter()
                .map(|header| (text(header, &["name"]).to_owned(), text(header, &["value"]).to_owned()))
                .collect(),
            agent,
        }
    }

    /// The URL, for people.
    pub(super) fn url(&self) -> String {
        let scheme = if self.is_secure { "https" } else { "http" };
        format!("{scheme}://{}{}", joined(&self.host, self.port), self.path)
    }

    /// Sends it, and follows where it is led on the same host.
    pub(super) async fn send(mut self) -> Result<Reply, String> {
        for _ in 0..REDIRECTS_MAX {
            let (reply, onwards) = self.once().await?;
            match onwards {
                Some(path) => self.path = path,
                None => return Ok(reply),
            }
        }
        Err(format!("stopped after {REDIRECTS_MAX} redirects"))
    }

    async fn once(&self) -> Result<(Reply, Option<String>), String> {
        let address = joined(&self.host, self.port);
        let stream = TcpStream::connect(&address).await.map_err(|error| {
            let why = match error.kind() {
                std::io::ErrorKind::ConnectionRefused => "connection refused".to_owned(),
                _ => error.to_string(),
            };
            format!("dial tcp {address}: connect: {why}")
        })?;
        if !self.is_secure {
            return self.exchange(stream, &address).await;
        }
        let name = ServerName::try_from(self.host.clone()).map_err(|error| error.to_string())?;
        let connector = tokio_rustls::TlsConnector::from(
            client_config(&Trust::Anybody, None).map_err(|error| error.to_string())?,
        );
        let stream = connector.connect(name, stream).await.map_err(|error| error.to_string())?;
        self.exchange(stream, &address).await
    }

    async fn exchange<S>(&self, stream: S, address: &str) -> Result<(Reply, Option<String>), String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let text_of = |error: hyper::Error| error.to_string();
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(text_of)?;
        let connection = tokio::spawn(connection);
        let _guard = AbortOnDrop(connection.abort_handle());
        let request = self.request(address)?;
        let answer = sender.send_request(request).await.map_err(text_of)?;
        let status = answer.status();
        let onwards = self.onwards(status, answer.headers().get(LOCATION));
        let body = Limited::new(answer.into_body(), BODY_MAX).collect().await;
        let body = body.map(|body| body.to_bytes()).unwrap_or_default();
        let body = String::from_utf8_lossy(&body).into_owned();
        Ok((Reply { status: status.as_u16(), body }, onwards))
    }

    fn request(&self, address: &str) -> Result<Request<Empty<Bytes>>, String> {
        let own = |name: &str| self.headers.iter().find(|header| header.0.eq_ignore_ascii_case(name));
        let host = own("host").map_or(address, |header| header.1.as_str());
        let mut builder = Request::get(&self.path).header(HOST, host).header(CONNECTION, "close");
        if own("user-agent").is_none() {
            builder = builder.header(USER_AGENT, format!("{}/1.36", self.agent));
        }
        if own("accept").is_none() {
            builder = builder.header(ACCEPT, "*/*");
        }
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(name).map_err(|error| error.to_string())?;
            let value = HeaderValue::try_from(value).map_err(|error| error.to_string())?;
            // An empty one takes a default away.
            if name != HOST && !value.is_empty() {
                builder = builder.header(name, value);
            }
        }
        builder.body(Empty::new()).map_err(|error| error.to_string())
    }

    /// Where an answer leads, if that is on the same host.
    fn onwards(&self, status: StatusCode, location: Option<&HeaderValue>) -> Option<String> {
        if !status.is_redirection() {
            return None;
        }
        let location = location?.to_str().ok()?;
        if location.starts_with('/') && !location.starts_with("//") {
            return Some(location.to_owned());
        }
        let uri: http::Uri = location.parse().ok()?;
        (uri.host() == Some(&self.host))
            .then(|| uri.path_and_query().map_or("/", |path| path.as_str()).to_owned())
    }
}

struct AbortOnDrop(tokio::task::AbortHandle);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

const REDIRECTS_MAX: usize = 10;
/// Most of an answer that is read.
const BODY_MAX: usize = 10 * 1024;

#[cfg(test)]
mod tests {
    use serde_json::json;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// Answers one connection after the other with these texts.
    async fn server(answers: &'static [&'static str]) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        tokio::spawn(async move {
            for answer in answers {
                let (mut stream, _) = listener.accept().await.unwrap();
                let mut request = [0; 1024];
                let read = stream.read(&mut request).await.unwrap();
                let seen = String::from_utf8_lossy(&request[..read]).into_owned();
                assert!(seen.contains("user-agent: kube-probe/"), "{seen}");
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        });
        port
    }

    #[tokio::test]
    async fn follows_on_the_same_host_only() {
        let ok = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        let away = "HTTP/1.1 302 Found\r\nlocation: http://example.org/x\r\ncontent-length: 0\r\n\r\n";
        let on = "HTTP/1.1 302 Found\r\nlocation: /next\r\ncontent-length: 0\r\n\r\n";
        for (answers, status) in [(&[ok][..], 200), (&[on, ok][..], 200), (&[away][..], 302)] {
            let port = server(Box::leak(answers.to_vec().into_boxed_slice())).await;
            let reply =
                Get::new(&json!({"path": "healthz"}), "127.0.0.1", port, "kube-probe").send().await.unwrap();
            assert_eq!(reply.status, status);
        }
        let refused = Get::new(&json!({}), "127.0.0.1", 1, "kube-probe").send().await.unwrap_err();
        assert_eq!(refused, "dial tcp 127.0.0.1:1: connect: connection refused");
    }
}
