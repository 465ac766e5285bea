//! Absolute URLs and paths: `url('https://example.com:80/').getHost()`.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Opaque, Result, opaque};
use crate::error::EvalError;
use crate::val::{Entries, Key, Map, Val};

/// A URL.
#[derive(Debug, PartialEq, Eq)]
pub struct Url {
    text: String,
    scheme: String,
    host: String,
    path: String,
    query: String,
}

pub(super) fn call<'a>(name: &str, args: &[Val<'a>]) -> Option<Result<'a>> {
    let [Val::Text(text)] = args else { return None };
    let text = text.as_str();
    Some(match name {
        "url" => parse(text).map(|url| opaque(Opaque::Url(url))).map_err(|why| {
            EvalError::said(format!("URL parse error during conversion from string: parse {text:?}: {why}"))
        }),
        "isURL" => Ok(Val::Bool(parse(text).is_ok())),
        _ => return None,
    })
}

/// Whether this is a URL or a path, and why not.
pub(super) fn parse(text: &str) -> std::result::Result<Url, &'static str> {
    if text.is_empty() {
        return Err("empty url");
    }
    if text.chars().any(|c| c.is_control()) {
        return Err("net/url: invalid control character in URL");
    }
    let (scheme, rest) = scheme(text)?;
    if scheme.is_empty() && !rest.starts_with('/') {
        return Err("invalid URI for request");
    }
    // A request has no fragment: its sign is part of the path.
    let (front, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (host, path) = match front.strip_prefix("//") {
        Some(after) if !scheme.is_empty() || !front.starts_with("///") => {
            let end = after.find('/').unwrap_or(after.len());
            after.split_at(end)
        }
        _ if !scheme.is_empty() && !front.starts_with('/') => return Err("invalid URI for request"),
        _ => ("", front),
    };
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    check_host(host)?;
    let percent = path.as_bytes().iter().enumerate().filter(|(_, byte)| **byte == b'%');
    for (at, _) in percent {
        let digits = path.as_bytes().get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err("invalid URL escape");
        }
    }
    Ok(Url {
        text: text.to_owned(),
        scheme: scheme.to_ascii_lowercase(),
        host: host.to_owned(),
        path: path.to_owned(),
        query: query.to_owned(),
    })
}

fn scheme(text: &str) -> std::result::Result<(&str, &str), &'static str> {
    for (at, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if at > 0 => {}
            ':' if at == 0 => return Err("missing protocol scheme"),
            ':' => return Ok((&text[..at], &text[at + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

fn check_host(host: &str) -> std::result::Result<(), &'static str> {
    let port = if let Some(inner) = host.strip_prefix('[') {
        let (_, port) = inner.split_once(']').ok_or("missing ']' in host")?;
        port
    } else {
        host.rfind(':').map_or("", |at| &host[at..])
    };
    let digits = port.strip_prefix(':').unwrap_or("");
    if !(port.is_empty() || port.starts_with(':')) || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err("invalid port after host");
    }
    if host.contains([' ', '<', '>', '"', '\\', '^', '`', '{', '}', '|']) {
        return Err("invalid character in host name");
    }
    Ok(())
}

impl Url {
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// A member function.
    pub(super) fn call<'a>(&self, name: &str) -> Option<Result<'a>> {
        let bracket = self.host.rfind(']').map_or(0, |at| at + 1);
        let colon = self.host[bracket..].rfind(':').map(|at| at + bracket);
        Some(Ok(match name {
            "getScheme" => Val::text(&self.scheme),
            "getHost" => Val::text(&self.host),
            "getHostname" => {
                let name = &self.host[..colon.unwrap_or(self.host.len())];
                Val::text(name.trim_start_matches('[').trim_end_matches(']'))
            }
            "getPort" => Val::text(colon.map_or("", |at| &self.host[at + 1..])),
            "getEscapedPath" => Val::string(escaped(&self.path)),
            "getQuery" => query(&self.query),
            _ => return None,
        }))
    }
}

/// A path with everything escaped that must be.
fn escaped(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for byte in path.bytes() {
        let plain = byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@%!'()*[]".contains(&byte);
        if plain {
            out.push(byte as char);
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

fn query<'a>(query: &str) -> Val<'a> {
    let mut found: BTreeMap<String, Vec<Val<'a>>> = BTreeMap::new();
    for part in query.split('&').filter(|part| !part.is_empty() && !part.contains(';')) {
        let (key, value) = part.split_once('=').unwrap_or((part, ""));
        if let (Some(key), Some(value)) = (unescaped(key), unescaped(value)) {
            found.entry(key).or_default().push(Val::string(value));
        }
    }
    let entries: Entries<'a> = found
        .into_iter()
        .map(|(key, values)| (Key::Text(key.as_str().into()), (Val::string(key), Val::list(values))))
        .collect();
    Val::Map(Map::Entries(Arc::new(entries)))
}

fn unescaped(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'+' => out.push(b' '),
            b'%' => {
                let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
                let value = digit(bytes.next())? * 16 + digit(bytes.next())?;
                out.push(value as u8);
            }
            byte => out.push(byte),
        }
    }
    String::from_utf8(out).ok()
}
