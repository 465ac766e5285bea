//! JSON of strangers: decoded with limits, with every duplicate key reported by its path.
//!
//! The last of two equal keys wins, as clients of the API expect; whether a
//! duplicate is an error, a warning or nothing is the caller's to say.

use std::fmt;

use base::{Classified, ErrorClass};
use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::strict;

/// Deepest nesting that is read: serde_json's own recursion limit is 128.
pub const DEPTH_MAX: usize = 120;

/// What the values of one body may take in memory. A short text can hold very many small objects,
/// each of which takes some hundred bytes; what people write stays far below.
pub const MEMORY_MAX: usize = 24 * 1024 * 1024;

/// An object that is not empty: its first node has place for eleven fields.
const OBJECT_BYTES: usize = 11 * (size_of::<Value>() + size_of::<String>());

/// What is being read, as it takes memory.
#[derive(Clone, Copy, Debug, Default)]
pub struct Budget {
    used: usize,
}

/// The values of a body take more than [`MEMORY_MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the values of the body take more than {MEMORY_MAX} bytes of memory")]
pub struct OverBudget;

impl Budget {
    /// A value in a list or under a key, with the key's and a text's bytes.
    pub fn value(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.spend(size_of::<Value>() + bytes)
    }

    /// An item of a list, with the bytes of a text. An empty object counts as one that is not: what is
    /// decoded of it gets its defaults.
    pub fn item(&mut self, item: &Value) -> Result<(), OverBudget> {
        if item.as_object().is_some_and(Map::is_empty) {
            self.object()?;
        }
        self.value(text_len(item))
    }

    /// An object that is not empty.
    pub fn object(&mut self) -> Result<(), OverBudget> {
        self.spend(OBJECT_BYTES)
    }

    fn spend(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.used = self.used.saturating_add(bytes);
        if self.used > MEMORY_MAX { Err(OverBudget) } else { Ok(()) }
    }
}

/// A value, and what is strange about its text.
#[derive(Clone, Debug, PartialEq)]
pub struct Decoded {
    /// The value; of two equal keys the last one.
    pub value: Value,
    /// Paths of keys that stood twice, as in `spec.containers[0].name`.
    pub duplicates: Vec<String>,
}

