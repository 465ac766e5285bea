//! Text of a `hosts.toml` → endpoints. Pure.

use std::path::{Path, PathBuf};

use http::Uri;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::HostsError;
use crate::endpoint::{Capabilities, Endpoint};

/// Reads `text` of `file`; `own` is the registry's host without any configuration.
///
/// Mirrors come in the order of the file, then the server. A `server` key moves
/// the registry's own host to another address.
pub(super) fn hosts_toml(text: &str, file: &Path, own: Endpoint) -> Result<Vec<Endpoint>, HostsError> {
    let syntax = |source| HostsError::Syntax { path: file.to_owned(), source: Box::new(source) };
    let root = DeTable::parse(text).map_err(syntax)?.into_inner();
    let reader = Reader { file };
    let mut endpoints = Vec::new();
    if let Some(hosts) = root.get("host") {
        let hosts = reader.table("host", hosts)?;
        let mut hosts: Vec<_> = hosts.iter().collect();
        hosts.sort_by_key(|(key, _)| key.span().start);
        for (address, settings) in hosts {
            let name = format!("host.\"{}\"", address.get_ref());
            let settings = reader.table(&name, settings)?;
            let blank = Endpoint { base: own.base.clone(), mirror: true, ..blank(&own) };
            endpoints.push(reader.endpoint(&name, Some(address.get_ref()), settings, blank)?);
        }
    }
    let server = root.get("server").map(|value| reader.text("server", value)).transpose()?;
    let own = match &server {
        Some(_) => blank(&own),
        None => own,
    };
    endpoints.push(reader.endpoint("server", server.as_deref(), &root, own)?);
    Ok(endpoints)
}

/// A host of which nothing is known but that it may do everything.
fn blank(own: &Endpoint) -> Endpoint {
    Endpoint {
        base: own.base.clone(),
        capabilities: Capabilities::ALL,
        tls: Default::default(),
        headers: Vec::new(),
        plain_http_fallback: false,
        mirror: false,
    }
}

struct Reader<'a> {
    file: &'a Path,
}

type Value<'i> = Spanned<DeValue<'i>>;

