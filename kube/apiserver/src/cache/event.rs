//! One change in the cache, and what is encoded of it once for all watchers.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use client::{EventKind, Item};
use kube_api::IndexedField;

use super::wakers::Change;

/// A change of one object.
#[derive(Debug)]
pub(crate) struct Event {
    /// The revision of the change.
    pub revision: u64,
    /// Before; none if it was created.
    pub old: Option<Arc<Item>>,
    /// After; none if it was deleted.
    pub new: Option<Arc<Item>>,
    /// The object before at the revision of the change: what a watcher is told of something gone.
    gone: OnceLock<Arc<Item>>,
    encodings: Arc<Encodings>,
}

/// Encoded forms of one event, made by whoever needs one first.
#[derive(Debug, Default)]
struct Encodings {
    json: [OnceLock<Bytes>; KINDS],
    protobuf: [OnceLock<Bytes>; KINDS],
}

/// One event for one watcher; its encodings are shared by all that get the same.
#[derive(Clone, Debug)]
pub struct Frame {
    /// What happened, in the eyes of this watcher's selectors.
    pub kind: EventKind,
    /// The object; of a bookmark only its type and `metadata.resourceVersion` say something.
    pub object: Arc<Item>,
    shared: Option<Arc<Encodings>>,
}

impl Event {
    pub(crate) fn new(revision: u64, old: Option<Arc<Item>>, new: Option<Arc<Item>>) -> Self {
        Self { revision, old, new, gone: OnceLock::new(), encodings: Arc::default() }
    }

    /// The object, whichever there is.
    pub(crate) fn object(&self) -> Option<&Arc<Item>> {
        self.new.as_ref().or(self.old.as_ref())
    }

    /// What it is about, to tell whom it concerns.
    pub(crate) fn change(&self, indexed: Option<IndexedField>) -> Option<Change<'_>> {
        let object = self.object()?;
        Some(Change {
            namespace: object.namespace(),
            key: object.key(),
            name: object.name(),
            indexed: [value_of(&self.old, indexed), value_of(&self.new, indexed)],
        })
    }

    /// The bytes that it keeps in memory: what is before and after.
    pub(crate) fn weight(&self) -> usize {
        [&self.old, &self.new].into_iter().flatten().map(|item| item.json_len()).sum()
    }

    /// What a watcher is told whose selector is `fits`; nothing if that does not concern it.
    pub(crate) fn frame(&self, fits: impl Fn(&Item) -> bool) -> Option<Frame> {
        let before = self.old.as_deref().is_some_and(&fits);
        let after = self.new.as_ref().filter(|item| fits(item));
        let (kind, object) = match (before, after) {
            (false, Some(item)) => (EventKind::Added, Arc::clone(item)),
            (true, Some(item)) => (EventKind::Modified, Arc::clone(item)),
            (true, None) => (EventKind::Deleted, self.gone()?),
            (false, None) => return None,
        };
        Some(Frame { kind, object, shared: Some(Arc::clone(&self.encodings)) })
    }

    fn gone(&self) -> Option<Arc<Item>> {
        let old = self.old.as_ref()?;
        let gone = self
            .gone
            .get_or_init(|| Item::at(&old.json(), self.revision).map_or_else(|_| Arc::clone(old), Arc::new));
        Some(Arc::clone(gone))
    }
}

fn value_of(item: &Option<Arc<Item>>, indexed: Option<IndexedField>) -> Option<&str> {
    Some(item.as_ref()?.indexed(indexed?.path))
}

impl Frame {
    /// A frame that only one watcher gets.
    pub(crate) fn alone(kind: EventKind, object: Arc<Item>) -> Self {
        Self { kind, object, shared: None }
    }

    /// The line of JSON, with its newline.
    pub fn json(&self) -> Bytes {
        let slot = self.shared.as_ref().and_then(|shared| shared.json.get(self.kind as usize));
        slot.map_or_else(|| self.line(), |slot| slot.get_or_init(|| self.line()).clone())
    }

    /// The frame of protobuf; `encode` makes it once for all watchers.
    pub fn protobuf(&self, encode: impl FnOnce(EventKind, &Item) -> Bytes) -> Bytes {
        let slot = self.shared.as_ref().and_then(|shared| shared.protobuf.get(self.kind as usize));
        match slot {
            Some(slot) => slot.get_or_init(|| encode(self.kind, &self.object)).clone(),
            None => encode(self.kind, &self.object),
        }
    }

    fn line(&self) -> Bytes {
        let mut line = Vec::with_capacity(self.object.json_len() + 40);
        line.extend_from_slice(b"{\"type\":\"");
        line.extend_from_slice(self.kind.as_str().as_bytes());
        line.extend_from_slice(b"\",\"object\":");
        self.object.write_json(&mut line);
        line.extend_from_slice(b"}\n");
        line.into()
    }
}

/// Kinds of events: added, modified, deleted, bookmark.
const KINDS: usize = 4;
