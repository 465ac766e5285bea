//! A watch as a place in the ring of recent events: it holds no queue.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use client::{EventKind, Item};
use futures_util::Stream;
use kube_object::status::Status;

/// One event for one watcher; its encodings are shared by all that get the same.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What happened, in the eyes of this watcher's selectors.
    pub kind: EventKind,
    /// The object; of a bookmark only `metadata.resourceVersion` says something.
    pub object: Arc<Item>,
    shared: Arc<Encodings>,
}

/// Encoded forms of one event, made by whoever needs one first.
#[derive(Debug, Default)]
pub struct Encodings {
    json: [OnceLock<Bytes>; 4],
    protobuf: [OnceLock<Bytes>; 4],
}

impl Frame {
    /// The line of JSON, with its newline.
    pub fn json(&self) -> Bytes {
        let at = self.kind as usize;
        let Some(slot) = self.shared.json.get(at) else { return Bytes::new() };
        slot.get_or_init(|| {
            let mut line = Vec::with_capacity(self.object.json().len() + 40);
            line.extend_from_slice(b"{\"type\":\"");
            line.extend_from_slice(self.kind.as_str().as_bytes());
            line.extend_from_slice(b"\",\"object\":");
            line.extend_from_slice(self.object.json());
            line.extend_from_slice(b"}\n");
            line.into()
        })
        .clone()
    }

    /// The frame of protobuf; `encode` makes it once for all watchers.
    pub fn protobuf(&self, encode: impl FnOnce(EventKind, &Item) -> Bytes) -> Bytes {
        let Some(slot) = self.shared.protobuf.get(self.kind as usize) else { return Bytes::new() };
        slot.get_or_init(|| encode(self.kind, &self.object)).clone()
    }
}

/// A stream of frames. It ends at the watch's time-out or the server's end; an error is its last item.
pub struct Watcher {}

impl Stream for Watcher {
    type Item = Result<Frame, Status>;

    fn poll_next(self: Pin<&mut Self>, _context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        Poll::Ready(None)
    }
}
