//! The JSON of an object in memory. What many objects say alike is there once for all of them: the
//! sets of `metadata.managedFields` are half of many an object, and are the same in all objects that
//! a manager has made alike.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::scan::{elements, find, skip_value};

/// JSON, some of which is held together with others.
pub(crate) struct Text {
    /// JSON as well: of what is shared it has the braces, with nothing between.
    own: Bytes,
    shared: Box<[Shared]>,
}

/// What stands between two braces of a [`Text`].
struct Shared {
    at: u32,
    inside: Bytes,
}

/// Sets of fields that more than one object has had.
pub struct Repeats(Mutex<Known>);

struct Known {
    hashes: RandomState,
    /// The hashes of what was seen lately, and once only so far: what never comes again, as a set with
    /// an address in it, costs nothing.
    once: Box<[u64]>,
    texts: HashMap<u64, Bytes>,
    /// So many are kept before those that nobody else holds any more are looked for.
    room: usize,
}

impl Text {
    /// JSON that shares nothing.
    pub(crate) fn whole(json: Bytes) -> Self {
        Self { own: json, shared: Box::default() }
    }

    /// JSON that shares its sets of fields with all others that have the same.
    pub(crate) fn sharing(json: Vec<u8>, repeats: &Repeats) -> Self {
        let known: Vec<(Range<usize>, Bytes)> = field_sets(&json)
            .filter_map(|inside| {
                let text = repeats.find(json.get(inside.clone())?)?;
                Some((inside, text))
            })
            .collect();
        if known.is_empty() {
            return Self::whole(json.into());
        }
        let cut: usize = known.iter().map(|(inside, _)| inside.len()).sum();
        let mut own = Vec::with_capacity(json.len() - cut);
        let (mut shared, mut done) = (Vec::with_capacity(known.len()), 0);
        for (inside, text) in known {
            own.extend_from_slice(&json[done..inside.start]);
            done = inside.end;
            shared.push(Shared { at: own.len() as u32, inside: text });
        }
        own.extend_from_slice(&json[done..]);
        Self { own: own.into(), shared: shared.into() }
    }

    /// All of it but what is between the braces of what is shared: JSON, too.
    pub(crate) fn own(&self) -> &[u8] {
        &self.own
    }

    /// The length of the whole.
    pub(crate) fn len(&self) -> usize {
        self.own.len() + self.shared.iter().map(|shared| shared.inside.len()).sum::<usize>()
    }

    /// The whole from a place in [`Text::own`] on, piece by piece. Nothing shared may be before it.
    pub(crate) fn pieces(&self, from: usize) -> impl Iterator<Item = Bytes> {
        let ends = self.shared.iter().map(|shared| shared.at as usize).chain([self.own.len()]);
        let mut start = from;
        let own = ends.map(move |end| self.own.slice(std::mem::replace(&mut start, end)..end));
        let shared = self.shared.iter().map(|shared| Some(shared.inside.clone())).chain([None]);
        own.zip(shared).flat_map(|(own, shared)| [Some(own), shared]).flatten()
    }

    /// The whole in one piece.
    pub(crate) fn joined(&self) -> Bytes {
        if self.shared.is_empty() {
            return self.own.clone();
        }
        let mut whole = Vec::with_capacity(self.len());
        self.write(&mut whole);
        whole.into()
    }

    /// Appends the whole.
    pub(crate) fn write(&self, out: &mut Vec<u8>) {
        let mut start = 0;
        for Shared { at, inside } in &self.shared {
            out.extend_from_slice(&self.own[start..*at as usize]);
            out.extend_from_slice(inside);
            start = *at as usize;
        }
        out.extend_from_slice(&self.own[start..]);
    }
}

impl Default for Repeats {
    fn default() -> Self {
        Self(Mutex::new(Known {
            hashes: RandomState::new(),
            once: vec![0; ONCE].into(),
            texts: HashMap::new(),
            room: ROOM_MIN,
        }))
    }
}

impl Repeats {
    /// What is equal to a text that was seen before.
    fn find(&self, text: &[u8]) -> Option<Bytes> {
        if text.len() < LENGTH_MIN {
            return None;
        }
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hash = known.hashes.hash_one(text);
        if let Some(found) = known.texts.get(&hash) {
            return (found == text).then(|| found.clone());
        }
        let place = known.once.get_mut(hash as usize % ONCE)?;
        if std::mem::replace(place, hash) != hash {
            return None;
        }
        if known.texts.len() >= known.room {
            known.texts.retain(|_, text| !text.is_unique());
            known.room = (known.texts.len() * 2).max(ROOM_MIN);
        }
        let shared = Bytes::copy_from_slice(text);
        known.texts.insert(hash, shared.clone());
        Some(shared)
    }
}

