//! Events out of the body of a watch: one line of JSON each.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use kube_object::status::Status;
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::{status_of, unreachable};
use crate::item::{EventKind, Item, WatchEvent};
use crate::text::Repeats;

/// The events of a body; an error is the last.
pub(super) fn events(
    body: Incoming,
    repeats: Arc<Repeats>,
) -> impl Stream<Item = Result<WatchEvent, Status>> + Send {
    let lines = Lines { body, repeats, buffer: BytesMut::new(), scanned: 0, done: false };
    stream::unfold(lines, |mut lines| async move {
        let event = lines.next().await?;
        lines.done = event.is_err();
        Some((event, lines))
    })
}

struct Lines {
    body: Incoming,
    repeats: Arc<Repeats>,
    buffer: BytesMut,
    /// No line ends before here.
    scanned: usize,
    done: bool,
}

impl Lines {
    async fn next(&mut self) -> Option<Result<WatchEvent, Status>> {
        if self.done {
            return None;
        }
        loop {
            if let Some(line) = self.line() {
                if !line.is_empty() {
                    return Some(event(&line, &self.repeats));
                }
                continue;
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Some(Err(Status::too_large("an event of the watch has no end")));
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.buffer.extend_from_slice(&data);
                    }
                }
                Err(error) => return Some(Err(unreachable(&error))),
            }
        }
    }

    fn line(&mut self) -> Option<Bytes> {
        let rest = self.buffer.get(self.scanned..)?;
        match rest.iter().position(|byte| *byte == b'\n') {
            Some(at) => {
                let mut line = self.buffer.split_to(self.scanned + at + 1);
                self.scanned = 0;
                line.truncate(line.len() - 1);
                Some(line.freeze())
            }
            None => {
                self.scanned = self.buffer.len();
                None
            }
        }
    }
}

#[derive(Deserialize)]
struct Line<'a> {
    #[serde(rename = "type")]
    kind: &'a str,
    #[serde(borrow)]
    object: &'a RawValue,
}

fn event(line: &[u8], repeats: &Repeats) -> Result<WatchEvent, Status> {
    let parsed: Line<'_> = serde_json::from_slice(line).map_err(Status::internal)?;
    let json = parsed.object.get().as_bytes();
    let kind = match parsed.kind {
        "ADDED" => EventKind::Added,
        "MODIFIED" => EventKind::Modified,
        "DELETED" => EventKind::Deleted,
        "BOOKMARK" => EventKind::Bookmark,
        _ => {
            let status: Value = serde_json::from_slice(json).map_err(Status::internal)?;
            let code = status.get("code").and_then(Value::as_u64).unwrap_or(500);
            return Err(status_of(u16::try_from(code).unwrap_or(500), &status));
        }
    };
    let object = Item::read(json, repeats).map_err(Status::internal)?;
    Ok(WatchEvent { kind, object: Arc::new(object) })
}

/// The API's objects are smaller.
const LINE_BYTES_MAX: usize = 16 << 20;
