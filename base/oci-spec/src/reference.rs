//! Image references: `[domain/]path[:tag][@digest]`, with docker's defaults.
//!
//! `nginx` means `docker.io/library/nginx:latest`, as every docker user expects.

use std::fmt;

use base::Digest;
use serde::{Deserialize, Serialize};

/// A fully spelled image reference.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Reference {
    domain: String,
    path: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

/// The text is not an image reference.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("image reference {raw:?} is not valid: {why}")]
pub struct InvalidReference {
    /// What was given.
    pub raw: String,
    /// Which rule it breaks.
    pub why: &'static str,
}

const DEFAULT_DOMAIN: &str = "docker.io";

impl Reference {
    /// Reads a reference as docker does, filling in domain, `library/` and `latest`.
    pub fn parse(raw: &str) -> Result<Self, InvalidReference> {
        let invalid = |why| InvalidReference { raw: raw.chars().take(300).collect(), why };
        let (rest, digest) = match raw.split_once('@') {
            None => (raw, None),
            Some((rest, digest)) => (
                rest,
                Some(
                    Digest::parse(digest)
                        .map_err(|_| invalid("the digest after @ is not sha256:<64 hex digits>"))?,
                ),
            ),
        };
        let (name, tag) = match rest.rsplit_once(':') {
            Some((name, tag)) if !tag.contains('/') => (name, Some(tag)),
            _ => (rest, None),
        };
        let (domain, path) = split_domain(name);
        if path.is_empty() {
            return Err(invalid("the name is empty"));
        }
        if name.len() > 255 {
            return Err(invalid("the name is longer than 255 characters"));
        }
        if path.bytes().any(|b| b.is_ascii_uppercase()) {
            return Err(invalid("the repository name must be lower case"));
        }
        if !path.split('/').all(is_path_component) {
            return Err(invalid("each part of the name must be [a-z0-9], separated by single . _ __ or -"));
        }
        if !is_domain(&domain) {
            return Err(invalid("the registry's host name is not valid"));
        }
        if tag.is_some_and(|tag| !is_tag(tag)) {
            return Err(invalid(
                "the tag must be up to 128 characters of [A-Za-z0-9_.-], not starting with . or -",
            ));
        }
        let tag = match (tag, &digest) {
            (Some(tag), _) => Some(tag.to_owned()),
            (None, Some(_)) => None,
            (None, None) => Some("latest".to_owned()),
        };
        Ok(Self { domain, path, tag, digest })
    }

