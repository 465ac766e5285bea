//! `Warning` headers: `299 - "text"`, as RFC 7234 quotes them.

use http::{HeaderMap, HeaderName, HeaderValue};

/// Longest text of one warning, and of all, in bytes; clients limit the size of headers.
const TEXT_MAX: usize = 256;
const ALL_MAX: usize = 4096;

/// Adds a header for each text, shortening them where all would be too long.
pub(super) fn add(headers: &mut HeaderMap, texts: &[String]) {
    let total: usize = texts.iter().map(String::len).sum();
    let mut left = ALL_MAX;
    for text in texts {
        let text = if total > ALL_MAX { shorten(text) } else { text };
        if text.len() > left {
            return;
        }
        left -= text.len();
        if let Ok(value) = HeaderValue::from_bytes(quoted(text).as_bytes()) {
            headers.append(HeaderName::from_static("warning"), value);
        }
    }
}

fn shorten(text: &str) -> &str {
    let mut end = text.len().min(TEXT_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

fn quoted(text: &str) -> String {
    let mut out = String::from("299 - \"");
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            // Line breaks and their kind would end the header.
            c if c.is_control() => out.push(' '),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes() {
        let mut headers = HeaderMap::new();
        add(&mut headers, &["unknown field \"a\\b\"".to_owned(), "two\r\nlines".to_owned()]);
        let texts: Vec<_> = headers.get_all("warning").iter().map(|value| value.to_str().unwrap()).collect();
        assert_eq!(texts, ["299 - \"unknown field \\\"a\\\\b\\\"\"", "299 - \"two  lines\""]);
        let mut headers = HeaderMap::new();
        add(&mut headers, &vec!["é".repeat(1000); 100]);
        let total: usize = headers.get_all("warning").iter().map(HeaderValue::len).sum();
        assert!(total <= ALL_MAX + 16 * 20, "{total}");
    }
}
