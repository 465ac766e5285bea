//! The little of RFC 3986 that a registry client needs.

use http::Uri;

/// Host and port that a request goes to, and whether TLS protects it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of an absolute address; `None` for other schemes and relative ones.
    pub(crate) fn of(uri: &Uri) -> Option<Self> {
        let https = match uri.scheme_str()? {
            "https" => true,
            "http" => false,
            _ => return None,
        };
        let host = uri.host()?.trim_matches(['[', ']']).to_ascii_lowercase();
        let port = uri.port_u16().unwrap_or(if https { 443 } else { 80 });
        Some(Self { https, host, port })
    }

    /// `host` or `host:port` as people and `Host` headers write it.
    pub(crate) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        if self.port == if self.https { 443 } else { 80 } { host } else { format!("{host}:{}", self.port) }
    }
}

/// Resolves a `Location` against the address that answered with it.
pub(crate) fn join(base: &Uri, location: &str) -> Option<Uri> {
    let location = location.split('#').next().unwrap_or(location);
    let scheme = base.scheme_str()?;
    let authority = base.authority()?;
    let text = if location.starts_with("http://") || location.starts_with("https://") {
        location.to_owned()
    } else if let Some(rest) = location.strip_prefix("//") {
        format!("{scheme}://{rest}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else if location.starts_with('?') {
        format!("{scheme}://{authority}{}{location}", base.path())
    } else if location.split(['/', '?']).next().is_some_and(|first| first.contains(':')) {
        return None;
    } else {
        let folder = base.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    text.parse().ok()
}

/// Adds `name=value` to the query of `uri`.
pub(crate) fn with_query(uri: &Uri, pairs: &[(&str, &str)]) -> Option<Uri> {
    let mut text = uri.to_string();
    for (name, value) in pairs {
        text.push(if text.contains('?') { '&' } else { '?' });
        text.push_str(name);
        text.push('=');
        text.push_str(&encode(value));
    }
    text.parse().ok()
}

/// A form body: `application/x-www-form-urlencoded`.
pub(crate) fn form(pairs: &[(&str, &str)]) -> String {
    let pairs: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={}", encode(value))).collect();
    pairs.join("&")
}

/// Percent-encodes all but RFC 3986's unreserved characters.
pub(crate) fn encode(raw: &str) -> String {
    let mut text = String::with_capacity(raw.len());
    for byte in raw.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                text.push(char::from(byte));
            }
            _ => {
                text.push('%');
                for nibble in [byte >> 4, byte & 15] {
                    text.push(char::from(b"0123456789ABCDEF"[usize::from(nibble)]));
                }
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn joins_locations() {
        let base: Uri = "https://r.io/v2/a/blobs/uploads/?x=1".parse().unwrap();
        for (location, joined) in [
            ("https://cdn/x?y=%2F", Some("https://cdn/x?y=%2F")),
            ("//cdn/x", Some("https://cdn/x")),
            ("/v2/b?c", Some("https://r.io/v2/b?c")),
            ("id#frag", Some("https://r.io/v2/a/blobs/uploads/id")),
            ("?n=2", Some("https://r.io/v2/a/blobs/uploads/?n=2")),
            ("ftp://x/y", None),
            ("javascript:x", None),
        ] {
            assert_eq!(join(&base, location).map(|uri| uri.to_string()).as_deref(), joined, "{location}");
        }
    }

    #[test]
    fn knows_origins() {
        let origin = |text: &str| Origin::of(&text.parse().unwrap()).map(|origin| origin.authority());
        assert_eq!(origin("https://R.io/x").as_deref(), Some("r.io"));
        assert_eq!(origin("http://[::1]:5000/").as_deref(), Some("[::1]:5000"));
        assert_eq!(origin("https://h:443/").as_deref(), Some("h"));
        assert_eq!(origin("ftp://h/"), None);
    }

    #[test]
    fn encodes_queries() {
        let uri = with_query(&"https://a/t?x=1".parse().unwrap(), &[("scope", "repository:a/b:pull,push")]);
        assert_eq!(uri.unwrap().to_string(), "https://a/t?x=1&scope=repository%3Aa%2Fb%3Apull%2Cpush");
        assert_eq!(form(&[("a", "b c"), ("d", "é")]), "a=b%20c&d=%C3%A9");
    }
}
