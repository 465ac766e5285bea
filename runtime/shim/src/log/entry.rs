//! One entry: `{"log":"text\n","stream":"stdout","time":"2026-11-21T07:30:00.5Z"}`.
//!
//! Text is escaped as docker does: `<`, `>`, `&`, U+2028 and U+2029 too, control
//! characters as `\u00XX` but `\n` and `\r`, and bytes that are not UTF-8 as `\ufffd`.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Deserialize;

use crate::Timestamp;

/// Which stream an entry came from. A terminal's output is stdout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    /// The name in the log.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

/// An entry as read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The text, with its newline; an entry without one is continued by the next of its stream.
    pub text: String,
    /// Where it came from.
    pub stream: LogStream,
    /// When the shim read it; all parts of a line carry the first one's time.
    pub time: Timestamp,
    /// What it carries besides: chosen labels, variables, a tag.
    pub attributes: BTreeMap<String, String>,
}

#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow, default)]
    log: Cow<'a, str>,
    #[serde(borrow)]
    stream: Cow<'a, str>,
    #[serde(borrow)]
    time: Cow<'a, str>,
    #[serde(default)]
    attrs: BTreeMap<String, String>,
}

/// Reads one line of a log file, in docker's form or the CRI's; `None` when it is not an entry.
pub fn parse_entry(line: &[u8]) -> Option<LogEntry> {
    if line.first().is_some_and(u8::is_ascii_digit) {
        return parse_cri_entry(line);
    }
    let raw: Raw<'_> = serde_json::from_slice(line).ok()?;
    let stream = stream_of(&raw.stream)?;
    let time = Timestamp::parse(&raw.time).ok()?;
    Some(LogEntry { text: raw.log.into_owned(), stream, time, attributes: raw.attrs })
}

/// Appends the entry for `text` (with a newline if `ends_line`) and the newline after it. With the
/// stream comes the JSON object that the entry carries, if any.
pub fn write_entry(
    out: &mut Vec<u8>,
    text: &[u8],
    ends_line: bool,
    (stream, attributes): (LogStream, Option<&str>),
    time: Timestamp,
) {
    out.extend_from_slice(b"{\"log\":\"");
    for chunk in text.utf8_chunks() {
        escape(out, chunk.valid());
        if !chunk.invalid().is_empty() {
            out.extend_from_slice(b"\\ufffd");
        }
    }
    if ends_line {
        out.extend_from_slice(b"\\n");
    }
    out.extend_from_slice(b"\",\"stream\":\"");
    out.extend_from_slice(stream.name().as_bytes());
    if let Some(attributes) = attributes {
        out.extend_from_slice(b"\",\"attrs\":");
        out.extend_from_slice(attributes.as_bytes());
        out.extend_from_slice(b",\"time\":\"");
    } else {
        out.extend_from_slice(b"\",\"time\":\"");
    }
    time.write_nano(out);
    out.extend_from_slice(b"\"}\n");
}

/// Appends an entry in the form of the Container Runtime Interface: time, stream, `F` for a
/// whole line and `P` for a part of one, and the bytes as they are.
pub fn write_cri_entry(out: &mut Vec<u8>, text: &[u8], ends_line: bool, stream: LogStream, time: Timestamp) {
    time.write_nano(out);
    out.push(b' ');
    out.extend_from_slice(stream.name().as_bytes());
    out.extend_from_slice(if ends_line { b" F " } else { b" P " });
    out.extend_from_slice(text);
    out.push(b'\n');
}

/// Reads one line of a log in that form.
fn parse_cri_entry(line: &[u8]) -> Option<LogEntry> {
    let mut fields = line.splitn(4, |byte| *byte == b' ');
    let time = Timestamp::parse(std::str::from_utf8(fields.next()?).ok()?).ok()?;
    let stream = stream_of(std::str::from_utf8(fields.next()?).ok()?)?;
    let is_part = fields.next()?.split(|byte| *byte == b':').any(|tag| tag == b"P");
    let mut text = String::from_utf8_lossy(fields.next().unwrap_or_default()).into_owned();
    text.truncate(text.trim_end_matches('\n').len());
    if !is_part {
        text.push('\n');
    }
    Some(LogEntry { text, stream, time, attributes: BTreeMap::new() })
}

fn stream_of(name: &str) -> Option<LogStream> {
    [LogStream::Stdout, LogStream::Stderr].into_iter().find(|stream| stream.name() == name)
}