/// The bytes are not JSON, or nest too deep.
#[derive(Debug, thiserror::Error)]
pub enum InvalidJson {
    /// Syntax, UTF-8, or a number that no type holds.
    #[error("invalid JSON")]
    Syntax(#[source] serde_json::Error),
    /// More than [`DEPTH_MAX`] levels.
    #[error("invalid JSON: nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// More than a body may hold.
    #[error(transparent)]
    TooLarge(#[from] OverBudget),
}

impl Classified for InvalidJson {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

/// Reads one value and nothing behind it.
pub fn decode(bytes: &[u8]) -> Result<Decoded, InvalidJson> {
    decode_within(bytes, &mut Budget::default())
}

/// As [`decode`], for text that is a part of something larger.
pub fn decode_within(bytes: &[u8], budget: &mut Budget) -> Result<Decoded, InvalidJson> {
    let mut notes =
        Notes { budget, path: Vec::new(), duplicates: Vec::new(), too_deep: false, too_large: false };
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    let seed = Node { notes: &mut notes, depth: 0 };
    let decoded = seed.deserialize(&mut deserializer).and_then(|value| deserializer.end().map(|()| value));
    match decoded {
        Ok(value) => Ok(Decoded { value, duplicates: notes.duplicates }),
        Err(_) if notes.too_deep => Err(InvalidJson::TooDeep),
        Err(_) if notes.too_large => Err(InvalidJson::TooLarge(OverBudget)),
        Err(error) => Err(InvalidJson::Syntax(error)),
    }
}

/// How many levels of objects and lists a value has.
pub fn depth(value: &Value) -> usize {
    match value {
        Value::Array(items) => 1 + items.iter().map(depth).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

/// What a value takes in memory, roughly: what its [`Budget`] was asked for as it was decoded.
pub fn weight(value: &Value) -> usize {
    let below = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(fields) if fields.is_empty() => 0,
        Value::Object(fields) => {
            OBJECT_BYTES + fields.iter().map(|(name, value)| name.len() + weight(value)).sum::<usize>()
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    size_of::<Value>() + below
}

struct Notes<'b> {
    path: Vec<Step>,
    duplicates: Vec<String>,
    budget: &'b mut Budget,
    too_deep: bool,
    too_large: bool,
}

enum Step {
    Field(String),
    Index(usize),
}

impl Notes<'_> {
    fn duplicate(&mut self) {
        if !strict::is_enough(&self.duplicates) {
            let mut text = String::new();
            for step in &self.path {
                match step {
                    Step::Field(name) if text.is_empty() => text.push_str(name),
                    Step::Field(name) => text.extend([".", name]),
                    Step::Index(at) => text.push_str(&format!("[{at}]")),
                }
            }
            self.duplicates.push(text);
        }
    }
}

struct Node<'a, 'b> {
    notes: &'a mut Notes<'b>,
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Node<'_, '_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl Node<'_, '_> {
    fn deeper<E: serde::de::Error>(&mut self) -> Result<(), E> {
        self.notes.too_deep = self.depth >= DEPTH_MAX;
        if self.notes.too_deep { Err(E::custom("too deep")) } else { Ok(()) }
    }

    fn spent<E: serde::de::Error>(&mut self, result: Result<(), OverBudget>) -> Result<(), E> {
        self.notes.too_large = result.is_err();
        result.map_err(E::custom)
    }
}

impl<'de> Visitor<'de> for Node<'_, '_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Value, E> {
        Number::from_f64(value).map(Value::Number).ok_or_else(|| E::custom("number out of range"))
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::from(value))
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut sequence: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut items = Vec::new();
        loop {
            self.notes.path.push(Step::Index(items.len()));
            let item = sequence.next_element_seed(Node { notes: &mut *self.notes, depth: self.depth + 1 })?;
            self.notes.path.pop();
            match item {
                Some(item) => {
                    let spent = self.notes.budget.item(&item);
                    self.spent(spent)?;
                    items.push(item);
                }
                None => return Ok(Value::Array(items)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        self.deeper()?;
        let mut object = Map::new();
        while let Some(key) = map.next_key::<String>()? {
            let stood = object.contains_key(&key);
            self.notes.path.push(Step::Field(key));
            if stood {
                self.notes.duplicate();
            }
            let value = map.next_value_seed(Node { notes: &mut *self.notes, depth: self.depth + 1 })?;
            let Some(Step::Field(key)) = self.notes.path.pop() else { continue };
            let budget = &mut *self.notes.budget;
            let spent = if object.is_empty() { budget.object() } else { Ok(()) };
            let spent = spent.and_then(|()| budget.value(key.len() + text_len(&value)));
            self.spent(spent)?;
            object.insert(key, value);
        }
        Ok(Value::Object(object))
    }
}

pub(crate) fn text_len(value: &Value) -> usize {
    value.as_str().map_or(0, str::len)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reports_duplicates_by_path() {
        for (text, duplicates) in [
            (r#"{"a":1,"b":2}"#, vec![]),
            (r#"{"a":1,"a":2}"#, vec!["a"]),
            (r#"{"s":{"c":[{"n":1},{"n":1,"n":2}]},"s":0}"#, vec!["s.c[1].n", "s"]),
            (r#"{"a":1,"\u0061":2,"a":3}"#, vec!["a", "a"]),
        ] {
            assert_eq!(decode(text.as_bytes()).unwrap().duplicates, duplicates, "{text}");
        }
        assert_eq!(decode(br#"{"a":1,"a":2}"#).unwrap().value, json!({"a": 2}));
        let many = format!("{{{}\"a\":1}}", "\"a\":1,".repeat(5000));
        assert_eq!(decode(many.as_bytes()).unwrap().duplicates.len(), strict::UNKNOWN_MAX);
    }

    #[test]
    fn refuses_what_is_not_json() {
        for bytes in [
            &b""[..],
            b"{",
            b"{\"a\":}",
            b"{} {}",
            b"\"\xff\"",
            b"\"\\ud800\"",
            b"nul",
            b"1e999",
            b"[1,]",
            b"\"\n\"",
        ] {
            assert!(matches!(decode(bytes), Err(InvalidJson::Syntax(_))), "{bytes:?}");
        }
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(decode(nested(DEPTH_MAX).as_bytes()).is_ok());
        for depth in [DEPTH_MAX + 1, 1_000_000] {
            assert!(matches!(decode(nested(depth).as_bytes()), Err(InvalidJson::TooDeep)), "{depth}");
        }
        assert!(decode("{\"a\":".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn refuses_what_grows() {
        let list_of =
            |bytes: usize, item: &str| format!("[{}0]", format!("{item},").repeat(bytes / (item.len() + 1)));
        let list = |item: &str| list_of(3_000_000, item);
        for (text, fits) in [
            (list(r#"{"":0}"#), false),
            (list("{}"), false),
            // As much as a store takes.
            (list_of(1_500_000, r#"{"name":"endpoint","address":"10.1.1.1","port":80}"#), true),
            (list_of(1_500_000, "1"), true),
            (list_of(1_500_000, "[]"), true),
            (format!("[\"{}\"]", "x".repeat(3_000_000)), true),
        ] {
            match decode(text.as_bytes()) {
                Ok(_) => assert!(fits, "{}", &text[..40]),
                Err(error) => assert!(!fits && matches!(error, InvalidJson::TooLarge(_)), "{error}"),
            }
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..60),
                        text in "[{}\\[\\]:,\"a1\\\\ ]{0,40}") {
            for bytes in [bytes.as_slice(), text.as_bytes()] {
                let ours = decode(bytes);
                let theirs: Result<Value, _> = serde_json::from_slice(bytes);
                proptest::prop_assert_eq!(ours.is_ok(), theirs.is_ok());
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    proptest::prop_assert_eq!(ours.value, theirs);
                }
            }
        }
    }
}
