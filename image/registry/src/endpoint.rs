//! One host that serves a registry's content, and how to speak with it.

use std::path::PathBuf;

use http::Uri;

use crate::error::Operation;
use crate::url::Origin;

/// What a host may be used for (containerd's `capabilities`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capabilities {
    /// Content by digest.
    pub pull: bool,
    /// Digests by tag.
    pub resolve: bool,
    /// Uploads.
    pub push: bool,
}

impl Capabilities {
    /// Everything.
    pub const ALL: Self = Self { pull: true, resolve: true, push: true };
    /// Nothing.
    pub const NONE: Self = Self { pull: false, resolve: false, push: false };
}

/// TLS settings of a host. Files are read when it is first connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Tls {
    /// Certificates, PEM, that may sign the host's besides the system's.
    pub ca: Vec<PathBuf>,
    /// Our certificate and key, PEM; both may be in one file.
    pub client: Vec<(PathBuf, PathBuf)>,
    /// Take any certificate.
    pub skip_verify: bool,
}

/// One host that serves a registry's content.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// `http` or `https` address below which the API lies, without a slash at its end.
    pub base: Uri,
    /// What it may be used for.
    pub capabilities: Capabilities,
    /// How to speak TLS with it.
    pub tls: Tls,
    /// Headers that it wants with every request.
    pub headers: Vec<(String, String)>,
    /// When TLS fails because nobody speaks it there, plain HTTP is taken.
    pub plain_http_fallback: bool,
    /// A mirror is told whose content it is asked for (containerd's `ns` parameter).
    pub mirror: bool,
}

impl std::fmt::Debug for Endpoint {
    /// Names the headers only: one may be an authorization.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let headers: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Endpoint")
            .field("base", &self.base)
            .field("capabilities", &self.capabilities)
            .field("tls", &self.tls)
            .field("headers", &headers)
            .field("plain_http_fallback", &self.plain_http_fallback)
            .field("mirror", &self.mirror)
            .finish()
    }
}

impl Endpoint {
    /// The registry's own host, as its name in references says.
    ///
    /// As docker does, a registry on this machine is tried with TLS, without
    /// verifying its certificate, and then without TLS.
    pub fn of_registry(registry: &str) -> Option<Self> {
        let host = if registry == "docker.io" { "registry-1.docker.io" } else { registry };
        let local = is_loopback(registry);
        Some(Self {
            base: format!("https://{host}/v2").parse().ok()?,
            capabilities: Capabilities::ALL,
            tls: Tls { skip_verify: local, ..Tls::default() },
            headers: Vec::new(),
            plain_http_fallback: local,
            mirror: false,
        })
    }

    /// Whether it may be used for `operation`; `by_tag` when a tag must be resolved.
    pub fn can(&self, operation: Operation, by_tag: bool) -> bool {
        match operation {
            Operation::Push => self.capabilities.push,
            Operation::Pull if by_tag => self.capabilities.resolve,
            Operation::Pull => self.capabilities.pull,
            Operation::Login => true,
        }
    }

    /// Host and port as people write them.
    pub fn host(&self) -> String {
        Origin::of(&self.base).map_or_else(|| self.base.to_string(), |origin| origin.authority())
    }
}

/// Whether `registry` names this machine's loopback.
pub(crate) fn is_loopback(registry: &str) -> bool {
    let host = match registry.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or(rest),
        None => registry.split(':').next().unwrap_or(registry),
    };
    host.eq_ignore_ascii_case("localhost")
        || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn knows_the_own_host() {
        let base = |registry: &str| Endpoint::of_registry(registry).unwrap().base.to_string();
        assert_eq!(base("docker.io"), "https://registry-1.docker.io/v2");
        assert_eq!(base("r.io:5000"), "https://r.io:5000/v2");
        assert_eq!(base("[::1]:5000"), "https://[::1]:5000/v2");
    }

    #[test]
    fn only_loopback_falls_back_to_plain_http() {
        for (registry, local) in [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.8.8.8", true),
            ("[::1]:5000", true),
            ("127.0.0.1.evil.org", false),
            ("localhost.evil.org:80", false),
            ("10.0.0.1:5000", false),
        ] {
            assert_eq!(Endpoint::of_registry(registry).unwrap().plain_http_fallback, local, "{registry}");
        }
    }

    #[test]
    fn debug_output_has_no_header_values() {
        let own = Endpoint::of_registry("registry.test").unwrap();
        let endpoint = Endpoint { headers: vec![("Authorization".into(), "Basic c2VjcmV0".into())], ..own };
        let text = format!("{endpoint:?}");
        assert!(text.contains("Authorization") && !text.contains("c2VjcmV0"), "{text}");
    }
}
