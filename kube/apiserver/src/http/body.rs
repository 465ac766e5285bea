//! Bodies: reading those of requests within limits, and the kinds of answers' bodies.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use flate2::Compression;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use kube_object::status::Status;
use tokio::sync::SemaphorePermit;

use super::limits::{Gate, LARGE};

/// What an answer's body may fail with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// An answer's body.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Largest body that is read: etcd's request limit of 1.5 MiB, twice, as upstream.
pub const BODY_MAX: usize = 3 * 1024 * 1024;
/// So much of a list is put into one piece of the answer.
const PIECE: usize = 64 * 1024;

/// A request's body, and its place among those that are held.
#[derive(Debug, Default)]
pub(super) struct Received<'a> {
    pub(super) bytes: Bytes,
    _held: Option<SemaphorePermit<'a>>,
}

/// Reads a request's body. A large one waits for its place with all but its beginning unread.
pub(super) async fn read<'a, B>(gate: &'a Gate, headers: &HeaderMap, body: B) -> Result<Received<'a>, Status>
where
    B: HttpBody<Data = Bytes>,
    B::Error: std::error::Error + Send + Sync + 'static,
{
    // A body that inflates could be a bomb, and no client of the API sends one.
    let encoded = headers.get(CONTENT_ENCODING).is_some_and(|encoding| encoding != "identity");
    if encoded {
        return Err(Status::unsupported_media_type("the server does not read compressed bodies"));
    }
    let declared = headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    let declared = declared.map_or(0, |length| usize::try_from(length).unwrap_or(usize::MAX));
    if declared > BODY_MAX {
        return Err(too_large());
    }
    let mut held = gate.hold(declared).await;
    let mut bytes = BytesMut::with_capacity(declared);
    let mut body = std::pin::pin!(body);
    while let Some(frame) = body.as_mut().frame().await {
        let frame =
            frame.map_err(|error| Status::bad_request(format!("unable to read the body: {error}")))?;
        let Ok(data) = frame.into_data() else { continue };
        let length = bytes.len() + data.len();
        if length > BODY_MAX {
            return Err(too_large());
        }
        if length >= LARGE && held.is_none() {
            held = gate.hold(BODY_MAX).await;
        }
        bytes.extend_from_slice(&data);
    }
    Ok(Received { bytes: bytes.freeze(), _held: held })
}

fn too_large() -> Status {
    Status::too_large(format!("Request entity too large: limit is {BODY_MAX}"))
}

/// A body of bytes that are there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// A body of parts that are there: many small ones become few larger ones as they are sent, so
/// that a list of many objects never exists as a whole.
pub(crate) fn parts(parts: VecDeque<Bytes>) -> Body {
    let left = parts.iter().map(|part| part.len() as u64).sum();
    Parts { parts, left }.boxed_unsync()
}

/// Compresses a body as it is sent.
pub(crate) fn gzip(body: Body) -> Body {
    // Upstream's level: the network is rarely slower than a stronger one.
    let encoder = GzEncoder::new(Vec::new(), Compression::fast());
    Gzip { body, encoder: Some(encoder) }.boxed_unsync()
}

struct Parts {
    parts: VecDeque<Bytes>,
    left: u64,
}

impl HttpBody for Parts {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Some(first) = self.parts.pop_front() else { return Poll::Ready(None) };
        let piece = if first.len() >= PIECE || self.parts.is_empty() {
            first
        } else {
            let mut piece = BytesMut::with_capacity(PIECE.min(usize::try_from(self.left).unwrap_or(PIECE)));
            piece.extend_from_slice(&first);
            while let Some(next) = self.parts.front() {
                if piece.len() + next.len() > PIECE {
                    break;
                }
                piece.extend_from_slice(next);
                self.parts.pop_front();
            }
            piece.freeze()
        };
        self.left = self.left.saturating_sub(piece.len() as u64);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

struct Gzip {
    body: Body,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

impl HttpBody for Gzip {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let Some(encoder) = &mut self.encoder else { return Poll::Ready(None) };
            // A piece of nothing would end some clients' streams: wait for some output.
            if encoder.get_ref().len() >= PIECE / 4 {
                let out = std::mem::take(encoder.get_mut());
                return Poll::Ready(Some(Ok(Frame::data(out.into()))));
            }
            match std::task::ready!(Pin::new(&mut self.body).poll_frame(context)) {
                Some(Ok(frame)) => {
                    let Ok(data) = frame.into_data() else { continue };
                    if let Some(encoder) = &mut self.encoder {
                        encoder.write_all(&data)?;
                    }
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => {
                    let Some(encoder) = self.encoder.take() else { return Poll::Ready(None) };
                    let rest = encoder.finish()?;
                    return Poll::Ready(Some(Ok(Frame::data(rest.into()))));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;
    use std::sync::Arc;

    use futures_util::FutureExt as _;

    use super::*;
    use crate::http::limits::Limits;

    #[tokio::test]
    async fn joins_small_parts() {
        let small: VecDeque<Bytes> = (0..1000).map(|at| Bytes::from(format!("{at},").repeat(40))).collect();
        let expected: Vec<u8> = small.iter().flat_map(|part| part.to_vec()).collect();
        let mut body = parts(small);
        assert_eq!(body.size_hint().exact(), Some(expected.len() as u64));
        let (mut all, mut pieces) = (Vec::new(), 0);
        while let Some(frame) = body.frame().await {
            all.extend_from_slice(&frame.unwrap().into_data().unwrap());
            pieces += 1;
        }
        assert_eq!(all, expected);
        assert!(pieces <= 1 + expected.len() / (PIECE / 2), "{pieces}");
    }

    #[tokio::test]
    async fn compresses() {
        let text = b"line\n".repeat(50_000);
        let body = gzip(parts(text.chunks(1000).map(Bytes::copy_from_slice).collect()));
        let packed = body.collect().await.unwrap().to_bytes();
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, text);
        assert!(packed.len() < text.len() / 10);
    }

    #[tokio::test]
    async fn refuses_what_is_too_large() {
        let gate = Gate::new(Limits::default(), Arc::default());
        let code = async |headers: &HeaderMap, body: Full<Bytes>| {
            read(&gate, headers, body).await.map(|read| read.bytes.len()).map_err(|status| status.code)
        };
        let mut headers = HeaderMap::new();
        assert_eq!(code(&headers, Full::from(vec![b'x'; BODY_MAX])).await, Ok(BODY_MAX));
        assert_eq!(code(&headers, Full::from(vec![b'x'; BODY_MAX + 1])).await, Err(413));
        headers.insert(CONTENT_LENGTH, "9999999999".parse().unwrap());
        assert_eq!(code(&headers, Full::from("")).await, Err(413));
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(code(&headers, Full::from("")).await, Err(415));
    }

    #[tokio::test]
    async fn large_bodies_wait_unread() {
        let gate = Gate::new(Limits::default(), Arc::default());
        let read = async |declares: bool| {
            let mut headers = HeaderMap::new();
            if declares {
                headers.insert(CONTENT_LENGTH, BODY_MAX.into());
            }
            read(&gate, &headers, Full::from(vec![b'x'; BODY_MAX])).await.unwrap()
        };
        let mut held = Vec::new();
        while let Some(body) = read(held.len() % 2 == 0).now_or_never() {
            held.push(body);
        }
        assert_eq!(held.len(), 10);
        let mut small = HeaderMap::new();
        small.insert(CONTENT_LENGTH, "4".parse().unwrap());
        assert!(super::read(&gate, &small, Full::from("null")).await.is_ok());
        held.pop();
        assert!(read(false).now_or_never().is_some());
    }
}
