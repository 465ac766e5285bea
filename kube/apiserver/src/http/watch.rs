//! A watch's answer: events as they come, several in one piece when they come faster than the
//! client reads.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};
use futures_util::Stream as _;
use http::Response;
use http::header::{CONTENT_TYPE, HeaderValue};
use http_body_util::BodyExt as _;
use hyper::body::{Body as HttpBody, Frame as BodyFrame};
use jiff::Timestamp;
use kube_object::protobuf;
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
        let mut joined: Option<BytesMut> = None;
        let mut len = first.len();
        while len < PIECE_MAX {
            let Poll::Ready(Some(next)) = self.poll_event(context) else { break };
            if len + next.len() > PIECE_MAX {
                self.held = Some(next);
                break;
            }
            len += next.len();
            joined.get_or_insert_with(|| BytesMut::from(&first[..])).extend_from_slice(&next);
        }
        let piece = joined.map_or(first, BytesMut::freeze);
        Poll::Ready(Some(Ok(BodyFrame::data(piece))))
    }
}
