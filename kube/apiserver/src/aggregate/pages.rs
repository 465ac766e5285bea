//! Pages that are read through a proxy: their links lead through it again.
//!
//! A page passes in pieces and only a tag is ever held back, so that its size costs no memory. What is no tag that
//! has links stays as it is, byte for byte.

use std::io::Write as _;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::{GzDecoder, GzEncoder};
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, Response};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame};

use super::forward::ForwardBody;
use crate::http::BodyError;

/// A longer tag passes as it is.
const TAG_BYTES_MAX: usize = 64 << 10;

/// The attributes that are addresses, by element.
const LINKS: &[(&str, &[&str])] = &[
    ("a", &["href"]),
    ("applet", &["codebase"]),
    ("area", &["href"]),
    ("audio", &["src"]),
    ("base", &["href"]),
    ("blockquote", &["cite"]),
    ("body", &["background"]),
    ("button", &["formaction"]),
    ("command", &["icon"]),
    ("del", &["cite"]),
    ("embed", &["src"]),
    ("form", &["action"]),
    ("frame", &["longdesc", "src"]),
    ("head", &["profile"]),
    ("html", &["manifest"]),
    ("iframe", &["longdesc", "src"]),
    ("img", &["longdesc", "src", "usemap"]),
    ("input", &["formaction", "src", "usemap"]),
    ("ins", &["cite"]),
    ("link", &["href"]),
    ("object", &["classid", "codebase", "data", "usemap"]),
    ("q", &["cite"]),
    ("script", &["src"]),
    ("source", &["src"]),
    ("video", &["poster", "src"]),
];

/// Elements whose content is text, whatever it looks like.
const RAW: &[&str] = &["script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"];

/// Where links lead.
#[derive(Clone, Debug)]
pub(super) struct Links {
    /// The path of the proxy, without a slash at its end.
    pub(super) prefix: String,
    /// Host and port of the server behind it.
    pub(super) address: String,
}

impl Links {
    /// The address as it is reached through the proxy, if it is another one.
    pub(super) fn through(&self, link: &str) -> Option<String> {
        let path = match link.split_once("//") {
            Some(("" | "http:" | "https:", rest)) => {
                let path = rest.strip_prefix(self.address.as_str())?;
                if path.is_empty() { "/" } else { path }
            }
            _ => link,
        };
        let already = path.starts_with(&self.prefix) && path.len() == link.len();
        (path.starts_with('/') && !already).then(|| format!("{}{path}", self.prefix))
    }
}

/// A response, its links changed where it is a page whose encoding is understood.
pub(super) fn rewrite(response: Response<ForwardBody>, links: Links) -> Response<ForwardBody> {
    let Some(coding) = coding(response.headers()) else { return response };
    let (mut parts, body) = response.into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    let page = Page { links, state: State::Text, held: Vec::new() };
    let stages = match coding {
        Coding::Plain => Stages::Plain(page),
        Coding::Gzip => Stages::Gzip(Box::new(Gzip {
            decoder: GzDecoder::new(Vec::new()),
            page,
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
        })),
    };
    Response::from_parts(parts, Rewritten { body, stages: Some(stages) }.boxed())
}

enum Coding {
    Plain,
    Gzip,
}

/// How a page is encoded; none of what is no page.
fn coding(headers: &HeaderMap) -> Option<Coding> {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let kind = text(CONTENT_TYPE).split(';').next().unwrap_or_default().trim();
    match (kind.eq_ignore_ascii_case("text/html"), text(CONTENT_ENCODING)) {
        (true, "") => Some(Coding::Plain),
        (true, "gzip") => Some(Coding::Gzip),
        _ => None,
    }
}

struct Rewritten {
    body: ForwardBody,
    stages: Option<Stages>,
}

enum Stages {
    Plain(Page),
    Gzip(Box<Gzip>),
}

struct Gzip {
    decoder: GzDecoder<Vec<u8>>,
    page: Page,
    encoder: GzEncoder<Vec<u8>>,
}

impl Stages {
    fn push(&mut self, bytes: &[u8]) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain(page) => Ok(page.push(bytes)),
            Self::Gzip(gzip) => {
                gzip.decoder.write_all(bytes)?;
                let plain = std::mem::take(gzip.decoder.get_mut());
                gzip.encoder.write_all(&gzip.page.push(&plain))?;
                Ok(std::mem::take(gzip.encoder.get_mut()))
            }
        }
    }

    fn end(self) -> std::io::Result<Vec<u8>> {
        match self {
            Self::Plain(page) => Ok(page.end()),
            Self::Gzip(gzip) => {
                let Gzip { decoder, mut page, mut encoder } = *gzip;
                encoder.write_all(&page.push(&decoder.finish()?))?;
                encoder.write_all(&page.end())?;
                encoder.finish()
            }
        }
    }
}