impl Reader<'_> {
    fn endpoint(
        &self,
        name: &str,
        address: Option<&str>,
        settings: &DeTable<'_>,
        mut endpoint: Endpoint,
    ) -> Result<Endpoint, HostsError> {
        let get = |key: &str| settings.get(key).map(|value| (format!("{name}.{key}"), value));
        let override_path = match get("override_path") {
            Some((key, value)) => self.flag(&key, value)?,
            None => false,
        };
        if let Some(address) = address {
            endpoint.base = self.address(name, address, override_path)?;
        }
        if let Some((key, value)) = get("capabilities") {
            endpoint.capabilities = self.capabilities(&key, value)?;
        }
        if let Some((key, value)) = get("skip_verify") {
            endpoint.tls.skip_verify = self.flag(&key, value)?;
        }
        if let Some((key, value)) = get("ca") {
            endpoint.tls.ca = self.texts(&key, value)?.iter().map(|path| self.path(path)).collect();
            endpoint.tls.skip_verify = endpoint.tls.skip_verify && get("skip_verify").is_some();
        }
        if let Some((key, value)) = get("client") {
            endpoint.tls.client = self.client(&key, value)?;
        }
        if let Some((key, value)) = get("header") {
            endpoint.headers = self.headers(&key, value)?;
        }
        Ok(endpoint)
    }

    /// Below an address lies `/v2`, unless its path is to be taken as it is.
    fn address(&self, name: &str, address: &str, override_path: bool) -> Result<Uri, HostsError> {
        let wrong = || self.wrong(name, "is not an address: write it as https://host[:port][/path]");
        let full = if address.contains("://") { address.to_owned() } else { format!("https://{address}") };
        let uri: Uri = full.parse().map_err(|_| wrong())?;
        if !matches!(uri.scheme_str(), Some("http" | "https")) || uri.host().is_none_or(str::is_empty) {
            return Err(wrong());
        }
        let plain = full.split(['?', '#']).next().unwrap_or(&full).trim_end_matches('/');
        let versioned = uri.path().trim_end_matches('/').ends_with("/v2");
        let base = if override_path || versioned { plain.to_owned() } else { format!("{plain}/v2") };
        base.parse().map_err(|_| wrong())
    }

    fn capabilities(&self, key: &str, value: &Value<'_>) -> Result<Capabilities, HostsError> {
        let mut capabilities = Capabilities::NONE;
        for word in self.texts(key, value)? {
            match word.as_str() {
                "pull" => capabilities.pull = true,
                "resolve" => capabilities.resolve = true,
                "push" => capabilities.push = true,
                _ => return Err(self.wrong(key, "knows only pull, resolve and push")),
            }
        }
        Ok(capabilities)
    }

    /// `"both.pem"`, `["both.pem", …]` or `[["cert.pem", "key.pem"], …]`.
    fn client(&self, key: &str, value: &Value<'_>) -> Result<Vec<(PathBuf, PathBuf)>, HostsError> {
        let problem = "must be a file with certificate and key, or pairs [\"cert\", \"key\"]";
        let Some(entries) = value.get_ref().as_array() else {
            let both = self.path(&self.text(key, value)?);
            return Ok(vec![(both.clone(), both)]);
        };
        let mut pairs = Vec::new();
        for entry in entries {
            let files = self.texts(key, entry)?;
            match &files[..] {
                [both] => pairs.push((self.path(both), self.path(both))),
                [cert, private] if private.is_empty() => pairs.push((self.path(cert), self.path(cert))),
                [cert, private] => pairs.push((self.path(cert), self.path(private))),
                _ => return Err(self.wrong(key, problem)),
            }
        }
        Ok(pairs)
    }

    fn headers(&self, key: &str, value: &Value<'_>) -> Result<Vec<(String, String)>, HostsError> {
        let mut headers = Vec::new();
        for (name, value) in self.table(key, value)? {
            let key = format!("{key}.{}", name.get_ref());
            for text in self.texts(&key, value)? {
                let valid = http::HeaderName::try_from(&**name.get_ref()).is_ok()
                    && http::HeaderValue::try_from(&text).is_ok();
                if !valid {
                    return Err(self.wrong(&key, "is not a valid HTTP header"));
                }
                headers.push((name.get_ref().to_string(), text));
            }
        }
        Ok(headers)
    }

    fn table<'v, 'i>(&self, key: &str, value: &'v Value<'i>) -> Result<&'v DeTable<'i>, HostsError> {
        value.get_ref().as_table().ok_or_else(|| self.wrong(key, "must be a table"))
    }

    fn text(&self, key: &str, value: &Value<'_>) -> Result<String, HostsError> {
        value.get_ref().as_str().map(str::to_owned).ok_or_else(|| self.wrong(key, "must be a string"))
    }

    /// One string or a list of strings.
    fn texts(&self, key: &str, value: &Value<'_>) -> Result<Vec<String>, HostsError> {
        match value.get_ref().as_array() {
            Some(entries) => entries.iter().map(|entry| self.text(key, entry)).collect(),
            None => Ok(vec![self.text(key, value)?]),
        }
    }

    fn flag(&self, key: &str, value: &Value<'_>) -> Result<bool, HostsError> {
        value.get_ref().as_bool().ok_or_else(|| self.wrong(key, "must be true or false"))
    }

    /// Relative paths are relative to the file's folder.
    fn path(&self, text: &str) -> PathBuf {
        self.file.parent().unwrap_or(Path::new("")).join(text)
    }

    fn wrong(&self, key: &str, problem: &str) -> HostsError {
        HostsError::Value { path: self.file.to_owned(), key: key.to_owned(), problem: problem.to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Vec<Endpoint>, HostsError> {
        hosts_toml(text, Path::new("/c/docker.io/hosts.toml"), Endpoint::of_registry("docker.io").unwrap())
    }

    #[track_caller]
    fn bases(text: &str, expected: &[&str]) {
        let found: Vec<String> =
            read(text).unwrap().iter().map(|endpoint| endpoint.base.to_string()).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn keeps_the_order_of_the_file() {
        bases("", &["https://registry-1.docker.io/v2"]);
        bases(
            "[host.\"https://z.io\"]\n[host.\"http://a.io:5000/\"]\n[host.'m.io']\n",
            &["https://z.io/v2", "http://a.io:5000/v2", "https://m.io/v2", "https://registry-1.docker.io/v2"],
        );
    }

    #[test]
    fn server_and_paths() {
        bases("server = 'https://up.io'", &["https://up.io/v2"]);
        bases(
            "server = 'http://up.io/sub/v2/'\n[host.'https://m.io/v2/proxy']\noverride_path = true\n[host.'https://n.io/x']",
            &["https://m.io/v2/proxy", "https://n.io/x/v2", "http://up.io/sub/v2"],
        );
    }

    #[test]
    fn settings_of_a_host() {
        let found = read(
            r#"
            skip_verify = true
            [host."https://m.io"]
              capabilities = ["pull", "resolve"]
              ca = ["ca.pem", "/etc/x.pem"]
              client = [["c.pem", "k.pem"], ["both.pem", ""]]
              [host."https://m.io".header]
                x-a = "1"
                x-b = ["2", "3"]
            "#,
        )
        .unwrap();
        let [mirror, server] = &found[..] else { panic!("{found:?}") };
        assert_eq!(mirror.capabilities, Capabilities { pull: true, resolve: true, push: false });
        assert_eq!(mirror.tls.ca, [PathBuf::from("/c/docker.io/ca.pem"), "/etc/x.pem".into()]);
        assert_eq!(mirror.tls.client[0], ("/c/docker.io/c.pem".into(), "/c/docker.io/k.pem".into()));
        assert_eq!(mirror.tls.client[1].0, mirror.tls.client[1].1);
        assert_eq!(mirror.headers.len(), 3);
        assert!(mirror.mirror && !mirror.tls.skip_verify && !mirror.plain_http_fallback);
        assert!(server.tls.skip_verify && !server.mirror);
    }

    #[test]
    fn names_the_key_that_is_wrong() {
        for (text, key) in [
            ("server = 3", "server"),
            ("[host.'https://m']\ncapabilities = ['fly']", "host.\"https://m\".capabilities"),
            ("[host.'ftp://m']", "host.\"ftp://m\""),
            ("skip_verify = 'yes'", "server.skip_verify"),
            ("[host.'https://m'.header]\n'bad name' = 'x'", "host.\"https://m\".header.bad name"),
        ] {
            match read(text) {
                Err(HostsError::Value { key: found, .. }) => assert_eq!(found, key),
                other => panic!("{text}: {other:?}"),
            }
        }
        assert!(matches!(read("server ="), Err(HostsError::Syntax { .. })));
    }

    /// Whatever a file says: hosts or an error, never a panic.
    #[test]
    fn mutated_files_never_panic() {
        let sound = "server = 'https://a.io'\n[host.'http://b.io']\ncapabilities = ['pull']\nclient = [['c', 'k']]\n\
                     [host.'http://b.io'.header]\nx = ['1', '2']\n";
        let mut state = 0x2545_F491_4F6C_DD1D_u64;
        let mut next = |below: usize| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            usize::try_from(state >> 33).unwrap() % below
        };
        for _ in 0..3000 {
            let mut text: Vec<char> = sound.chars().collect();
            for _ in 0..1 + next(4) {
                let at = next(text.len());
                match next(3) {
                    0 => drop(text.remove(at)),
                    1 => text[at] = ['\'', '[', ']', '=', '\n', '.', '/', 'é', '0'][next(9)],
                    _ => text.truncate(at.max(8)),
                }
            }
            let _ = read(&text.into_iter().collect::<String>());
        }
    }
}
