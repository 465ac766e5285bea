//! An object as caches keep it: its JSON, with the places of a few members remembered.
//!
//! Decoded it would take five times the memory; so it is decoded when somebody looks
//! inside, and the decoded form is shared as long as anybody holds it.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use crate::scan::{find, members, skip_member, skip_value};
use crate::text::{Repeats, Text};

/// One object at one revision. Its JSON is complete: `kind`, `apiVersion`, `resourceVersion`.
///
/// There is one for each object of the cluster: with its counts it fits into 160 bytes.
pub struct Item {
    text: Text,
    revision: u64,
    /// `namespace/name`, or `name`.
    key: Arc<str>,
    decoded: Mutex<Decoded>,
    rare: OnceLock<Box<Rare>>,
    uid: Place,
    labels: Place,
    owners: Place,
    indexed: OnceLock<Place>,
    body: u32,
    /// Where the key `managedFields` of the metadata starts; 0 where there is none.
    managed: u32,
    namespace_len: u16,
    deleting: bool,
}

/// Decoded forms, for as long as anybody holds them.
#[derive(Default)]
struct Decoded {
    whole: Weak<Value>,
    lean: Weak<Value>,
}

/// What few objects are asked for.
struct Rare {
    message: Mutex<Weak<[u8]>>,
    fields: OnceLock<Fields>,
}

impl Default for Rare {
    fn default() -> Self {
        Self { message: Mutex::new(Weak::<[u8; 0]>::new()), fields: OnceLock::new() }
    }
}

/// Names and values of selectable fields.
type Fields = Box<[(Box<str>, Box<str>)]>;

/// Where a value starts in the JSON; 0 where there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Place(u32);

/// What happened to an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// It is there, and was not (or did not fit the selector).
    Added,
    /// It changed.
    Modified,
    /// It is gone (or does not fit the selector any more).
    Deleted,
    /// Nothing: its revision says how far the watch is.
    Bookmark,
}

impl EventKind {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "ADDED",
            Self::Modified => "MODIFIED",
            Self::Deleted => "DELETED",
            Self::Bookmark => "BOOKMARK",
        }
    }
}

/// One event of a watch.
#[derive(Clone, Debug)]
pub struct WatchEvent {
    /// What happened.
    pub kind: EventKind,
    /// The object after it; of a deletion its last state, at the revision of the deletion.
    pub object: Arc<Item>,
}

/// The bytes are no object of the API.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidItem {
    /// No JSON object with `metadata`.
    #[error("not an object with metadata")]
    Form,
    /// Larger than places in it can be remembered.
    #[error("an object of {0} bytes is too large")]
    TooLarge(usize),
}

impl Item {
    /// Reads where things are in the JSON of an object. The name in `metadata` is its name.
    pub fn parse(json: Bytes, revision: u64) -> Result<Self, InvalidItem> {
        Self::of(Text::whole(json), revision)
    }

    fn of(text: Text, revision: u64) -> Result<Self, InvalidItem> {
        let head = Head::find(text.own())?;
        let word = |place: Place| {
            let found: Option<String> = serde_json::from_slice(place.of(text.own())).ok();
            found.unwrap_or_default()
        };
        let (namespace, name) = (word(head.namespace), word(head.name));
        let namespace_len = u16::try_from(namespace.len()).map_err(|_| InvalidItem::Form)?;
        let key = if namespace.is_empty() { name } else { format!("{namespace}/{name}") };
        Ok(Self {
            revision,
            key: key.into(),
            decoded: Mutex::default(),
            rare: OnceLock::new(),
            uid: head.uid,
            labels: head.labels,
            owners: head.owners,
            indexed: OnceLock::new(),
            body: head.body,
            managed: head.managed,
            namespace_len,
            deleting: head.deleting,
            text,
        })
    }

    /// Reads an object that says its revision itself, for long: see [`Item::kept`].
    pub fn read(json: &[u8], repeats: &Repeats) -> Result<Self, InvalidItem> {
        Self::of(Text::sharing(json.to_vec(), repeats), revision_of(json))
    }

    /// The object at a revision: `metadata.resourceVersion` is set in a copy of the JSON.
    pub fn at(json: &[u8], revision: u64) -> Result<Self, InvalidItem> {
        Self::parse(with_revision(json, revision)?.into(), revision)
    }

