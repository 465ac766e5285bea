//! What a request asks for, by its method and path: the grammar of the Kubernetes API's URLs.
//!
//! ```text
//! /api/VERSION/…                           core
//! /apis/GROUP/VERSION/…                    every other group
//!   RESOURCE[/NAME[/SUBRESOURCE[/TAIL]]]
//!   namespaces/NAMESPACE/RESOURCE[/…]
//!   watch/…                                the old form of a watch
//! ```
//!
//! Whatever else there is, such as `/version` or `/apis`, is a non-resource path. Authorization
//! sees exactly what is found here, so that nothing is served under another name.

use http::Method;

/// A request's subject and verb, as authorization and audit name them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether it is about a resource; all fields but `path` and `verb` are empty otherwise.
    pub is_resource: bool,
    /// The decoded path.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, …; of a non-resource path the method in lower case.
    pub verb: String,
    /// The API group, empty for core.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace, empty where the path has none.
    pub namespace: String,
    /// The resource's plural; empty on a path that names a version only.
    pub resource: String,
    /// The object's name.
    pub name: String,
    /// The subresource.
    pub subresource: String,
    /// What follows the subresource, not decoded, with its leading `/`: for `proxy`.
    pub tail: String,
    /// Whether the path spells its verb as `watch/`.
    pub watch_prefix: bool,
}

/// The path cannot be a path: bad escapes, or no UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the path of the request is malformed")]
pub struct InvalidPath;