    /// The registry's host and port.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The repository within the registry.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The tag, if it has one.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if it has one.
    pub fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// What a registry is asked for: the digest before the tag.
    pub fn manifest_reference(&self) -> String {
        match (&self.digest, &self.tag) {
            (Some(digest), _) => digest.to_string(),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// The same repository at `digest`.
    pub fn at(&self, digest: Digest) -> Self {
        Self { tag: None, digest: Some(digest), ..self.clone() }
    }

    /// Domain and path without tag or digest: `docker.io/library/nginx`.
    pub fn repository(&self) -> String {
        format!("{}/{}", self.domain, self.path)
    }

    /// The repository as people write it: `nginx`, `quay.io/x/y`. Where a path of Docker Hub begins
    /// as a registry's name does (`docker.io/a.b/c`), nothing is left out.
    pub fn familiar_repository(&self) -> String {
        if self.domain != DEFAULT_DOMAIN {
            return self.repository();
        }
        let short =
            self.path.strip_prefix("library/").filter(|rest| !rest.contains('/')).unwrap_or(&self.path);
        let means = split_domain(short);
        if means.0 == self.domain && means.1 == self.path { short.to_owned() } else { self.repository() }
    }

    /// The shortest spelling that means the same.
    pub fn familiar(&self) -> String {
        let mut text = self.familiar_repository();
        if let Some(tag) = &self.tag {
            text = format!("{text}:{tag}");
        }
        if let Some(digest) = &self.digest {
            text = format!("{text}@{digest}");
        }
        text
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        self.digest.as_ref().map_or(Ok(()), |digest| write!(f, "@{digest}"))
    }
}

impl std::str::FromStr for Reference {
    type Err = InvalidReference;
    fn from_str(raw: &str) -> Result<Self, Self::Err> {
        Self::parse(raw)
    }
}

impl TryFrom<String> for Reference {
    type Error = InvalidReference;
    fn try_from(raw: String) -> Result<Self, Self::Error> {
        Self::parse(&raw)
    }
}

impl From<Reference> for String {
    fn from(reference: Reference) -> Self {
        reference.to_string()
    }
}

fn split_domain(name: &str) -> (String, String) {
    let (domain, path) = match name.split_once('/') {
        Some((first, rest))
            if first.contains(['.', ':'])
                || first == "localhost"
                || first.bytes().any(|b| b.is_ascii_uppercase()) =>
        {
            (first, rest)
        }
        _ => (DEFAULT_DOMAIN, name),
    };
    let domain = if domain == "index.docker.io" { DEFAULT_DOMAIN } else { domain };
    if domain == DEFAULT_DOMAIN && !path.is_empty() && !path.contains('/') {
        return (domain.to_owned(), format!("library/{path}"));
    }
    (domain.to_owned(), path.to_owned())
}

fn is_domain(domain: &str) -> bool {
    let (host, port) = match domain.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((inside, port)) => {
            if inside.parse::<std::net::Ipv6Addr>().is_err() {
                return false;
            }
            ("v6", port)
        }
        None => match domain.find(':') {
            Some(at) => domain.split_at(at),
            None => (domain, ""),
        },
    };
    let label = |label: &str| {
        !label.is_empty()
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let port_is_valid = match port.strip_prefix(':') {
        None => port.is_empty(),
        Some(number) => number.bytes().all(|b| b.is_ascii_digit()) && number.parse::<u16>().is_ok(),
    };
    port_is_valid && host.split('.').all(label)
}

/// Lower-case letters and digits, joined by one `.`, one or two `_`, or any number of `-`.
fn is_path_component(component: &str) -> bool {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let ends_well = |b: Option<&u8>| b.is_some_and(|b| alphanumeric(*b));
    let bytes = component.as_bytes();
    if !ends_well(bytes.first()) || !ends_well(bytes.last()) {
        return false;
    }
    component
        .split(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        .all(|separator| matches!(separator, "" | "." | "_" | "__") || separator.bytes().all(|b| b == b'-'))
}

fn is_tag(tag: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let bytes = tag.as_bytes();
    bytes.len() <= 128
        && bytes.first().is_some_and(|b| word(*b))
        && bytes.iter().all(|b| word(*b) || b".-".contains(b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(raw: &str, full: &str, familiar: &str) {
        let reference = Reference::parse(raw).unwrap();
        assert_eq!(reference.to_string(), full);
        assert_eq!(reference.familiar(), familiar);
        assert_eq!(Reference::parse(full).unwrap(), reference, "the full form means the same");
    }

    #[test]
    fn fills_in_dockers_defaults() {
        check("nginx", "docker.io/library/nginx:latest", "nginx:latest");
        check("user/app:1", "docker.io/user/app:1", "user/app:1");
        check("localhost/app", "localhost/app:latest", "localhost/app:latest");
        check("127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b:x", "127.0.0.1:5000/a/b:x");
        check("[::1]:5000/a", "[::1]:5000/a:latest", "[::1]:5000/a:latest");
        check("index.docker.io/library/x", "docker.io/library/x:latest", "x:latest");
        check("docker.io/a.b/c", "docker.io/a.b/c:latest", "docker.io/a.b/c:latest");
        check("docker.io/localhost/c", "docker.io/localhost/c:latest", "docker.io/localhost/c:latest");
    }

    #[test]
    fn takes_digests() {
        let digest = format!("sha256:{}", "a".repeat(64));
        check(&format!("q.io/x@{digest}"), &format!("q.io/x@{digest}"), &format!("q.io/x@{digest}"));
    }

    #[test]
    fn refuses_what_is_not_a_reference() {
        for raw in [
            "",
            ":x",
            "UPPER",
            "a//b",
            "a/../b",
            "x:",
            "a b",
            "x@sha256:12",
            "-a",
            "a.:5/x",
            "h:99999/x",
            "a:b:c/../d",
        ] {
            assert!(Reference::parse(raw).is_err(), "{raw}");
        }
    }
}