impl Body for Rewritten {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        loop {
            let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
            let made = match (frame, &mut self.stages) {
                (Some(Ok(frame)), Some(stages)) => match frame.into_data() {
                    Ok(data) => stages.push(&data),
                    Err(other) => return Poll::Ready(Some(Ok(other))),
                },
                (None, stages) => match stages.take() {
                    Some(stages) => stages.end(),
                    None => return Poll::Ready(None),
                },
                (other, _) => return Poll::Ready(other),
            };
            match made {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => return Poll::Ready(Some(Ok(Frame::data(bytes.into())))),
                Err(error) => return Poll::Ready(Some(Err(BodyError::from(error)))),
            }
        }
    }
}

/// What the bytes that come are part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Text,
    Comment,
    /// The content of one of [`RAW`].
    Raw(&'static str),
}

/// A page on its way.
struct Page {
    links: Links,
    state: State,
    held: Vec<u8>,
}

impl Page {
    /// Takes the next piece; what of the page is sure by now.
    fn push(&mut self, bytes: &[u8]) -> Vec<u8> {
        self.held.extend_from_slice(bytes);
        let mut out = Vec::with_capacity(self.held.len());
        let mut at = 0;
        while let Some(taken) = self.step(at, &mut out) {
            at = taken;
        }
        self.held.drain(..at);
        out
    }

    /// What was still held back.
    fn end(self) -> Vec<u8> {
        self.held
    }

    /// Passes on what is next behind `at`; up to where, or nothing if that is not known yet.
    fn step(&mut self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let rest = self.held.get(at..).filter(|rest| !rest.is_empty())?;
        let end: &[u8] = match self.state {
            State::Text => b"<",
            State::Comment => b"-->",
            State::Raw(_) => b"</",
        };
        let Some(found) = find(rest, end) else {
            // The beginning of what ends this may be the last of the piece.
            let sure = rest.len().saturating_sub(end.len() - 1);
            out.extend_from_slice(&rest[..sure]);
            return (sure > 0).then_some(at + sure);
        };
        if found > 0 {
            out.extend_from_slice(&rest[..found]);
            return Some(at + found);
        }
        let taken = match self.state {
            State::Comment => {
                self.state = State::Text;
                end.len()
            }
            State::Raw(name) => {
                let closing = rest.get(2..2 + name.len());
                match closing {
                    None => return None,
                    Some(closing) if closing.eq_ignore_ascii_case(name.as_bytes()) => {
                        self.state = State::Text;
                    }
                    Some(_) => {}
                }
                2
            }
            State::Text => return self.markup(at, out),
        };
        out.extend_from_slice(&self.held[at..at + taken]);
        Some(at + taken)
    }

    /// Passes on a tag, or the beginning of a comment.
    fn markup(&mut self, at: usize, out: &mut Vec<u8>) -> Option<usize> {
        let rest = &self.held[at..];
        if rest.len() < 4 && b"<!--".starts_with(rest) {
            return None;
        }
        if rest.starts_with(b"<!--") {
            self.state = State::Comment;
            out.extend_from_slice(b"<!--");
            return Some(at + 4);
        }
        if !rest[1].is_ascii_alphabetic() {
            out.push(b'<');
            return Some(at + 1);
        }
        let Some(length) = tag_end(rest) else {
            if rest.len() < TAG_BYTES_MAX {
                return None;
            }
            out.push(b'<');
            return Some(at + 1);
        };
        let tag = &rest[..length];
        let name = word(&tag[1..]).to_ascii_lowercase();
        let raw = RAW.iter().find(|raw| raw.as_bytes() == name);
        let links = LINKS.iter().find(|(element, _)| element.as_bytes() == name);
        match links {
            Some((_, attributes)) => self.tag(tag, attributes, out),
            None => out.extend_from_slice(tag),
        }
        self.state = raw.map_or(State::Text, |raw| State::Raw(raw));
        Some(at + length)
    }

    /// Passes on a tag, its links changed.
    fn tag(&self, tag: &[u8], attributes: &[&str], out: &mut Vec<u8>) {
        let mut written = 0;
        let mut at = 1 + word(&tag[1..]).len();
        while let Some(attribute) = next_attribute(tag, at) {
            at = attribute.end;
            let name = tag[attribute.name.clone()].to_ascii_lowercase();
            if !attributes.iter().any(|known| known.as_bytes() == name) {
                continue;
            }
            let value = attribute.value;
            let through =
                std::str::from_utf8(&tag[value.clone()]).ok().and_then(|link| self.links.through(link));
            if let Some(link) = through {
                out.extend_from_slice(&tag[written..value.start]);
                out.extend_from_slice(link.as_bytes());
                written = value.end;
            }
        }
        out.extend_from_slice(&tag[written..]);
    }
}

struct Attribute {
    name: std::ops::Range<usize>,
    value: std::ops::Range<usize>,
    end: usize,
}