impl RequestInfo {
    /// Reads a request line. `list` and `watch` are told apart by the query: see [`Self::refine`].
    pub fn parse(method: &Method, raw_path: &str) -> Result<Self, InvalidPath> {
        let path = decode(raw_path)?;
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, version, rest) = match parts.as_slice() {
            ["api", version, rest @ ..] if !rest.is_empty() => ("", *version, rest),
            ["apis", group, version, rest @ ..] if !rest.is_empty() => (*group, *version, rest),
            _ => return Ok(Self::plain(method, path)),
        };
        let mut info = Self {
            is_resource: true,
            verb: verb_of(method).to_owned(),
            group: group.to_owned(),
            version: version.to_owned(),
            ..Self::default()
        };
        let rest = match rest {
            ["watch", rest @ ..] if !rest.is_empty() => {
                info.watch_prefix = true;
                info.verb = "watch".to_owned();
                rest
            }
            rest => rest,
        };
        let consumed = parts.len() - rest.len();
        info.read_resource(rest, raw_path, consumed);
        info.path = path;
        Ok(info)
    }

    /// Splits `get` without a name into `list` and `watch`, `delete` into `deletecollection`, and
    /// takes the name from a field selector that admits one name only.
    pub fn refine(&mut self, watch: bool, selected_name: Option<&str>) {
        if !self.is_resource || !self.name.is_empty() {
            return;
        }
        match self.verb.as_str() {
            "get" => {
                self.verb = if watch { "watch" } else { "list" }.to_owned();
                self.name = selected_name.unwrap_or_default().to_owned();
            }
            "delete" => self.verb = "deletecollection".to_owned(),
            _ => {}
        }
    }

    /// Whether the request may stay open for as long as it likes: such requests are exempt from
    /// the time-out and the in-flight limit.
    pub fn is_long_running(&self) -> bool {
        if !self.is_resource {
            return self.path.starts_with("/debug/pprof/");
        }
        matches!(self.verb.as_str(), "watch" | "proxy")
            || matches!(self.subresource.as_str(), "attach" | "exec" | "proxy" | "log" | "portforward")
    }

    /// Whether the verb only reads.
    pub fn is_read_only(&self) -> bool {
        matches!(self.verb.as_str(), "get" | "list" | "watch" | "head" | "options")
    }

    fn plain(method: &Method, path: String) -> Self {
        Self { verb: method.as_str().to_ascii_lowercase(), path, ..Self::default() }
    }

    fn read_resource(&mut self, rest: &[&str], raw_path: &str, consumed: usize) {
        let (skipped, parts) = match rest {
            // Of a namespace itself there are only these two subresources.
            ["namespaces", namespace] => {
                self.namespace = (*namespace).to_owned();
                (0, rest)
            }
            ["namespaces", namespace, "status" | "finalize", ..] => {
                self.namespace = (*namespace).to_owned();
                (0, rest)
            }
            ["namespaces", namespace, ..] => {
                self.namespace = (*namespace).to_owned();
                (2, rest.get(2..).unwrap_or_default())
            }
            _ => (0, rest),
        };
        let part = |at: usize| parts.get(at).map(|part| (*part).to_owned()).unwrap_or_default();
        self.resource = part(0);
        self.name = part(1);
        if !self.watch_prefix {
            self.subresource = part(2);
            if parts.len() > 3 || raw_path.ends_with('/') {
                self.tail = tail(raw_path, consumed + skipped + 3);
            }
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The raw path behind its first `count` parts.
fn tail(raw_path: &str, count: usize) -> String {
    let trimmed = raw_path.trim_start_matches('/');
    let mut slashes = trimmed.match_indices('/').map(|(at, _)| at);
    slashes.nth(count.saturating_sub(1)).and_then(|at| trimmed.get(at..)).unwrap_or_default().to_owned()
}

/// Decodes `%XX`.
pub(crate) fn decode(raw: &str) -> Result<String, InvalidPath> {
    if !raw.contains('%') {
        return Ok(raw.to_owned());
    }
    let mut bytes = Vec::with_capacity(raw.len());
    let mut rest = raw.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let (Some(high), Some(low)) = (digit(rest.next()), digit(rest.next())) else {
            return Err(InvalidPath);
        };
        // Two digits of base 16 fit a byte.
        bytes.push((high * 16 + low) as u8);
    }
    String::from_utf8(bytes).map_err(|_| InvalidPath)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(method: &str, path: &str) -> String {
        let info = RequestInfo::parse(&Method::from_bytes(method.as_bytes()).unwrap(), path).unwrap();
        if !info.is_resource {
            return format!("{} {}", info.verb, info.path);
        }
        format!(
            "{} {}/{} ns={} {}/{}/{}{}",
            info.verb,
            info.group,
            info.version,
            info.namespace,
            info.resource,
            info.name,
            info.subresource,
            info.tail
        )
    }

    #[test]
    fn reads_paths() {
        for (method, path, shown) in [
            ("GET", "/", "get /"),
            ("GET", "/api", "get /api"),
            ("GET", "/api/v1", "get /api/v1"),
            ("GET", "/api/v1/", "get /api/v1/"),
            ("GET", "/apis/apps/v1", "get /apis/apps/v1"),
            ("GET", "/version", "get /version"),
            ("POST", "/healthz/ping/x", "post /healthz/ping/x"),
            ("GET", "/api/v1/pods", "get /v1 ns= pods//"),
            ("GET", "/api/v1/nodes/a", "get /v1 ns= nodes/a/"),
            ("GET", "/api/v1/namespaces", "get /v1 ns= namespaces//"),
            ("GET", "/api/v1/namespaces/a", "get /v1 ns=a namespaces/a/"),
            ("PUT", "/api/v1/namespaces/a/finalize", "update /v1 ns=a namespaces/a/finalize"),
            ("PATCH", "/api/v1/namespaces/a/status", "patch /v1 ns=a namespaces/a/status"),
            ("POST", "/api/v1/namespaces/a/pods", "create /v1 ns=a pods//"),
            ("GET", "/api/v1/namespaces/a/pods/b", "get /v1 ns=a pods/b/"),
            ("GET", "/api/v1/namespaces/a/pods/b/log", "get /v1 ns=a pods/b/log"),
            ("GET", "/apis/apps/v1/namespaces/a/deployments/b/scale", "get apps/v1 ns=a deployments/b/scale"),
            ("DELETE", "/apis/apps/v1/deployments", "delete apps/v1 ns= deployments//"),
            (
                "GET",
                "/api/v1/namespaces/a/services/b:80/proxy/x/y%2Fz",
                "get /v1 ns=a services/b:80/proxy/x/y%2Fz",
            ),
            ("GET", "/api/v1/namespaces/a/services/b/proxy/", "get /v1 ns=a services/b/proxy/"),
            ("GET", "/api/v1/nodes/n/proxy/logs/", "get /v1 ns= nodes/n/proxy/logs/"),
            ("GET", "/api/v1/watch/namespaces/a/pods", "watch /v1 ns=a pods//"),
            ("GET", "/api/v1/watch/pods", "watch /v1 ns= pods//"),
            ("GET", "/api/v1/namespaces/a%62/pods", "get /v1 ns=ab pods//"),
        ] {
            assert_eq!(show(method, path), shown, "{method} {path}");
        }
        for path in ["/api/v1/pods/%", "/%f", "/%zz", "/%ff"] {
            assert_eq!(RequestInfo::parse(&Method::GET, path), Err(InvalidPath), "{path}");
        }
    }

    #[test]
    fn tells_lists_from_gets() {
        for (method, path, watch, name, verb) in [
            (Method::GET, "/api/v1/pods", false, None, "list"),
            (Method::GET, "/api/v1/pods", true, None, "watch"),
            (Method::GET, "/api/v1/nodes/a", true, None, "get"),
            (Method::DELETE, "/api/v1/pods", false, None, "deletecollection"),
            (Method::DELETE, "/api/v1/nodes/a", false, None, "delete"),
            (Method::GET, "/version", true, None, "get"),
            (Method::GET, "/api/v1/pods", false, Some("a"), "list"),
        ] {
            let mut info = RequestInfo::parse(&method, path).unwrap();
            info.refine(watch, name);
            assert_eq!(info.verb, verb, "{path}");
        }
    }

    proptest::proptest! {
        #[test]
        fn never_panics(path in "/(api|apis|watch|namespaces|%2|%41|[/a-z%.:]){0,12}") {
            if let Ok(info) = RequestInfo::parse(&Method::GET, &path) {
                proptest::prop_assert!(info.is_resource || info.resource.is_empty());
            }
        }
    }
}
