//! Bodies of requests: nothing, some bytes, or a stretch of a long source.

use std::io::{self, Read};
use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Empty, Full, StreamBody};
use hyper::body::Frame;

use crate::push::{BlobSource, Sent};

pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A body that can be sent again: after a retry, a login or a redirect.
#[derive(Clone)]
pub(crate) enum Payload {
    Empty,
    Bytes(Bytes),
    Stretch { source: Arc<dyn BlobSource>, offset: u64, length: u64, sent: Sent },
}

/// How much is read at once.
const PIECE_BYTES: usize = 128 * 1024;

impl Payload {
    /// A body to send, and its length.
    pub(crate) fn open(self) -> io::Result<(Body, Option<u64>)> {
        match self {
            Self::Empty => Ok((Empty::new().map_err(|never| match never {}).boxed_unsync(), None)),
            Self::Bytes(bytes) => {
                let length = bytes.len() as u64;
                Ok((Full::new(bytes).map_err(|never| match never {}).boxed_unsync(), Some(length)))
            }
            Self::Stretch { source, offset, length, sent } => {
                let reader = source.open(offset)?.take(length);
                sent.set(offset);
                let pieces = stream::unfold(Some((reader, sent)), |state| async move {
                    let (mut reader, sent) = state?;
                    match piece(&mut reader) {
                        Ok(piece) if piece.is_empty() => None,
                        Ok(piece) => {
                            sent.add(piece.len() as u64);
                            Some((Ok(Frame::data(piece)), Some((reader, sent))))
                        }
                        Err(error) => Some((Err(error), None)),
                    }
                });
                Ok((StreamBody::new(pieces).boxed_unsync(), Some(length)))
            }
        }
    }
}

/// The next piece. Sources are local files: reading one does not block for long.
fn piece(reader: &mut impl Read) -> io::Result<Bytes> {
    let mut buffer = vec![0; PIECE_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(read) => {
                buffer.truncate(read);
                return Ok(buffer.into());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