/// The next attribute with a value behind `at`.
fn next_attribute(tag: &[u8], mut at: usize) -> Option<Attribute> {
    let is_between = |byte: u8| byte.is_ascii_whitespace() || byte == b'/';
    let while_at = |mut at: usize, fits: &dyn Fn(u8) -> bool| {
        while tag.get(at).is_some_and(|byte| fits(*byte)) {
            at += 1;
        }
        at
    };
    loop {
        let start = while_at(at, &is_between);
        let end = while_at(start, &|byte| !is_between(byte) && byte != b'=' && byte != b'>');
        let equals = while_at(end, &|byte| byte.is_ascii_whitespace());
        if tag.get(equals) != Some(&b'=') {
            if end == start {
                return None;
            }
            at = end;
            continue;
        }
        let value = while_at(equals + 1, &|byte| byte.is_ascii_whitespace());
        let (from, to, next) = match tag.get(value).copied() {
            Some(quote @ (b'"' | b'\'')) => {
                let to = while_at(value + 1, &|byte| byte != quote);
                (value + 1, to, (to + 1).min(tag.len()))
            }
            _ => {
                let to = while_at(value, &|byte| !byte.is_ascii_whitespace() && byte != b'>');
                (value, to, to.max(equals + 1))
            }
        };
        return Some(Attribute { name: start..end, value: from..to, end: next });
    }
}

/// The length of the tag that begins here, quotes heeded.
fn tag_end(rest: &[u8]) -> Option<usize> {
    let mut quote = None;
    for (at, byte) in rest.iter().copied().enumerate() {
        match (quote, byte) {
            (None, b'>') => return Some(at + 1),
            (None, b'"' | b'\'') => quote = Some(byte),
            (Some(open), byte) if open == byte => quote = None,
            _ => {}
        }
    }
    None
}

/// The name that stands at the beginning.
fn word(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
    &bytes[..end.unwrap_or(bytes.len())]
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links() -> Links {
        Links { prefix: "/p".to_owned(), address: "10.0.0.1:80".to_owned() }
    }

    /// In one piece and byte by byte.
    #[track_caller]
    fn check(page: &str, wanted: &str) {
        for size in [page.len().max(1), 1, 3] {
            let mut made = Page { links: links(), state: State::Text, held: Vec::new() };
            let mut out: Vec<u8> = page.as_bytes().chunks(size).flat_map(|piece| made.push(piece)).collect();
            out.extend(made.end());
            assert_eq!(String::from_utf8(out).unwrap(), wanted, "in pieces of {size}");
        }
    }

    #[test]
    fn links_lead_through_the_proxy() {
        check(r#"<a href="/x">t</a>"#, r#"<a href="/p/x">t</a>"#);
        check("<IMG alt=a SRC='/i.png' usemap=/m/>", "<IMG alt=a SRC='/p/i.png' usemap=/p/m/>");
        check(r#"<a class="/x" href=/y>"#, r#"<a class="/x" href=/p/y>"#);
        check(
            r#"<form method=post action = "/f?a=1&amp;b">"#,
            r#"<form method=post action = "/p/f?a=1&amp;b">"#,
        );
        check("<script src=/s.js></script>", "<script src=/p/s.js></script>");
    }

    #[test]
    fn the_rest_stays_as_it_is() {
        for page in [
            "",
            "plain <",
            "a < b > c <!doctype html>",
            r#"<a href="x">"#,
            r#"<a href="/p/x">"#,
            r#"<a href="http://elsewhere/x">"#,
            r#"<a href="//elsewhere/x">"#,
            r#"<p href="/x">"#,
            r#"<!-- <a href="/x"> -->"#,
            r#"<script>var a = '<a href="/x">';</script>"#,
            r#"<a href="/x"#,
            "<a =/x href>",
            "<style></styl><a href=/x></style",
        ] {
            check(page, page);
        }
    }

    #[test]
    fn whole_addresses_of_the_server_behind_become_paths() {
        for (link, wanted) in [
            ("http://10.0.0.1:80/x", Some("/p/x")),
            ("//10.0.0.1:80", Some("/p/")),
            ("http://10.0.0.2:80/x", None),
            ("/", Some("/p/")),
            ("/a//b", Some("/p/a//b")),
            ("a//b", None),
            ("#x", None),
        ] {
            assert_eq!(links().through(link).as_deref(), wanted, "{link}");
        }
    }

    #[test]
    fn compressed_pages_are_compressed_again() {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"<a href=/x>").unwrap();
        let page = Page { links: links(), state: State::Text, held: Vec::new() };
        let mut stages = Stages::Gzip(Box::new(Gzip {
            decoder: GzDecoder::new(Vec::new()),
            page,
            encoder: GzEncoder::new(Vec::new(), Compression::fast()),
        }));
        let mut out = Vec::new();
        for piece in encoder.finish().unwrap().chunks(2) {
            out.extend(stages.push(piece).unwrap());
        }
        out.extend(stages.end().unwrap());
        let mut decoder = GzDecoder::new(Vec::new());
        decoder.write_all(&out).unwrap();
        assert_eq!(decoder.finish().unwrap(), b"<a href=/p/x>");
    }
}
