//! A walk over the members of a JSON object in its bytes: who has found what it looks for reads no
//! further, not even over the value. On bytes that are not JSON the result is useless, but nothing
//! panics.

use std::ops::Range;

use memchr::memchr2;

/// A member: its key without quotes, escapes as they are, and where its value starts.
pub(crate) struct Member<'a> {
    pub key: &'a [u8],
    pub key_start: usize,
    pub start: usize,
}

impl Member<'_> {
    /// The place of its value, walked over for it.
    pub(crate) fn value(&self, json: &[u8]) -> Range<usize> {
        self.start..skip_value(json, self.start)
    }
}

/// The members of the object that starts at or behind `at`.
pub(crate) fn members(json: &[u8], at: usize) -> Members<'_> {
    let at = skip_blank(json, at);
    let open = json.get(at) == Some(&b'{');
    Members { json, at: if open { at + 1 } else { json.len() }, value: None }
}

pub(crate) struct Members<'a> {
    json: &'a [u8],
    at: usize,
    /// The value of the member that was given last; it is not walked over yet.
    value: Option<usize>,
}

impl<'a> Iterator for Members<'a> {
    type Item = Member<'a>;

    fn next(&mut self) -> Option<Member<'a>> {
        if let Some(value) = self.value.take() {
            self.at = skip_value(self.json, value);
        }
        let mut at = skip_blank(self.json, self.at);
        if self.json.get(at) == Some(&b',') {
            at = skip_blank(self.json, at + 1);
        }
        if self.json.get(at) != Some(&b'"') {
            return None;
        }
        let key_end = skip_string(self.json, at);
        let start = skip_blank(self.json, skip_blank(self.json, key_end) + 1);
        if matches!(self.json.get(start), None | Some(b'}' | b']' | b',')) {
            return None;
        }
        self.value = Some(start);
        let key = self.json.get(at + 1..key_end.saturating_sub(1))?;
        Some(Member { key, key_start: at, start })
    }
}

/// The value of the first member of that name, with all that follows it.
pub(crate) fn find(json: &[u8], at: usize, name: &[u8]) -> Option<usize> {
    members(json, at).find(|member| member.key == name).map(|member| member.start)
}

/// The places of the elements of the array that starts at `at`.
pub(crate) fn elements(json: &[u8], at: usize) -> impl Iterator<Item = usize> {
    let mut before = (json.get(at) == Some(&b'[')).then_some(at + 1);
    std::iter::from_fn(move || {
        let mut at = skip_blank(json, before.take()?);
        if json.get(at) == Some(&b',') {
            at = skip_blank(json, at + 1);
        }
        if matches!(json.get(at), None | Some(b']' | b'}' | b',')) {
            return None;
        }
        before = Some(skip_value(json, at));
        Some(at)
    })
}

fn skip_blank(json: &[u8], at: usize) -> usize {
    let blank = |byte: &&u8| matches!(byte, b' ' | b'\t' | b'\n' | b'\r');
    at + json.get(at..).map_or(0, |rest| rest.iter().take_while(blank).count())
}

/// The place behind the string whose opening quote is at `at`.
fn skip_string(json: &[u8], at: usize) -> usize {
    let mut at = at + 1;
    while let Some(found) = json.get(at..).and_then(|rest| memchr2(b'"', b'\\', rest)) {
        if json[at + found] == b'"' {
            return at + found + 1;
        }
        at += found + 2;
    }
    json.len()
}

/// The place behind the value that starts at `at`.
pub(crate) fn skip_value(json: &[u8], at: usize) -> usize {
    let (mut at, mut depth) = (at, 0usize);
    while let Some(byte) = json.get(at) {
        match byte {
            b'"' => {
                at = skip_string(json, at);
                if depth == 0 {
                    return at;
                }
            }
            b'{' | b'[' => {
                depth += 1;
                at += 1;
            }
            b'}' | b']' if depth == 0 => return at,
            b'}' | b']' => {
                depth -= 1;
                at += 1;
                if depth == 0 {
                    return at;
                }
            }
            b',' | b' ' | b'\t' | b'\n' | b'\r' if depth == 0 => return at,
            _ => at += 1,
        }
    }
    json.len()
}

/// The place behind the member whose key's opening quote is at `at`.
pub(crate) fn skip_member(json: &[u8], at: usize) -> usize {
    let colon = skip_blank(json, skip_string(json, at));
    skip_value(json, skip_blank(json, colon + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn walks_members() {
        let json = br#" { "a" : 1 , "b\"" : {"c":[1,"]"]},"d":"x\\" , "e":[ ], "f":true}"#;
        let found: Vec<_> = members(json, 0)
            .map(|member| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
                (text(member.key), text(&json[member.value(json)]))
            })
            .collect();
        let expected =
            [("a", "1"), ("b\\\"", r#"{"c":[1,"]"]}"#), ("d", r#""x\\""#), ("e", "[ ]"), ("f", "true")];
        assert_eq!(found, expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
        for bad in [&b""[..], b"{", b"[1]", b"{\"a", b"{\"a\"", b"{\"a\":", b"{\"a\":}", b"{\"\\"] {
            assert_eq!(members(bad, 0).count(), 0, "{bad:?}");
        }
    }

    #[test]
    fn walks_elements() {
        let json = br#"[ {"a":[1]} ,"]",7,[ ] ]"#;
        let found: Vec<&[u8]> = elements(json, 0).map(|at| &json[at..skip_value(json, at)]).collect();
        assert_eq!(found, [&br#"{"a":[1]}"#[..], br#""]""#, b"7", b"[ ]"]);
        for none in [&b""[..], b"[", b"[]", b"[,]", b"{}", b"7"] {
            assert_eq!(elements(none, 0).count(), 0, "{none:?}");
        }
    }
}