/// The places between the braces of each `fieldsV1`.
fn field_sets(json: &[u8]) -> impl Iterator<Item = Range<usize>> {
    let managers = find(json, 0, b"metadata").and_then(|at| find(json, at, b"managedFields"));
    elements(json, managers.unwrap_or(json.len())).filter_map(|entry| {
        let start = find(json, entry, b"fieldsV1")?;
        let end = skip_value(json, start);
        let is_object = json.get(start) == Some(&b'{') && json.get(end - 1) == Some(&b'}');
        (is_object && end > start + 1).then(|| start + 1..end - 1)
    })
}

/// A shared text costs its object a reference of half this.
const LENGTH_MIN: usize = 96;
const ONCE: usize = 512;
const ROOM_MIN: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn pod(name: &str, sets: &[&str]) -> Vec<u8> {
        let managers: Vec<String> = sets
            .iter()
            .map(|set| format!(r#"{{"fieldsType":"FieldsV1","fieldsV1":{set},"manager":"m"}}"#))
            .collect();
        let managers = managers.join(",");
        format!(r#"{{"kind":"Pod","metadata":{{"name":"{name}","managedFields":[{managers}]}},"spec":{{}}}}"#)
            .into()
    }

    fn set(field: &str) -> String {
        format!(
            r#"{{"f:metadata":{{"f:labels":{{"f:{field}":{{}}}}}},"f:spec":{{"f:{}":{{}}}}}}"#,
            "x".repeat(100)
        )
    }

    #[test]
    fn what_repeats_is_held_once() {
        let (repeats, one, two) = (Repeats::default(), set("one"), set("two"));
        let first = Text::sharing(pod("a", &[&one]), &repeats);
        assert_eq!(first.shared.len(), 0, "it may never come again");
        for (name, sets, shared) in [
            ("b", &[one.as_str()][..], 1),
            ("c", &[&one, &two], 1),
            ("d", &[&two, "{}", &one], 2),
            ("e", &["7", "{", "[]", ""], 0),
            ("f", &[], 0),
        ] {
            let json = pod(name, sets);
            let text = Text::sharing(json.clone(), &repeats);
            assert_eq!((text.shared.len(), text.len()), (shared, json.len()), "{name}");
            assert_eq!(text.joined(), json);
            let pieces: Vec<Bytes> = text.pieces(1).collect();
            assert_eq!(pieces.concat(), json[1..]);
            assert_eq!(pieces.len(), 1 + 2 * shared);
            if shared > 0 {
                assert!(serde_json::from_slice::<serde_json::Value>(text.own()).is_ok());
                assert!(text.own().len() < json.len() - 100);
            }
        }
        let (again, also) =
            (Text::sharing(pod("g", &[&one]), &repeats), Text::sharing(pod("h", &[&one]), &repeats));
        assert_eq!(again.shared[0].inside.as_ptr(), also.shared[0].inside.as_ptr());
    }

    #[test]
    fn what_nobody_has_any_more_is_forgotten() {
        let repeats = Repeats::default();
        let held: Vec<Text> = (0..ROOM_MIN * 3)
            .map(|number| {
                let json = pod("a", &[&set(&number.to_string())]);
                drop(Text::sharing(json.clone(), &repeats));
                Text::sharing(json, &repeats)
            })
            .filter(|text| text.own().len() % 2 == 0)
            .take(10)
            .collect();
        let known = || repeats.0.lock().unwrap().texts.len();
        let most = known();
        for number in 0..ROOM_MIN * 20 {
            let json = pod("a", &[&set(&format!("later-{number}"))]);
            drop(Text::sharing(json.clone(), &repeats));
            drop(Text::sharing(json, &repeats));
        }
        assert!(known() <= ROOM_MIN.max(2 * held.len()) && most <= ROOM_MIN, "{most} {}", known());
        for text in &held {
            let json = text.joined();
            let found = Text::sharing(json.to_vec(), &repeats);
            assert_eq!(found.shared[0].inside.as_ptr(), text.shared[0].inside.as_ptr());
        }
    }

    #[test]
    fn nonsense_is_whole() {
        let repeats = Repeats::default();
        for bad in [
            "",
            "{",
            "[]",
            r#"{"metadata":{"managedFields":[{"fieldsV1":{"#,
            r#"{"metadata":{"managedFields":"[{"}}"#,
        ] {
            assert_eq!(Text::sharing(bad.into(), &repeats).joined(), bad);
        }
    }
}
