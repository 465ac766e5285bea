//! Paths that name a field of a schema: `.spec.color`, `.labels['a.b']`.

use crate::schema::Structural;

/// A text names no field. The words are the API's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InvalidFieldPath {
    #[error("does not refer to a valid field")]
    NoSuchField,
    #[error("unexpected end of JSON path")]
    End,
    #[error("array notation is not allowed")]
    Array,
    #[error("expected single quoted string but got {0}")]
    NotQuoted(String),
    #[error("expected ] but got {0}")]
    NotClosed(String),
    #[error("expected [ or . but got: {0}")]
    Unexpected(String),
    #[error("invalid string literal: invalid escape char \\{0}")]
    Escape(char),
}

/// The path as errors spell it, and the node that it leads to.
pub(crate) fn resolve<'a>(
    text: &str,
    schema: &'a Structural,
    brackets: bool,
) -> Result<(String, &'a Structural), InvalidFieldPath> {
    let mut tokens = Tokens { rest: text };
    let mut path = String::new();
    let mut node = schema;
    while let Some(token) = tokens.next() {
        let name = match token {
            "." => tokens.next().ok_or(InvalidFieldPath::End)?.to_owned(),
            "[" if !brackets => return Err(InvalidFieldPath::Array),
            "[" => {
                let quoted = tokens.next().ok_or(InvalidFieldPath::End)?;
                let inner = quoted.strip_prefix('\'').and_then(|text| text.strip_suffix('\''));
                let inner = inner.ok_or_else(|| InvalidFieldPath::NotQuoted(quoted.to_owned()))?;
                let name = unescape(inner)?;
                match tokens.next().ok_or(InvalidFieldPath::End)? {
                    "]" => name,
                    other => return Err(InvalidFieldPath::NotClosed(other.to_owned())),
                }
            }
            other => return Err(InvalidFieldPath::Unexpected(other.to_owned())),
        };
        if !node.properties.is_empty() {
            node = node.properties.get(&name).ok_or(InvalidFieldPath::NoSuchField)?;
            if !path.is_empty() {
                path.push('.');
            }
            path.push_str(&name);
        } else {
            node = node.values_schema().ok_or(InvalidFieldPath::NoSuchField)?;
            path.push_str(&format!("[{name}]"));
        }
    }
    Ok((path, node))
}

struct Tokens<'a> {
    rest: &'a str,
}

impl<'a> Tokens<'a> {
    /// A delimiter, a quoted string, or the text up to a delimiter.
    fn next(&mut self) -> Option<&'a str> {
        let first = self.rest.chars().next()?;
        let end = match first {
            '.' | '[' | ']' => 1,
            '\'' => {
                let bytes = self.rest.as_bytes();
                let close = (1..bytes.len()).find(|at| bytes[*at] == b'\'' && bytes[*at - 1] != b'\\');
                close.map_or(self.rest.len(), |at| at + 1)
            }
            _ => self.rest.find(['.', '[', ']']).unwrap_or(self.rest.len()),
        };
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        Some(token)
    }
}

fn unescape(text: &str) -> Result<String, InvalidFieldPath> {
    let mut out = String::new();
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        if letter != '\\' {
            out.push(letter);
            continue;
        }
        out.push(match letters.next() {
            Some('a') => '\u{7}',
            Some('b') => '\u{8}',
            Some('f') => '\u{c}',
            Some('n') => '\n',
            Some('r') => '\r',
            Some('t') => '\t',
            Some('v') => '\u{b}',
            Some(same @ ('\'' | '\\')) => same,
            other => return Err(InvalidFieldPath::Escape(other.unwrap_or_default())),
        });
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resolves_fields() {
        let schema = Structural::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {"a.b": {"type": "string"}}},
            "map": {"type": "object", "additionalProperties": {"type": "integer"}}}}))
        .unwrap();
        for (text, expected) in [
            (".spec", Ok("spec")),
            (".spec['a.b']", Ok("spec.a.b")),
            (".map['k']", Ok("map[k]")),
            (".map.k", Ok("map[k]")),
            (".nope", Err("does not refer to a valid field")),
            ("spec", Err("expected [ or . but got: spec")),
            (".", Err("unexpected end of JSON path")),
            (".spec[0]", Err("expected single quoted string but got 0")),
        ] {
            let found = resolve(text, &schema, true).map(|(path, _)| path).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{text}");
        }
        assert_eq!(resolve(".spec['a.b']", &schema, false).map(|_| ()), Err(InvalidFieldPath::Array));
    }
}