fn escape(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut copied = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        // Binary output is full of control characters: no allocation for any of them.
        let hex = [b'\\', b'u', b'0', b'0', HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
        let (escaped, width): (&[u8], usize) = match byte {
            b'"' => (b"\\\"", 1),
            b'\\' => (b"\\\\", 1),
            b'\n' => (b"\\n", 1),
            b'\r' => (b"\\r", 1),
            0..0x20 | b'<' | b'>' | b'&' => (&hex, 1),
            0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa8]) => (b"\\u2028", 3),
            0xe2 if bytes[at..].starts_with(&[0xe2, 0x80, 0xa9]) => (b"\\u2029", 3),
            _ => continue,
        };
        out.extend_from_slice(&bytes[copied..at]);
        out.extend_from_slice(escaped);
        copied = at + width;
    }
    out.extend_from_slice(&bytes[copied..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_and_reads_the_cris_form() {
        let time = Timestamp::from_unix(1, 5);
        for (text, whole, line, read) in [
            (&b"two words"[..], true, "stdout F two words\n", "two words\n"),
            (b"begin", false, "stdout P begin\n", "begin"),
            (b"", true, "stdout F \n", "\n"),
        ] {
            let mut out = Vec::new();
            write_cri_entry(&mut out, text, whole, LogStream::Stdout, time);
            let expected = format!("1970-01-01T00:00:01.000000005Z {line}");
            assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
            let entry = parse_entry(&out).unwrap();
            assert_eq!((entry.text.as_str(), entry.stream, entry.time), (read, LogStream::Stdout, time));
        }
        for line in ["1", "1970-01-01T00:00:01Z", "1970-01-01T00:00:01Z stdin F x", "now stdout F x"] {
            assert_eq!(parse_entry(line.as_bytes()), None, "{line}");
        }
    }

    #[track_caller]
    fn check(text: &[u8], ends_line: bool, json: &str, read: &str) {
        let mut out = Vec::new();
        write_entry(&mut out, text, ends_line, (LogStream::Stderr, None), Timestamp::from_unix(1, 5));
        let line = format!(
            "{{\"log\":\"{json}\",\"stream\":\"stderr\",\"time\":\"1970-01-01T00:00:01.000000005Z\"}}\n"
        );
        assert_eq!(String::from_utf8(out.clone()).unwrap(), line);
        let entry = parse_entry(&out).unwrap();
        assert_eq!(entry.text, read);
        assert_eq!(entry.stream, LogStream::Stderr);
    }

    #[test]
    fn writes_what_docker_writes() {
        check(b"hello", true, "hello\\n", "hello\n");
        check(b"", true, "\\n", "\n");
        check(b"part", false, "part", "part");
        check(b"a\"b\\c\t\r", true, "a\\\"b\\\\c\\u0009\\r\\n", "a\"b\\c\t\r\n");
        check(b"<&>", true, "\\u003c\\u0026\\u003e\\n", "<&>\n");
        check("ü\u{2028}€\u{2029}x".as_bytes(), true, "ü\\u2028€\\u2029x\\n", "ü\u{2028}€\u{2029}x\n");
        check(b"\xff\xfeA\xe2\x80", true, "\\ufffd\\ufffdA\\ufffd\\n", "\u{fffd}\u{fffd}A\u{fffd}\n");
    }

    #[test]
    fn carries_what_was_chosen() {
        let mut out = Vec::new();
        let carried = Some(r#"{"tag":"web"}"#);
        write_entry(&mut out, b"x", true, (LogStream::Stdout, carried), Timestamp::from_unix(1, 0));
        let line = "{\"log\":\"x\\n\",\"stream\":\"stdout\",\"attrs\":{\"tag\":\"web\"},\"time\":\"1970-01-01T00:00:01Z\"}\n";
        assert_eq!(String::from_utf8(out.clone()).unwrap(), line);
        let entry = parse_entry(&out).unwrap();
        assert_eq!((entry.text.as_str(), entry.attributes["tag"].as_str()), ("x\n", "web"));
    }

    #[test]
    fn refuses_what_is_no_entry() {
        for line in [
            "",
            "{",
            "null",
            "{\"log\":\"x\"}",
            "{\"log\":\"x\",\"stream\":\"stdin\",\"time\":\"1970-01-01T00:00:00Z\"}",
        ] {
            assert_eq!(parse_entry(line.as_bytes()), None, "{line}");
        }
    }
}