    /// The same as [`Item::at`], for long: it shares with others of `repeats` what it says as they do.
    pub fn kept(json: &[u8], revision: u64, repeats: &Repeats) -> Result<Self, InvalidItem> {
        Self::of(Text::sharing(with_revision(json, revision)?, repeats), revision)
    }

    /// The whole JSON.
    pub fn json(&self) -> Bytes {
        self.text.joined()
    }

    /// The length of the whole JSON in bytes.
    pub fn json_len(&self) -> usize {
        self.text.len()
    }

    /// Appends the whole JSON.
    pub fn write_json(&self, out: &mut Vec<u8>) {
        self.text.write(out);
    }

    /// The whole JSON, piece by piece.
    pub fn pieces(&self) -> impl Iterator<Item = Bytes> {
        self.text.pieces(0)
    }

    /// The JSON from behind `{"kind":…,"apiVersion":…,`, so that `{` and this is the object without
    /// its type, as items of typed lists are written. `None` if the JSON does not begin so.
    pub fn untyped_pieces(&self) -> Option<impl Iterator<Item = Bytes>> {
        (self.body != 0).then(|| self.text.pieces(self.body as usize))
    }

    /// The revision of the last write: `metadata.resourceVersion`.
    pub fn revision(&self) -> u64 {
        self.revision
    }

    /// `namespace/name`, or `name` for objects of the cluster: the order of lists.
    pub fn key(&self) -> &Arc<str> {
        &self.key
    }

    /// The namespace, empty for objects of the cluster.
    pub fn namespace(&self) -> &str {
        self.key.get(..self.namespace_len as usize).unwrap_or_default()
    }

    /// The name.
    pub fn name(&self) -> &str {
        let start = if self.namespace_len == 0 { 0 } else { self.namespace_len as usize + 1 };
        self.key.get(start..).unwrap_or_default()
    }

    /// The identity.
    pub fn uid(&self) -> &str {
        let raw = self.uid.of(self.text.own());
        let inner = raw.get(1..raw.len().saturating_sub(1)).unwrap_or_default();
        std::str::from_utf8(inner).unwrap_or_default()
    }

    /// The labels, read anew at each call.
    pub fn labels(&self) -> BTreeMap<String, String> {
        let raw = self.labels.of(self.text.own());
        if raw.is_empty() { BTreeMap::new() } else { serde_json::from_slice(raw).unwrap_or_default() }
    }

    /// The identities in `metadata.ownerReferences`, each once, in their order.
    pub fn owner_uids(&self) -> Vec<String> {
        let owners: Vec<Owner> = serde_json::from_slice(self.owners.of(self.text.own())).unwrap_or_default();
        let mut uids: Vec<String> = owners.into_iter().map(|owner| owner.uid).collect();
        uids.sort();
        uids.dedup();
        uids
    }

    /// Whether deletion was asked for.
    pub fn is_deleting(&self) -> bool {
        self.deleting
    }

    /// The object, decoded; shared with whoever else holds it at the time.
    pub fn value(&self) -> Arc<Value> {
        if let Some(value) = self.decoded().whole.upgrade() {
            return value;
        }
        let value = Arc::new(self.decode());
        self.decoded().whole = Arc::downgrade(&value);
        value
    }

    /// The object without `metadata.managedFields`, decoded; shared as [`Item::value`] is. For
    /// deciders, whom it does not concern who owns which field: that is half of many an object.
    pub fn lean(&self) -> Arc<Value> {
        if let Some(value) = self.decoded().lean.upgrade() {
            return value;
        }
        let value = Arc::new(self.without_managers());
        self.decoded().lean = Arc::downgrade(&value);
        value
    }

    /// Tells what [`Item::lean`] is to give as long as somebody holds it.
    pub fn know_lean(&self, value: &Arc<Value>) {
        self.decoded().lean = Arc::downgrade(value);
    }

    fn without_managers(&self) -> Value {
        let start = self.managed as usize;
        if start == 0 {
            return self.decode();
        }
        // The comma before it goes too. Where there is none it is the only one before others, and
        // nobody writes it there.
        let json = self.text.own();
        let head = json.get(..start);
        let tail = json.get(skip_member(json, start)..);
        let head = head.and_then(|head| head.trim_ascii_end().strip_suffix(b","));
        match (head, tail) {
            (Some(head), Some(tail)) => serde_json::from_slice(&[head, tail].concat()).unwrap_or_default(),
            _ => self.decode(),
        }
    }

