//! WebSocket: the handshake, channels in messages, and bytes of another protocol in messages.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf as _, Bytes};
use futures_util::{Sink, Stream};
use http::HeaderMap;
use http::header::{SEC_WEBSOCKET_KEY, SEC_WEBSOCKET_VERSION};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};

use crate::commands::framed;

/// Largest message that is read; clients send 32 KiB.
const MESSAGE_MAX: usize = 4 * 1024 * 1024;
/// Bytes of one message that carries another protocol.
const PIECE: usize = 32 * 1024;

/// The answer to a client's key, if the request is a WebSocket's.
pub fn accept_key(headers: &HeaderMap) -> Option<String> {
    let version = headers.get(SEC_WEBSOCKET_VERSION)?;
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    (version == "13").then(|| derive_accept_key(key.as_bytes()))
}

/// Limits of what a peer may send.
pub fn limits() -> WebSocketConfig {
    WebSocketConfig::default().max_message_size(Some(MESSAGE_MAX)).max_frame_size(Some(MESSAGE_MAX))
}

/// The usual end.
pub(crate) fn normal_close() -> Message {
    Message::Close(Some(CloseFrame { code: CloseCode::Normal, reason: "".into() }))
}

/// How a message carries the bytes of a channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// A byte, and the bytes.
    Binary,
    /// A digit, and the bytes in base64.
    Base64,
}

impl Coding {
    pub(crate) fn of(protocol: &str) -> Self {
        if protocol.contains("base64.") { Self::Base64 } else { Self::Binary }
    }

    /// A message of a channel.
    pub(crate) fn message(self, channel: u8, bytes: &[u8]) -> Message {
        match self {
            Self::Binary => Message::Binary(framed(channel, bytes)),
            Self::Base64 => {
                let mut text = String::with_capacity(bytes.len() * 4 / 3 + 5);
                text.push(char::from(b'0'.wrapping_add(channel)));
                STANDARD.encode_string(bytes, &mut text);
                Message::Text(text.into())
            }
        }
    }

    /// The channel and bytes of a message; none of other kinds of messages.
    pub(crate) fn read(self, message: Message) -> Option<(u8, Bytes)> {
        let mut bytes = match message {
            Message::Binary(bytes) => bytes,
            Message::Text(text) => text.into(),
            _ => return None,
        };
        let channel = bytes.first().copied()?;
        bytes.advance(1);
        match self {
            Self::Binary => Some((channel, bytes)),
            Self::Base64 => Some((channel.wrapping_sub(b'0'), STANDARD.decode(&bytes).ok()?.into())),
        }
    }
}

/// Another protocol's bytes inside binary messages.
pub struct Tunnel<S> {
    socket: WebSocketStream<S>,
    received: Bytes,
    closed: bool,
}

impl<S> Tunnel<S> {
    /// A tunnel through an open WebSocket.
    pub fn new(socket: WebSocketStream<S>) -> Self {
        Self { socket, received: Bytes::new(), closed: false }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Tunnel<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.received.is_empty() {
            match ready!(Pin::new(&mut self.socket).poll_next(context)) {
                Some(Ok(Message::Binary(bytes))) => self.received = bytes,
                Some(Ok(Message::Close(_))) | None => return Poll::Ready(Ok(())),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
            }
        }
        let length = self.received.len().min(buffer.remaining());
        buffer.put_slice(&self.received.split_to(length));
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Tunnel<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let socket = &mut self.socket;
        ready!(Pin::new(&mut *socket).poll_ready(context)).map_err(broken)?;
        let piece = bytes.get(..bytes.len().min(PIECE)).unwrap_or_default();
        Pin::new(socket).start_send(Message::Binary(Bytes::copy_from_slice(piece))).map_err(broken)?;
        Poll::Ready(Ok(piece.len()))
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(context).map_err(broken)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.closed {
            ready!(Pin::new(&mut self.socket).poll_ready(context)).map_err(broken)?;
            Pin::new(&mut self.socket).start_send(normal_close()).map_err(broken)?;
            self.closed = true;
        }
        Pin::new(&mut self.socket).poll_flush(context).map_err(broken)
    }
}

fn broken(error: tungstenite::Error) -> io::Error {
    match error {
        tungstenite::Error::Io(error) => error,
        error => io::Error::other(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_carry_channels() {
        for coding in [Coding::Binary, Coding::Base64] {
            for (channel, bytes) in [(0, &b""[..]), (1, b"hello"), (4, &[0, 255])] {
                let message = coding.message(channel, bytes);
                assert_eq!(coding.read(message), Some((channel, Bytes::copy_from_slice(bytes))));
            }
            assert_eq!(coding.read(Message::Binary(Bytes::new())), None);
            assert_eq!(coding.read(Message::Ping(Bytes::new())), None);
        }
        assert_eq!(Coding::Base64.message(1, b"hello"), Message::Text("1aGVsbG8=".into()));
        assert_eq!(Coding::Base64.read(Message::Text("1!".into())), None);
    }

    #[test]
    fn answers_keys() {
        let mut headers = HeaderMap::new();
        assert_eq!(accept_key(&headers), None);
        headers.insert(SEC_WEBSOCKET_KEY, http::HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ=="));
        headers.insert(SEC_WEBSOCKET_VERSION, http::HeaderValue::from_static("13"));
        // RFC 6455, section 1.3.
        assert_eq!(accept_key(&headers).as_deref(), Some("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="));
    }
}
