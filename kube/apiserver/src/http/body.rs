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
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use kube_object::status::Status;

/// What an answer's body may fail with.
pub type BodyError = Box<dyn std::error::Error + Send + Sync>;
/// An answer's body.
pub type Body = UnsyncBoxBody<Bytes, BodyError>;

/// Largest body that is read: etcd's request limit of 1.5 MiB, twice, as upstream.
pub const BODY_MAX: usize = 3 * 1024 * 1024;
/// So much of a list is put into one piece of the answer.
const PIECE: usize = 64 * 1024;

/// Reads a request's body.
pub(crate) async fn read<B>(headers: &HeaderMap, body: B) -> Result<Bytes, Status>
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
    if declared.is_some_and(|length| length > BODY_MAX as u64) {
        return Err(too_large());
    }
    match Limited::new(body, BODY_MAX).collect().await {
        Ok(collected) => Ok(collected.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(error) => Err(Status::bad_request(format!("unable to read the body: {error}"))),
    }
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

    use super::*;

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
        let mut headers = HeaderMap::new();
        let fits = read(&headers, Full::from(vec![b'x'; BODY_MAX])).await.unwrap();
        assert_eq!(fits.len(), BODY_MAX);
        assert_eq!(read(&headers, Full::from(vec![b'x'; BODY_MAX + 1])).await.unwrap_err().code, 413);
        headers.insert(CONTENT_LENGTH, "9999999999".parse().unwrap());
        assert_eq!(read(&headers, Full::from("")).await.unwrap_err().code, 413);
        headers.insert(CONTENT_ENCODING, "gzip".parse().unwrap());
        assert_eq!(read(&headers, Full::from("")).await.unwrap_err().code, 415);
    }
}
