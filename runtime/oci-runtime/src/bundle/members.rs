//! Finding a member of a JSON object without reading the others. It takes any text: whether it is JSON is
//! for the reader behind it to say.

use std::ops::Range;

/// Puts `null` in the place of the member's value, with blanks up to its length.
pub(super) fn blank(text: &mut [u8], path: &[&str]) {
    let mut value = Some(space(text, 0)..text.len());
    for name in path {
        value = value.and_then(|object| member(text, object.start, name.as_bytes()));
    }
    if let Some(place) = value.and_then(|value| text.get_mut(value))
        && let Some((null, rest)) = place.split_first_chunk_mut()
    {
        *null = *b"null";
        rest.fill(b' ');
    }
}

/// Where the value of `name` is in the object that begins at `at`.
fn member(text: &[u8], mut at: usize, name: &[u8]) -> Option<Range<usize>> {
    let mut before = b'{';
    while text.get(at) == Some(&before) {
        let key = space(text, at + 1);
        let end = end(text, key)?;
        let value = space(text, space(text, end) + 1);
        let after = self::end(text, value)?;
        if text.get(key + 1..end - 1) == Some(name) {
            return Some(value..after);
        }
        at = space(text, after);
        before = b',';
    }
    None
}

/// Where the value ends that begins at `at`.
fn end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => {
                at += 1;
                while *text.get(at)? != b'"' {
                    at += if text[at] == b'\\' { 2 } else { 1 };
                }
            }
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.checked_sub(1)?,
            // A number or a word, of which this is the first letter; what stands between values.
            _ if depth == 0 => {
                let rest = text[at..].iter().position(|byte| b",]} \t\r\n".contains(byte))?;
                return (rest > 0).then_some(at + rest);
            }
            _ => {}
        }
        at += 1;
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The first place from `at` on that is no blank.
fn space(text: &[u8], at: usize) -> usize {
    let rest = text.get(at..).unwrap_or_default();
    at + rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, blanked: &str) {
        let mut bytes = text.as_bytes().to_vec();
        blank(&mut bytes, &["a", "b"]);
        assert_eq!(String::from_utf8(bytes).unwrap(), blanked);
    }

    #[test]
    fn a_member_becomes_null() {
        check(r#"{"a":{"b":{"c":[1]}}}"#, r#"{"a":{"b":null     }}"#);
        check(
            r#" { "x" : [ "}" , {} ] , "a" : { "y":1.5e3, "b" : 12345 , "z":0}}"#,
            r#" { "x" : [ "}" , {} ] , "a" : { "y":1.5e3, "b" : null  , "z":0}}"#,
        );
        check(r#"{"s":"\"a\\\\","a":{"s":"b","b":"\"}]"}}"#, r#"{"s":"\"a\\\\","a":{"s":"b","b":null  }}"#);
        check(
            r#"{"n":{"a":{"b":[]}},"t":true,"a":{"b":[1,2]}}"#,
            r#"{"n":{"a":{"b":[]}},"t":true,"a":{"b":null }}"#,
        );
    }

    #[test]
    fn all_else_stays() {
        for text in [
            "",
            "{",
            "{}",
            "null",
            "[]",
            r#""a""#,
            r#"{"a":"b"}"#,
            r#"{"a":{}}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{"b":[]}}"#,
            r#"{"b":{"a":[1,2]}}"#,
            r#"{"a":["b",[1,2,3]]}"#,
            r#"{"a":{"c":[1,2,3]}}"#,
            r#"{"a":{"b":[1,2,3"#,
            r#"{"a":{"b":"12345"#,
            r#"{"a":{"b":12345"#,
            r#"{"a":{"b"#,
            r#"{"a":{"b\"#,
            r#"{"a":"#,
            r#"{"a":]{"b":12345}}"#,
            "{,}",
        ] {
            check(text, text);
        }
    }
}
