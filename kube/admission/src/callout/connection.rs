//! One connection: TCP, TLS, HTTP/1.1.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::TlsConnector;

use super::{ANSWER_BYTES_MAX, PostError};

/// A connection that is used by one call at a time.
pub(super) struct Connection {
    address: (String, u16),
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
}

impl Connection {
    /// Connects to an address; the certificate must bear `name`.
    pub(super) async fn open(
        address: &(String, u16),
        name: ServerName<'static>,
        tls: Arc<ClientConfig>,
    ) -> Result<Self, PostError> {
        let stream = TcpStream::connect((address.0.as_str(), address.1)).await.map_err(|source| {
            PostError::Dial { address: format!("{}:{}", super::bracketed(&address.0), address.1), source }
        })?;
        // Requests are written at once; waiting for more would only delay them.
        let _ = stream.set_nodelay(true);
        let stream = TlsConnector::from(tls).connect(name, stream).await;
        let stream = stream.map_err(|error| PostError::Handshake(handshake_words(&error)))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // It ends with the sender, and is ended when this is dropped.
        let driver = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        Ok(Self { address: address.clone(), sender, driver })
    }

    /// Where it leads.
    pub(super) fn address(&self) -> &(String, u16) {
        &self.address
    }

    /// Whether it can take a request.
    pub(super) fn is_open(&self) -> bool {
        !self.sender.is_closed()
    }

    /// Posts JSON; the status and body that come back.
    pub(super) async fn post(
        &mut self,
        authority: &str,
        path: &str,
        body: Bytes,
    ) -> Result<(u16, Bytes), PostError> {
        let request = Request::post(path)
            .header(http::header::HOST, authority)
            .header(http::header::CONTENT_TYPE, "application/json")
            .header(http::header::ACCEPT, "application/json, */*")
            .header(http::header::USER_AGENT, "kube-apiserver-admission")
            .body(Full::new(body))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
        let body = body.map_err(|error| match error.downcast::<hyper::Error>() {
            Ok(error) => PostError::Http(*error),
            Err(other) => {
                debug_assert!(other.is::<LengthLimitError>(), "only the limit fails otherwise");
                PostError::TooLarge
            }
        })?;
        Ok((status, body.to_bytes()))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// What was wrong with the other side's certificate, in the words that operators search for.
fn handshake_words(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        // A signature that does not fit is that of another authority of the same name.
        Some(rustls::Error::InvalidCertificate(
            CertificateError::UnknownIssuer | CertificateError::BadSignature,
        )) => "failed to verify certificate: x509: certificate signed by unknown authority".to_owned(),
        Some(rustls::Error::InvalidCertificate(why)) => format!("failed to verify certificate: {why}"),
        _ => error.to_string(),
    }
}