    /// The object, decoded for the caller alone.
    pub fn decode(&self) -> Value {
        serde_json::from_slice(&self.text.joined()).unwrap_or_default()
    }

    /// The object's message: what somebody still holds of an earlier call, or what `make` makes.
    pub fn message<E>(&self, make: impl FnOnce(&[u8]) -> Result<Arc<[u8]>, E>) -> Result<Arc<[u8]>, E> {
        let held = || self.rare().message.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(message) = held().upgrade() {
            return Ok(message);
        }
        let message = make(&self.text.joined())?;
        *held() = Arc::downgrade(&message);
        Ok(message)
    }

    /// The value of a selectable field. `read` tells all of them once; they are kept.
    pub fn field(&self, name: &str, read: impl Fn(&Value) -> Vec<(String, String)>) -> Option<Cow<'_, str>> {
        let fields = self.rare().fields.get_or_init(|| {
            let fields = read(&self.value());
            fields.into_iter().map(|(name, value)| (name.into_boxed_str(), value.into_boxed_str())).collect()
        });
        if let Some((_, value)) = fields.iter().find(|(known, _)| **known == *name) {
            return Some(Cow::Borrowed(value));
        }
        // They were read before there was such a field: definitions of kinds change.
        let fields = read(&self.value());
        fields.into_iter().find(|(known, _)| known == name).map(|(_, value)| Cow::Owned(value))
    }

    /// The text at a path of members, found in the JSON without decoding it; empty where there is
    /// none. The place is remembered: all calls on one object must name the same path. Texts with
    /// escapes are given as they are written.
    pub fn indexed(&self, path: &[&str]) -> &str {
        let place = *self.indexed.get_or_init(|| self.place(path));
        match place.of(self.text.own()) {
            [b'"', inner @ .., b'"'] => std::str::from_utf8(inner).unwrap_or_default(),
            _ => "",
        }
    }

    /// The JSON of the value at a path of members outside of `managedFields`, found without decoding the
    /// rest; empty where there is none.
    pub fn part(&self, path: &[&str]) -> &[u8] {
        self.place(path).of(self.text.own())
    }

    fn place(&self, path: &[&str]) -> Place {
        let found = path.iter().try_fold(0, |at, name| find(self.text.own(), at, name.as_bytes()));
        found.map_or(Place::default(), Place::new)
    }

    fn decoded(&self) -> MutexGuard<'_, Decoded> {
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rare(&self) -> &Rare {
        self.rare.get_or_init(Box::default)
    }
}

impl std::fmt::Debug for Item {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // Never the JSON: it may be a secret.
        f.debug_struct("Item").field("key", &self.key).field("revision", &self.revision).finish()
    }
}

impl Place {
    fn of(self, json: &[u8]) -> &[u8] {
        match self.0 as usize {
            0 => &[],
            start => json.get(start..skip_value(json, start)).unwrap_or_default(),
        }
    }

