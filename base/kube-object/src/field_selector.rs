//! Field selectors: `metadata.name=web,status.phase!=Running`.
//!
//! Only equality; a comma, an equals sign or a backslash in a value is escaped
//! with a backslash. Which fields a kind can be selected by is not known here.

use std::fmt;

use base::{Classified, ErrorClass};

/// What fields must be equal or unequal to. Without terms it matches everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FieldSelector {
    terms: Vec<FieldTerm>,
}

/// One condition on one field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldTerm {
    /// The field's path, as in `metadata.name`.
    pub field: String,
    /// What it is compared with.
    pub value: String,
    /// Whether it must be equal, or must not be.
    pub equal: bool,
}

/// The text is not a field selector. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidFieldSelector {
    /// A part has no operator.
    #[error("invalid selector: '{selector}'; can't understand '{part}'")]
    NoOperator {
        /// All of it.
        selector: String,
        /// The part.
        part: String,
    },
    /// A backslash before something else than `,`, `=` and `\`.
    #[error("invalid field selector: invalid escape sequence: {sequence}")]
    Escape {
        /// The backslash and what follows.
        sequence: String,
    },
    /// A bare `=` in a value.
    #[error("invalid field selector: unescaped character in value: {character}")]
    Unescaped {
        /// The character.
        character: char,
    },
}

impl Classified for InvalidFieldSelector {
    fn class(&self) -> ErrorClass {
        ErrorClass::Invalid
    }
}

impl FieldSelector {
    /// Reads the text of `fieldSelector=`.
    pub fn parse(text: &str) -> Result<Self, InvalidFieldSelector> {
        let mut terms = Vec::new();
        for part in split_unescaped(text) {
            if part.is_empty() {
                continue;
            }
            let (field, operator, value) = split_term(part).ok_or_else(|| {
                InvalidFieldSelector::NoOperator { selector: text.to_owned(), part: part.to_owned() }
            })?;
            let value = unescape(value)?;
            terms.push(FieldTerm { field: field.to_owned(), value, equal: operator != "!=" });
        }
        Ok(Self { terms })
    }

    /// Whether an object with these fields is selected; a missing field is empty.
    pub fn matches<T: AsRef<str>>(&self, field: impl Fn(&str) -> Option<T>) -> bool {
        let fits = |term: &FieldTerm| {
            let value = field(&term.field);
            value.as_ref().map_or("", AsRef::as_ref) == term.value
        };
        self.terms.iter().all(|term| fits(term) == term.equal)
    }

    /// The conditions in the order given.
    pub fn terms(&self) -> &[FieldTerm] {
        &self.terms
    }

    /// Whether nothing is demanded.
    pub fn is_everything(&self) -> bool {
        self.terms.is_empty()
    }

    /// The one value that `field` must have, if it is demanded.
    pub fn exact_value(&self, field: &str) -> Option<&str> {
        self.terms.iter().find(|term| term.equal && term.field == field).map(|term| term.value.as_str())
    }
}

impl fmt::Display for FieldSelector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, term) in self.terms.iter().enumerate() {
            let comma = if at == 0 { "" } else { "," };
            let operator = if term.equal { "=" } else { "!=" };
            write!(f, "{comma}{}{operator}{}", term.field, escape(&term.value))?;
        }
        Ok(())
    }
}

/// A value as it stands in a field selector.
pub fn escape(value: &str) -> String {
    let mut escaped = String::with_capacity(value.len());
    for character in value.chars() {
        if matches!(character, '\\' | ',' | '=') {
            escaped.push('\\');
        }
        escaped.push(character);
    }
    escaped
}

fn unescape(value: &str) -> Result<String, InvalidFieldSelector> {
    let mut plain = String::with_capacity(value.len());
    let mut characters = value.chars();
    while let Some(character) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some(next @ ('\\' | ',' | '=')) => plain.push(next),
                Some(next) => return Err(InvalidFieldSelector::Escape { sequence: format!("\\{next}") }),
                None => return Err(InvalidFieldSelector::Escape { sequence: "\\".to_owned() }),
            },
            ',' | '=' => return Err(InvalidFieldSelector::Unescaped { character }),
            _ => plain.push(character),
        }
    }
    Ok(plain)
}

/// Splits at commas that no backslash precedes.
fn split_unescaped(text: &str) -> Vec<&str> {
    let (mut parts, mut start, mut escaped) = (Vec::new(), 0, false);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b',' => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Field, operator and value at the first operator that no backslash precedes.
fn split_term(part: &str) -> Option<(&str, &str, &str)> {
    let mut escaped = false;
    for (at, byte) in part.bytes().enumerate() {
        if escaped || byte == b'\\' {
            escaped = !escaped;
            continue;
        }
        if !part.is_char_boundary(at) {
            continue;
        }
        for operator in ["!=", "==", "="] {
            if let Some(value) = part[at..].strip_prefix(operator) {
                return Some((&part[..at], operator, value));
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for (text, printed) in [
            ("", ""),
            ("a=b", "a=b"),
            ("a==b", "a=b"),
            ("a!=b,c=d", "a!=b,c=d"),
            (",a=b,,", "a=b"),
            ("a=", "a="),
            (r"a=x\,y\=z\\", r"a=x\,y\=z\\"),
            ("ä=ö", "ä=ö"),
        ] {
            let selector = FieldSelector::parse(text).unwrap();
            assert_eq!(selector.to_string(), printed, "{text}");
        }
        assert_eq!(FieldSelector::parse(r"a=x\,y").unwrap().exact_value("a"), Some("x,y"));
    }

    #[test]
    fn matches_fields() {
        let fields = |name: &str| match name {
            "metadata.name" => Some("web"),
            "status.phase" => Some("Running"),
            _ => None,
        };
        for (text, expected) in [
            ("", true),
            ("metadata.name=web", true),
            ("metadata.name!=web", false),
            ("metadata.name=web,status.phase=Failed", false),
            ("spec.nodeName=", true),
            ("spec.nodeName!=", false),
            ("spec.nodeName!=a", true),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap().matches(fields), expected, "{text}");
        }
    }

    #[test]
    fn refuses_in_the_known_words() {
        for (text, message) in [
            ("a", "invalid selector: 'a'; can't understand 'a'"),
            ("a=b,c", "invalid selector: 'a=b,c'; can't understand 'c'"),
            (r"a=\x", r"invalid field selector: invalid escape sequence: \x"),
            (r"a=b\", r"invalid field selector: invalid escape sequence: \"),
            ("a=b=c", "invalid field selector: unescaped character in value: ="),
        ] {
            assert_eq!(FieldSelector::parse(text).unwrap_err().to_string(), message, "{text}");
        }
    }

    proptest::proptest! {
        #[test]
        fn round_trips(value in "\\PC{0,20}", text in "[a-c=!,\\\\ä]{0,20}") {
            let selector = FieldSelector::parse(&format!("f={}", escape(&value))).unwrap();
            proptest::prop_assert_eq!(selector.exact_value("f"), Some(value.as_str()));
            if let Ok(selector) = FieldSelector::parse(&text) {
                proptest::prop_assert_eq!(FieldSelector::parse(&selector.to_string()), Ok(selector));
            }
        }
    }
}
