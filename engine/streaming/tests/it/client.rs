//! The clients' side of both transports.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use http::header::{CONNECTION, HOST, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body_util::Empty;
use hyper::body::{Bytes, Incoming};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use streaming::spdy::{Headers, Session, Side, Stream};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tokio_tungstenite::tungstenite::{Error, Message};

pub(crate) const DEADLINE: Duration = Duration::from_secs(20);
const LONG: Duration = Duration::from_secs(3600);

/// Asks for a path with these headers.
pub(crate) async fn ask(address: SocketAddr, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    tokio::spawn(connection.with_upgrades());
    let mut request = Request::post(path).header(HOST, address.to_string());
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
}

pub(crate) async fn upgraded(address: SocketAddr, path: &str, protocol: &str) -> TokioIo<Upgraded> {
    let headers = [
        (CONNECTION.as_str(), "Upgrade"),
        (UPGRADE.as_str(), "SPDY/3.1"),
        ("X-Stream-Protocol-Version", protocol),
    ];
    let response = ask(address, path, &headers).await;
    assert_eq!(response.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(response.headers()["x-stream-protocol-version"], protocol);
    TokioIo::new(hyper::upgrade::on(response).await.unwrap())
}

/// A session of a client.
pub(crate) struct Client {
    pub(crate) session: Session,
}

impl Client {
    pub(crate) async fn connect(address: SocketAddr, path: &str, protocol: &str) -> Self {
        Self::over(upgraded(address, path, protocol).await)
    }

    pub(crate) fn over<S: AsyncRead + AsyncWrite + Send + 'static>(io: S) -> Self {
        let (session, _, driver) = Session::new(io, Side::Client, LONG);
        tokio::spawn(driver);
        Self { session }
    }

    pub(crate) async fn open(&self, fields: &[(&str, &str)]) -> Stream {
        let headers: Headers =
            fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        tokio::time::timeout(DEADLINE, self.session.open(headers)).await.unwrap().unwrap()
    }
}

/// All of a stream, as text.
pub(crate) async fn all(mut stream: impl AsyncRead + Unpin) -> String {
    let mut text = String::new();
    tokio::time::timeout(DEADLINE, stream.read_to_string(&mut text)).await.unwrap().unwrap();
    text
}

pub(crate) type Socket = WebSocketStream<TcpStream>;

/// Opens a WebSocket; the sub-protocol that was agreed on.
pub(crate) async fn websocket(
    address: SocketAddr,
    path: &str,
    protocols: &str,
) -> Result<(Socket, Option<String>), Error> {
    let mut request = format!("ws://{address}{path}").into_client_request().unwrap();
    if !protocols.is_empty() {
        request.headers_mut().insert("sec-websocket-protocol", protocols.parse().unwrap());
    }
    let stream = TcpStream::connect(address).await.unwrap();
    let (socket, response) = tokio_tungstenite::client_async(request, stream).await?;
    let protocol = response.headers().get("sec-websocket-protocol");
    Ok((socket, protocol.map(|it| it.to_str().unwrap().to_owned())))
}

/// What comes on each channel until the end, which is the usual one.
pub(crate) async fn channels(socket: &mut Socket) -> Vec<Vec<u8>> {
    let mut channels = vec![Vec::new(); 6];
    loop {
        let message = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap();
        match message.unwrap().unwrap() {
            Message::Binary(bytes) => channels[usize::from(bytes[0])].extend_from_slice(&bytes[1..]),
            Message::Close(frame) => {
                assert_eq!(u16::from(frame.unwrap().code), 1000);
                return channels;
            }
            _ => {}
        }
    }
}

pub(crate) async fn say(socket: &mut Socket, bytes: &[u8]) {
    socket.send(Message::Binary(Bytes::copy_from_slice(bytes))).await.unwrap();
}
