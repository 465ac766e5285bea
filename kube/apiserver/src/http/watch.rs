//! A watch's answer: events as they come, several in one piece when they come faster than the
//! client reads.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::Stream as _;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame as BodyFrame};
use jiff::Timestamp;
use kube_object::{cbor, protobuf};
use serde_json::Value;

use super::accept::{Encoding, Transform};
use super::answer::Form;
use super::body::{Body, BodyError};
use crate::cache::{Frame, Watcher};
use crate::fairness::Watched;
use crate::kinds::Resource;
use crate::metrics::Gauge;
use crate::table::{Maker, metadata_only};

/// Most that is put into one piece: a client that does not read holds one.
const PIECE_MAX: usize = 16 * 1024;

/// Counts a watch while it is open.
pub(super) struct Counted {
    pub(super) _gauge: Gauge,
    pub(super) _watched: Option<Watched>,
}

/// The answer to a watch.
pub(super) fn answer(
    watcher: Watcher,
    resource: &Arc<Resource>,
    form: &Form,
    counted: Counted,
) -> Response<Body> {
    let events = Events {
        watcher: Some(Box::pin(watcher)),
        resource: Arc::clone(resource),
        form: form.clone(),
        first: true,
        held: None,
        _counted: counted,
    };
    let mut response = Response::new(events.boxed_unsync());
    let content_type = HeaderValue::from_static(form.negotiated.encoding.stream_content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

struct Events {
    watcher: Option<Pin<Box<Watcher>>>,
    resource: Arc<Resource>,
    form: Form,
    /// Whether no table was sent yet: only the first one has the columns.
    first: bool,
    /// An event that did not fit the last piece.
    held: Option<Bytes>,
    _counted: Counted,
}

impl Events {
    fn encode(&mut self, frame: &Frame) -> Bytes {
        let object = match self.form.negotiated.transform {
            Transform::None if self.form.negotiated.encoding == Encoding::Json => return frame.json(),
            Transform::None if self.form.is_message() => {
                let (gvk, messages) = (&self.resource.gvk, &self.form.messages);
                return frame.protobuf(|kind, item| match messages.of(gvk, item) {
                    Ok(message) => {
                        protobuf::watch_frame(kind.as_str(), &protobuf::in_envelope(gvk, &message)).into()
                    }
                    Err(_) => protobuf_frame(kind.as_str(), &item.value()),
                });
            }
            Transform::None => frame.object.decode(),
            Transform::Metadata(version) => metadata_only(&frame.object.value(), version),
            Transform::Table(version) => {
                // Ages count from the event, not from the watch's begin.
                let maker = Maker::new(&self.resource, version, self.form.include, Timestamp::now());
                let first = std::mem::take(&mut self.first);
                maker.one(&frame.object.value(), first)
            }
        };
        self.event(frame.kind.as_str(), &object)
    }

    fn event(&self, kind: &str, object: &Value) -> Bytes {
        match self.form.negotiated.encoding {
            Encoding::Protobuf => protobuf_frame(kind, object),
            Encoding::Cbor => cbor::watch_event(kind, object).into(),
            Encoding::Json | Encoding::Yaml => line(kind, object),
        }
    }

    fn poll_event(&mut self, context: &mut Context<'_>) -> Poll<Option<Bytes>> {
        if let Some(held) = self.held.take() {
            return Poll::Ready(Some(held));
        }
        let Some(watcher) = &mut self.watcher else { return Poll::Ready(None) };
        match std::task::ready!(watcher.as_mut().poll_next(context)) {
            Some(Ok(frame)) => Poll::Ready(Some(self.encode(&frame))),
            Some(Err(status)) => {
                self.watcher = None;
                Poll::Ready(Some(self.event("ERROR", &status.to_value())))
            }
            None => {
                self.watcher = None;
                Poll::Ready(None)
            }
        }
    }
}

fn line(kind: &str, object: &Value) -> Bytes {
    format!("{{\"type\":\"{kind}\",\"object\":{object}}}\n").into()
}

fn protobuf_frame(kind: &str, object: &Value) -> Bytes {
    protobuf::watch_frame(kind, &protobuf::encode(object).unwrap_or_default()).into()
}

impl HttpBody for Events {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<BodyFrame<Bytes>, BodyError>>> {
        let Some(first) = std::task::ready!(self.poll_event(context)) else { return Poll::Ready(None) };
        let (mut len, mut more) = (first.len(), Vec::new());
        while len < PIECE_MAX {
            let Poll::Ready(Some(next)) = self.poll_event(context) else { break };
            if len + next.len() > PIECE_MAX {
                self.held = Some(next);
                break;
            }
            len += next.len();
            more.push(next);
        }
        let piece = if more.is_empty() { first } else { join(first, more) };
        Poll::Ready(Some(Ok(BodyFrame::data(piece))))
    }
}

/// Events in one piece. Watches that are told the same ones after each other share it.
fn join(first: Bytes, more: Vec<Bytes>) -> Bytes {
    JOINED.with_borrow_mut(|joined| {
        if let Some(known) = joined.iter().find(|known| known.is_of(&first, &more)) {
            return known.piece.clone();
        }
        let parts = || std::iter::once(&first).chain(&more);
        let mut piece = Vec::with_capacity(parts().map(Bytes::len).sum());
        parts().for_each(|part| piece.extend_from_slice(part));
        let piece = Bytes::from(piece);
        joined.truncate(JOINED_MAX - 1);
        joined.push_front(Joined { piece: piece.clone(), first, more });
        piece
    })
}

/// A piece and what it is made of. As that is kept, nothing else can come to its place in memory.
struct Joined {
    piece: Bytes,
    first: Bytes,
    more: Vec<Bytes>,
}

impl Joined {
    fn is_of(&self, first: &Bytes, more: &[Bytes]) -> bool {
        let same =
            |(one, other): (&Bytes, &Bytes)| one.as_ptr() == other.as_ptr() && one.len() == other.len();
        self.more.len() == more.len() && same((&self.first, first)) && self.more.iter().zip(more).all(same)
    }
}

/// Pieces that are kept: a watch that is behind is told several at once, the next one the same.
const JOINED_MAX: usize = 4;

thread_local! {
    /// What was joined last on this thread, the newest first.
    static JOINED: RefCell<VecDeque<Joined>> = const { RefCell::new(VecDeque::new()) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_events_are_joined_once() {
        let events: Vec<Bytes> = (0..4).map(|at| Bytes::from(format!("event {at}\n"))).collect();
        let joined = |from: usize, to: usize| join(events[from].clone(), events[from + 1..to].to_vec());
        let whole = joined(0, 4);
        assert_eq!(whole, "event 0\nevent 1\nevent 2\nevent 3\n");
        assert_eq!(joined(0, 4).as_ptr(), whole.as_ptr());
        assert_eq!(joined(0, 3), "event 0\nevent 1\nevent 2\n");
        assert_eq!(joined(1, 4), "event 1\nevent 2\nevent 3\n");
        // The same words elsewhere are another event.
        let other = join(Bytes::from("event 1\n".to_owned()), events[2..].to_vec());
        assert_eq!(other, joined(1, 4));
        assert_ne!(other.as_ptr(), joined(1, 4).as_ptr());
    }
}