    fn new(start: usize) -> Self {
        Self(start as u32)
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Owner {
    uid: String,
}

#[derive(Default)]
struct Head {
    body: u32,
    name: Place,
    namespace: Place,
    uid: Place,
    labels: Place,
    owners: Place,
    managed: u32,
    deleting: bool,
}

impl Head {
    fn find(json: &[u8]) -> Result<Self, InvalidItem> {
        if u32::try_from(json.len()).is_err() {
            return Err(InvalidItem::TooLarge(json.len()));
        }
        let mut head = Self::default();
        let mut metadata = None;
        for (at, member) in members(json, 0).enumerate() {
            match (at, member.key) {
                (0, b"kind") | (1, b"apiVersion") => head.body += 1,
                (2, _) if head.body == 2 => head.body = member.key_start as u32,
                _ => {}
            }
            if member.key == b"metadata" {
                metadata = Some(member.start);
                break;
            }
        }
        if head.body <= 2 {
            head.body = 0;
        }
        head.read_metadata(json, metadata.ok_or(InvalidItem::Form)?);
        Ok(head)
    }

    fn read_metadata(&mut self, json: &[u8], at: usize) {
        for member in members(json, at) {
            let place = || Place::new(member.start);
            match member.key {
                b"name" => self.name = place(),
                b"namespace" => self.namespace = place(),
                b"uid" => self.uid = place(),
                b"labels" => self.labels = place(),
                b"ownerReferences" => self.owners = place(),
                b"deletionTimestamp" => self.deleting = place().of(json) != b"null",
                // Everything else stands before it, by the API's order and (but for what the test
                // looks at) by the alphabet; and it is half of the object.
                b"managedFields" => {
                    self.managed = member.key_start as u32;
                    if self.uid != Place::default() {
                        break;
                    }
                }
                _ => {}
            }
        }
    }
}

/// What `metadata.resourceVersion` says; 0 where it says no number.
fn revision_of(json: &[u8]) -> u64 {
    let metadata = find(json, 0, b"metadata");
    let found = metadata.and_then(|metadata| find(json, metadata, b"resourceVersion"));
    let text = found.and_then(|at| std::str::from_utf8(json.get(at..skip_value(json, at))?).ok());
    text.and_then(|text| text.trim_matches('"').parse().ok()).unwrap_or(0)
}

/// A copy with `metadata.resourceVersion` set.
fn with_revision(json: &[u8], revision: u64) -> Result<Vec<u8>, InvalidItem> {
    let at = find(json, 0, b"metadata").ok_or(InvalidItem::Form)?;
    let (mut behind_uid, mut present) = (None, None);
    for member in members(json, at) {
        match member.key {
            b"uid" => behind_uid = Some(member.value(json).end),
            b"resourceVersion" => present = Some(member.value(json)),
            b"managedFields" if behind_uid.is_some() => break,
            _ => {}
        }
    }
    let is_empty = members(json, at).next().is_none();
    let (cut, text) = match (present, behind_uid) {
        (Some(value), _) => (value, format!("\"{revision}\"")),
        (None, Some(end)) => (end..end, format!(",\"resourceVersion\":\"{revision}\"")),
        (None, None) if is_empty => (at + 1..at + 1, format!("\"resourceVersion\":\"{revision}\"")),
        (None, None) => (at + 1..at + 1, format!("\"resourceVersion\":\"{revision}\",")),
    };
    let (before, rest) = (json.get(..cut.start), json.get(cut.end..));
    let (Some(before), Some(rest)) = (before, rest) else { return Err(InvalidItem::Form) };
    let mut out = Vec::with_capacity(before.len() + text.len() + rest.len());
    out.extend_from_slice(before);
    out.extend_from_slice(text.as_bytes());
    out.extend_from_slice(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_small() {
        // With the two counts before it, this is a size that the allocator has.
        assert!(size_of::<Item>() + 2 * size_of::<usize>() <= 160, "{}", size_of::<Item>());
    }

    #[test]
    fn what_is_shared_does_not_show() {
        let repeats = Repeats::default();
        let set = format!(r#"{{"f:spec":{{"f:{}":{{}}}}}}"#, "nodeName".repeat(20));
        let json = format!(
            r#"{{"kind":"Pod","apiVersion":"v1","metadata":{{"name":"a","namespace":"n","uid":"u","labels":{{"l":"m"}},
            "managedFields":[{{"fieldsV1":{set},"manager":"x"}},{{"fieldsV1":{set}}}]}},"spec":{{"nodeName":"n1"}}}}"#
        );
        let whole = Item::at(json.as_bytes(), 7).unwrap();
        for shared in [1, 2, 2] {
            let kept = Item::kept(json.as_bytes(), 7, &repeats).unwrap();
            assert_eq!(kept.pieces().count(), 2 * shared + 1);
            assert_eq!((kept.json(), kept.json_len()), (whole.json(), whole.json().len()));
            let tail = |item: &Item| item.untyped_pieces().unwrap().collect::<Vec<_>>().concat();
            assert_eq!(tail(&kept), tail(&whole));
            assert_eq!((kept.uid(), kept.labels()), (whole.uid(), whole.labels()));
            assert_eq!(
                (kept.indexed(&["spec", "nodeName"]), kept.part(&["spec"])),
                ("n1", whole.part(&["spec"]))
            );
            assert_eq!((kept.value(), kept.lean()), (whole.value(), whole.lean()));
            let message: Result<Arc<[u8]>, ()> = kept.message(|json| Ok(json.into()));
            assert_eq!(*message.unwrap(), *whole.json());
        }
    }

