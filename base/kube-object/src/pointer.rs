//! JSON Pointer, RFC 6901: `/spec/containers/0/image`.

use std::fmt;

use base::{Classified, ErrorClass};
use serde_json::Value;

/// More tokens than any document has levels.
const TOKENS_MAX: usize = 1000;

/// A place in a document, as unescaped reference tokens.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pointer {
    tokens: Vec<String>,
}

/// The text is not a pointer: it is not empty and starts with no `/`, a `~` is followed by neither
/// `0` nor `1`, or it is longer than any way through a document.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("JSON pointer {raw:?} is not valid: use /field/0/field, with ~0 for ~ and ~1 for /")]
pub struct InvalidPointer {
    /// What was given.
    pub raw: String,
}

impl Classified for InvalidPointer {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl Pointer {
    /// Reads the text form; the empty text is the whole document.
    pub fn parse(raw: &str) -> Result<Self, InvalidPointer> {
        let invalid = || InvalidPointer { raw: raw.to_owned() };
        if raw.is_empty() {
            return Ok(Self { tokens: Vec::new() });
        }
        if raw.bytes().filter(|byte| *byte == b'/').count() > TOKENS_MAX {
            return Err(InvalidPointer { raw: raw.chars().take(TOKENS_MAX).collect() });
        }
        let tokens =
            raw.strip_prefix('/').ok_or_else(invalid)?.split('/').map(unescape).collect::<Option<_>>();
        Ok(Self { tokens: tokens.ok_or_else(invalid)? })
    }

    /// The tokens.
    pub fn tokens(&self) -> &[String] {
        &self.tokens
    }

    /// The place above, and the last token; none for the whole document.
    pub fn split_last(&self) -> Option<(&[String], &str)> {
        self.tokens.split_last().map(|(last, above)| (above, last.as_str()))
    }

    /// Whether `other` lies below this place.
    pub fn is_proper_prefix_of(&self, other: &Self) -> bool {
        other.tokens.len() > self.tokens.len() && other.tokens.starts_with(&self.tokens)
    }

    /// The value at this place.
    pub fn find<'a>(&self, document: &'a Value) -> Option<&'a Value> {
        self.tokens.iter().try_fold(document, |value, token| match value {
            Value::Object(fields) => fields.get(token),
            Value::Array(items) => items.get(index(token)?),
            _ => None,
        })
    }
}

/// The value at a path of tokens, to be changed.
pub fn find_mut<'a>(document: &'a mut Value, tokens: &[String]) -> Option<&'a mut Value> {
    tokens.iter().try_fold(document, |value, token| match value {
        Value::Object(fields) => fields.get_mut(token),
        Value::Array(items) => items.get_mut(index(token)?),
        _ => None,
    })
}

/// An array index: decimal digits without leading zeros.
pub fn index(token: &str) -> Option<usize> {
    let digits = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_digit());
    if !digits || (token.len() > 1 && token.starts_with('0')) {
        return None;
    }
    token.parse().ok()
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", token.replace('~', "~0").replace('/', "~1")))
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut plain = parts.next().unwrap_or("").to_owned();
    for part in parts {
        if let Some(rest) = part.strip_prefix('0') {
            plain.extend(["~", rest]);
        } else {
            plain.extend(["/", part.strip_prefix('1')?]);
        }
    }
    Some(plain)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn leads_no_further_than_documents_are_deep() {
        assert!(Pointer::parse(&"/a".repeat(TOKENS_MAX)).is_ok());
        let error = Pointer::parse(&"/a".repeat(TOKENS_MAX + 1)).unwrap_err();
        assert_eq!(error.raw.len(), TOKENS_MAX);
    }

    #[test]
    fn finds_the_places_of_rfc_6901() {
        let document = json!({
            "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8
        });
        for (raw, value) in [
            ("", document.clone()),
            ("/foo", json!(["bar", "baz"])),
            ("/foo/0", json!("bar")),
            ("/", json!(0)),
            ("/a~1b", json!(1)),
            ("/c%d", json!(2)),
            ("/i\\j", json!(5)),
            ("/ ", json!(7)),
            ("/m~0n", json!(8)),
        ] {
            let pointer = Pointer::parse(raw).unwrap();
            assert_eq!(pointer.find(&document), Some(&value), "{raw}");
            assert_eq!(pointer.to_string(), raw);
        }
        for raw in ["/foo/2", "/foo/-", "/foo/00", "/foo/+1", "/x", "/foo/0/x"] {
            assert_eq!(Pointer::parse(raw).unwrap().find(&document), None, "{raw}");
        }
    }

    #[test]
    fn refuses_what_is_no_pointer() {
        for raw in ["a", "a/b", "/~", "/~2", "/a~"] {
            assert!(Pointer::parse(raw).is_err(), "{raw}");
        }
    }

    proptest::proptest! {
        #[test]
        fn round_trips(tokens in proptest::collection::vec("[~/a0]{0,4}", 0..5), raw in "[/~01a]{0,12}") {
            let pointer = Pointer { tokens };
            proptest::prop_assert_eq!(Pointer::parse(&pointer.to_string()), Ok(pointer));
            let _ = Pointer::parse(&raw);
        }
    }
}
