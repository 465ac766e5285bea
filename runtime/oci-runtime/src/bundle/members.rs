//! Finding a member of a JSON object without reading the others. It takes any text: whether it is JSON is
//! for the reader behind it to say.

/// The value of the member that is named from the top on, and the text with `null` in its place.
pub(super) fn take<'a>(text: &'a [u8], path: &[&str]) -> Option<(&'a [u8], Vec<u8>)> {
    let value = path.iter().try_fold(space(text, 0), |object, name| member(text, object, name.as_bytes()))?;
    let end = end(text, value)?;
    let rest = [text.get(..value)?, b"null", text.get(end..)?].concat();
    Some((text.get(value..end)?, rest))
}

/// Where the value of `name` begins in the object that begins at `at`.
fn member(text: &[u8], mut at: usize, name: &[u8]) -> Option<usize> {
    let mut before = b'{';
    while text.get(at) == Some(&before) {
        let key = space(text, at + 1);
        let end = end(text, key)?;
        let value = space(text, space(text, end) + 1);
        if text.get(key + 1..end - 1) == Some(name) {
            return Some(value);
        }
        at = space(text, self::end(text, value)?);
        before = b',';
    }
    None
}

/// Where the value ends that begins at `at`.
fn end(text: &[u8], mut at: usize) -> Option<usize> {
    let mut depth = 0usize;
    loop {
        match text.get(at)? {
            b'"' => at = closing_quote(text, at + 1)?,
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

/// Where the text ends that begins at `at`.
fn closing_quote(text: &[u8], mut at: usize) -> Option<usize> {
    loop {
        let rest = text.get(at..)?;
        at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
        if text[at] == b'"' {
            return Some(at);
        }
        at += 2;
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
    fn check(text: &str, value: &str, rest: &str) {
        let taken = take(text.as_bytes(), &["a", "b"]);
        let texts = taken.as_ref().map(|(value, rest)| (*value, rest.as_slice()));
        assert_eq!(texts, Some((value.as_bytes(), rest.as_bytes())), "{text}");
    }

    #[test]
    fn a_member_becomes_null() {
        check(r#"{"a":{"b":{"c":[1]}}}"#, r#"{"c":[1]}"#, r#"{"a":{"b":null}}"#);
        check(
            r#" { "x" : [ "}" , {} ] , "a" : { "y":1.5e3, "b" : 12345 , "z":0}}"#,
            "12345",
            r#" { "x" : [ "}" , {} ] , "a" : { "y":1.5e3, "b" : null , "z":0}}"#,
        );
        check(
            r#"{"s":"\"a\\\\","a":{"s":"b","b":"\"}]"}}"#,
            r#""\"}]""#,
            r#"{"s":"\"a\\\\","a":{"s":"b","b":null}}"#,
        );
        check(
            r#"{"n":{"a":{"b":[]}},"t":true,"a":{"b":[1,2]}}"#,
            "[1,2]",
            r#"{"n":{"a":{"b":[]}},"t":true,"a":{"b":null}}"#,
        );
        check(r#"{"a":{"b":1,"b":2}}"#, "1", r#"{"a":{"b":null,"b":2}}"#);
    }

    #[test]
    fn what_has_no_such_member_has_none() {
        for text in [
            "",
            "{",
            "{}",
            "null",
            "[]",
            r#""a""#,
            r#"{"a":"b"}"#,
            r#"{"a":{}}"#,
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
            assert_eq!(take(text.as_bytes(), &["a", "b"]), None, "{text}");
        }
    }
}