    #[test]
    fn reads_the_head() {
        let json = r#"{"kind":"Pod","apiVersion":"v1","metadata":{"name":"web","namespace":"shop","uid":"u",
            "resourceVersion":"7","labels":{"a":"b"},"deletionTimestamp":"T"},"spec":{"x":1}}"#;
        let item = Item::parse(Bytes::from(json), 7).unwrap();
        assert_eq!((item.key().as_ref(), item.namespace(), item.name()), ("shop/web", "shop", "web"));
        assert_eq!((item.uid(), item.is_deleting()), ("u", true));
        assert_eq!(item.labels()["a"], "b");
        let tail: Vec<Bytes> = item.untyped_pieces().unwrap().collect();
        assert!(tail.concat().starts_with(b"\"metadata\""));
        let value = item.value();
        assert!(Arc::ptr_eq(&value, &item.value()));
        let read = |name: &'static str| move |v: &Value| vec![(name.to_owned(), v["spec"]["x"].to_string())];
        assert_eq!(item.field("spec.x", read("spec.x")).as_deref(), Some("1"));
        assert_eq!(item.field("new", read("new")).as_deref(), Some("1"));
        assert_eq!(item.field("none", read("new")), None);
        for (json, lean) in [
            (
                r#"{"metadata":{"uid":"u", "managedFields":[{"a":"]"}]},"b":1}"#,
                r#"{"metadata":{"uid":"u"},"b":1}"#,
            ),
            (
                r#"{"metadata":{"uid":"u","managedFields" : [{}] ,"b":2}}"#,
                r#"{"metadata":{"uid":"u","b":2}}"#,
            ),
            (r#"{"metadata":{"a":1,"managedFields":[],"c":2}}"#, r#"{"metadata":{"a":1,"c":2}}"#),
            (r#"{"metadata":{"managedFields":[],"c":2}}"#, r#"{"metadata":{"managedFields":[],"c":2}}"#),
            (r#"{"metadata":{}}"#, r#"{"metadata":{}}"#),
        ] {
            let item = Item::parse(Bytes::from(json), 1).unwrap();
            assert_eq!(*item.lean(), serde_json::from_str::<Value>(lean).unwrap());
            assert_eq!(item.decode(), serde_json::from_str::<Value>(json).unwrap());
        }
        let path: &[&str] = &["spec", "nodeName"];
        for (spec, node) in [
            (r#"{"a":{"nodeName":"x"},"nodeName":"n1"}"#, "n1"),
            (r#"{"nodeName":7}"#, ""),
            ("{}", ""),
            ("7", ""),
        ] {
            let json = format!(r#"{{"metadata":{{"nodeName":"y"}},"spec":{spec}}}"#);
            let item = Item::parse(json.into(), 1).unwrap();
            assert_eq!((item.indexed(path), item.indexed(path)), (node, node), "{spec}");
        }
        let node = Item::parse(Bytes::from(r#"{"metadata":{"name":"n\"1"}}"#), 1).unwrap();
        assert_eq!((node.namespace(), node.name(), node.untyped_pieces().is_none()), ("", "n\"1", true));
        for (json, expected) in [
            (r#"{"metadata":{}}"#, r#"{"metadata":{"resourceVersion":"9"}}"#),
            (r#"{"metadata":{"name":"n"}}"#, r#"{"metadata":{"resourceVersion":"9","name":"n"}}"#),
            (r#"{"metadata":{"uid":"u","x":1}}"#, r#"{"metadata":{"uid":"u","resourceVersion":"9","x":1}}"#),
            (
                r#"{"metadata":{"uid":"u","resourceVersion":"12"}}"#,
                r#"{"metadata":{"uid":"u","resourceVersion":"9"}}"#,
            ),
        ] {
            let item = Item::at(json.as_bytes(), 9).unwrap();
            assert_eq!((item.json().as_ref(), item.revision()), (expected.as_bytes(), 9));
        }
        for bad in ["", "[]", "{}", "{\"metadata\"", "nonsense"] {
            assert!(Item::parse(Bytes::from(bad), 1).is_err(), "{bad}");
        }
    }
}
