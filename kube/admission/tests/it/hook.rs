//! A webhook: HTTP/1.1 over TLS, with an answer for each question.

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

/// What it says to a question: a status and a body; none never answers.
pub type Reply = dyn Fn(&str, &Value) -> Option<(u16, Vec<u8>)> + Send + Sync;

/// The running webhook. It ends with the test's runtime.
pub struct Hook {
    pub port: u16,
    /// The CA bundle in base64, as configurations have it.
    pub bundle: String,
    /// Path and review of each call.
    pub calls: Arc<Mutex<Vec<(String, Value)>>>,
    /// How many connections were made.
    pub connections: Arc<Mutex<usize>>,
}

impl Hook {
    pub async fn start(reply: Arc<Reply>) -> Self {
        let names = ["localhost".to_owned(), "s.n.svc".to_owned()];
        let certified = rcgen::generate_simple_self_signed(names).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(certified.signing_key.serialize_der()));
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certified.cert.der().clone()], key)
            .unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(tls));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hook = Self {
            port: listener.local_addr().unwrap().port(),
            bundle: STANDARD.encode(certified.cert.pem()),
            calls: Arc::default(),
            connections: Arc::default(),
        };
        let (calls, connections) = (hook.calls.clone(), hook.connections.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                *connections.lock().unwrap() += 1;
                let (acceptor, reply, calls) = (acceptor.clone(), reply.clone(), calls.clone());
                tokio::spawn(async move { serve(acceptor, stream, reply, calls).await });
            }
        });
        hook
    }

    /// How often it was called at a path.
    pub fn count(&self, path: &str) -> usize {
        self.calls.lock().unwrap().iter().filter(|(called, _)| called.starts_with(path)).count()
    }

    pub fn client(&self, path: &str) -> Value {
        json!({"url": format!("https://localhost:{}{path}", self.port), "caBundle": self.bundle})
    }
}

/// An answer to a review, with more members in `response`.
pub fn answer(review: &Value, more: Value) -> Option<(u16, Vec<u8>)> {
    let mut response = json!({"uid": review["request"]["uid"], "allowed": true});
    response.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let body = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response});
    Some((200, body.to_string().into_bytes()))
}

/// Members that ask for a change.
pub fn patch(patch: Value) -> Value {
    json!({"patchType": "JSONPatch", "patch": STANDARD.encode(patch.to_string())})
}

async fn serve(
    acceptor: TlsAcceptor,
    stream: TcpStream,
    reply: Arc<Reply>,
    calls: Arc<Mutex<Vec<(String, Value)>>>,
) {
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut bytes = Vec::new();
    loop {
        let Some((path, body, end)) = parse(&bytes) else {
            let mut chunk = [0; 4096];
            match stream.read(&mut chunk).await {
                Ok(0) | Err(_) => return,
                Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            }
            continue;
        };
        bytes.drain(..end);
        calls.lock().unwrap().push((path.clone(), body.clone()));
        let Some((status, body)) = reply(&path, &body) else {
            std::future::pending::<()>().await;
            return;
        };
        let close = if path.starts_with("/close") { "connection: close\r\n" } else { "" };
        let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n{close}\r\n", body.len());
        if stream.write_all(&[head.into_bytes(), body].concat()).await.is_err() || !close.is_empty() {
            let _ = stream.shutdown().await;
            return;
        }
    }
}

/// Path, body and length of a whole request.
fn parse(bytes: &[u8]) -> Option<(String, Value, usize)> {
    let head_end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let head = std::str::from_utf8(&bytes[..head_end]).unwrap();
    let length = head.lines().find_map(|line| {
        line.to_ascii_lowercase().strip_prefix("content-length:")?.trim().parse::<usize>().ok()
    })?;
    let body = bytes.get(head_end..head_end + length)?;
    let path = head.split(' ').nth(1)?.to_owned();
    Some((path, serde_json::from_slice(body).unwrap(), head_end + length))
}
