//! Docker's `config.json`: `auths`, `credHelpers`, `credsStore`.
//!
//! What we do not know in the file survives a rewrite.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Map, Value};

use super::credential::{Credential, CredentialError, CredentialSource, Secret};
use super::helper::{Helper, HelperRunner};

/// The credentials in one `config.json`. The file is read at each use: a login in
/// another terminal counts at once.
#[derive(Clone)]
pub struct DockerConfig {
    path: PathBuf,
    helpers: Arc<dyn HelperRunner>,
}

/// Docker Hub's key since before registries had version 2.
const HUB_KEY: &str = "https://index.docker.io/v1/";

impl DockerConfig {
    /// Uses the file at `path`, which need not exist.
    pub fn new(path: impl Into<PathBuf>, helpers: Arc<dyn HelperRunner>) -> Self {
        Self { path: path.into(), helpers }
    }

    /// The file in use.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps `credential` for `registry`: in its helper if one is configured, else in
    /// the file, which only its owner may read. Returns where it was kept.
    pub fn store(&self, registry: &str, credential: &Credential) -> Result<String, CredentialError> {
        let mut root = self.read()?;
        let key = key_of(registry);
        if let Some(name) = helper_of(&root, registry) {
            Helper::new(&name, &*self.helpers)?.store(&key, credential)?;
            self.set_entry(&mut root, registry, Map::new());
            self.write(&root)?;
            return Ok(format!("docker-credential-{name}"));
        }
        let mut entry = Map::new();
        match credential {
            Credential::Basic { username, password } => {
                let pair = format!("{username}:{}", password.expose());
                entry.insert("auth".to_owned(), BASE64.encode(pair).into());
            }
            Credential::Identity(token) => {
                entry.insert("auth".to_owned(), "".into());
                entry.insert("identitytoken".to_owned(), token.expose().into());
            }
            Credential::Bearer(token) => {
                entry.insert("registrytoken".to_owned(), token.expose().into());
            }
        }
        self.set_entry(&mut root, registry, entry);
        self.write(&root)?;
        Ok(self.path.display().to_string())
    }

    /// Forgets what is kept for `registry`. Returns whether there was something.
    pub fn erase(&self, registry: &str) -> Result<bool, CredentialError> {
        let mut root = self.read()?;
        if let Some(name) = helper_of(&root, registry) {
            Helper::new(&name, &*self.helpers)?.erase(&key_of(registry))?;
        }
        let Some(Value::Object(auths)) = root.get_mut("auths") else { return Ok(false) };
        let before = auths.len();
        auths.retain(|key, _| !same_registry(key, registry));
        if auths.len() == before {
            return Ok(false);
        }
        self.write(&root)?;
        Ok(true)
    }

    fn set_entry(&self, root: &mut Map<String, Value>, registry: &str, entry: Map<String, Value>) {
        let auths = root.entry("auths").or_insert_with(|| Value::Object(Map::new()));
        if !auths.is_object() {
            *auths = Value::Object(Map::new());
        }
        if let Value::Object(auths) = auths {
            auths.retain(|key, _| !same_registry(key, registry));
            auths.insert(key_of(registry), Value::Object(entry));
        }
    }

    fn read(&self) -> Result<Map<String, Value>, CredentialError> {
        let text = match fs::read(&self.path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Map::new()),
            Err(source) => return Err(CredentialError::Read { path: self.path.clone(), source }),
        };
        if text.iter().all(u8::is_ascii_whitespace) {
            return Ok(Map::new());
        }
        serde_json::from_slice(&text)
            .map_err(|error| CredentialError::Malformed { path: self.path.clone(), line: error.line() })
    }

    /// Replaces the file at once: a reader sees the old or the new one.
    fn write(&self, root: &Map<String, Value>) -> Result<(), CredentialError> {
        let failed = |source| CredentialError::Write { path: self.path.clone(), source };
        // A link stays a link: many people keep their settings in a repository.
        let target = fs::canonicalize(&self.path).unwrap_or_else(|_| self.path.clone());
        let folder = target.parent().unwrap_or(Path::new("."));
        if !folder.exists() {
            fs::create_dir_all(folder).map_err(failed)?;
            fs::set_permissions(folder, fs::Permissions::from_mode(0o700)).map_err(failed)?;
        }
        let mut text = serde_json::to_vec_pretty(root).map_err(|error| failed(error.into()))?;
        text.push(b'\n');
        let scratch = target.with_extension(format!("json.{}", std::process::id()));
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&scratch)
            .map_err(failed)?;
        let written = file
            .set_permissions(fs::Permissions::from_mode(0o600))
            .and_then(|()| file.write_all(&text))
            .and_then(|()| file.sync_all())
            .and_then(|()| fs::rename(&scratch, &target));
        if written.is_err() {
            let _ = fs::remove_file(&scratch);
        }
        written.map_err(failed)
    }

    fn entry(
        &self,
        registry: &str,
        entry: &Map<String, Value>,
    ) -> Result<Option<Credential>, CredentialError> {
        let text = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = text("registrytoken") {
            return Ok(Some(Credential::Bearer(Secret::new(token))));
        }
        if let Some(token) = text("identitytoken") {
            return Ok(Some(Credential::Identity(Secret::new(token))));
        }
        let pair = match (text("auth"), text("username"), text("password")) {
            (Some(auth), _, _) => auth,
            (None, Some(username), Some(password)) => {
                return Ok(Some(Credential::Basic {
                    username: username.to_owned(),
                    password: Secret::new(password),
                }));
            }
            _ => return Ok(None),
        };
        let damaged = || CredentialError::Entry { path: self.path.clone(), registry: registry.to_owned() };
        let pair = BASE64
            .decode(pair.trim())
            .ok()
            .and_then(|pair| String::from_utf8(pair).ok())
            .ok_or_else(damaged)?;
        let (username, password) = pair.split_once(':').ok_or_else(damaged)?;
        // Docker pads with NUL bytes.
        let password = password.trim_end_matches('\0');
        Ok(Some(Credential::Basic { username: username.to_owned(), password: Secret::new(password) }))
    }
}

impl CredentialSource for DockerConfig {
    fn lookup(&self, registry: &str) -> Result<Option<Credential>, CredentialError> {
        let root = self.read()?;
        if let Some(name) = helper_of(&root, registry) {
            let found = Helper::new(&name, &*self.helpers)?.get(&key_of(registry))?;
            if found.is_some() {
                return Ok(found);
            }
        }
        let Some(Value::Object(auths)) = root.get("auths") else { return Ok(None) };
        // The exact key wins over one that only means the same host.
        let exact = auths.get(&key_of(registry)).or_else(|| auths.get(registry));
        let entry = exact
            .or_else(|| auths.iter().find(|(key, _)| same_registry(key, registry)).map(|(_, entry)| entry));
        match entry {
            Some(Value::Object(entry)) => self.entry(registry, entry),
            _ => Ok(None),
        }
    }
}

impl std::fmt::Debug for DockerConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DockerConfig").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The key that docker writes for a registry.
fn key_of(registry: &str) -> String {
    if same_registry(registry, "docker.io") { HUB_KEY.to_owned() } else { registry.to_owned() }
}

/// The helper for `registry`: its own one before the store for all.
fn helper_of(root: &Map<String, Value>, registry: &str) -> Option<String> {
    let own = root.get("credHelpers").and_then(Value::as_object).and_then(|helpers| {
        helpers.iter().find(|(key, _)| same_registry(key, registry)).and_then(|(_, name)| name.as_str())
    });
    let name = own.or_else(|| root.get("credsStore").and_then(Value::as_str))?;
    (!name.is_empty()).then(|| name.to_owned())
}

/// Keys come with and without scheme and path: only the host counts.
fn same_registry(key: &str, registry: &str) -> bool {
    fn host(key: &str) -> &str {
        let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://")).unwrap_or(key);
        let host = bare.split('/').next().unwrap_or(bare);
        match host {
            "index.docker.io" | "registry-1.docker.io" => "docker.io",
            other => other,
        }
    }
    host(key).eq_ignore_ascii_case(host(registry))
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::super::helper::{HelperOutput, NoHelpers};
    use super::*;

    struct Scratch(PathBuf);

    impl Scratch {
        fn new(name: &str, text: &str) -> Self {
            let path = std::env::temp_dir().join(format!("strake-credentials-{name}-{}", std::process::id()));
            fs::write(&path, text).unwrap();
            Self(path)
        }

        fn config(&self) -> DockerConfig {
            DockerConfig::new(&self.0, Arc::new(NoHelpers))
        }
    }

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = fs::remove_file(&self.0);
        }
    }

    fn basic(username: &str, password: &str) -> Option<Credential> {
        Some(Credential::Basic { username: username.into(), password: Secret::new(password) })
    }

    #[test]
    fn finds_entries_in_every_spelling() {
        let scratch = Scratch::new(
            "spellings",
            r#"{"auths":{
                "https://index.docker.io/v1/":{"auth":"YW5uOmE6Yg=="},
                "https://q.io/v2/":{"username":"bob","password":"p"},
                "r:5000":{"identitytoken":"t"},
                "empty":{}, "s":{"registrytoken":"x"}}}"#,
        );
        let lookup = |registry: &str| scratch.config().lookup(registry).unwrap();
        assert_eq!(lookup("docker.io"), basic("ann", "a:b"));
        assert_eq!(lookup("q.io"), basic("bob", "p"));
        assert_eq!(lookup("r:5000"), Some(Credential::Identity(Secret::new("t"))));
        assert_eq!(lookup("s"), Some(Credential::Bearer(Secret::new("x"))));
        assert_eq!(lookup("r"), None);
        assert_eq!(lookup("empty"), None);
    }

    #[test]
    fn stores_privately_and_keeps_the_rest() {
        let scratch =
            Scratch::new("store", r#"{"detachKeys":"ctrl-x","auths":{"https://r:1/v1/":{"auth":"eDp5"}}}"#);
        fs::set_permissions(&scratch.0, fs::Permissions::from_mode(0o644)).unwrap();
        let config = scratch.config();
        config.store("r:1", &basic("ann", "secret").unwrap()).unwrap();
        assert_eq!(config.lookup("r:1").unwrap(), basic("ann", "secret"));
        assert_eq!(fs::metadata(&scratch.0).unwrap().permissions().mode() & 0o777, 0o600);
        let text = fs::read_to_string(&scratch.0).unwrap();
        assert!(text.contains("detachKeys"));
        assert!(!text.contains("eDp5"), "the old spelling is replaced");
        assert!(config.erase("r:1").unwrap());
        assert!(!config.erase("r:1").unwrap());
        assert_eq!(config.lookup("r:1").unwrap(), None);
    }

    #[test]
    fn a_damaged_file_is_an_error_without_its_text() {
        let scratch = Scratch::new("damaged", "{\"auths\": {\"r\": {\"auth\": \"c2VjcmV0\", }");
        let error = scratch.config().lookup("r").unwrap_err();
        assert!(!format!("{error} {error:?}").contains("c2VjcmV0"));
        let scratch = Scratch::new("entry", r#"{"auths":{"r":{"auth":"!!!"}}}"#);
        assert!(matches!(scratch.config().lookup("r"), Err(CredentialError::Entry { .. })));
    }

    struct Fake(Mutex<Vec<String>>);

    impl HelperRunner for Fake {
        fn run(&self, helper: &str, action: &str, input: &[u8]) -> io::Result<HelperOutput> {
            let input = String::from_utf8_lossy(input);
            self.0.lock().unwrap().push(format!("{helper} {action} {input}"));
            let (success, stdout) = match (action, &*input) {
                ("get", "known") => (true, r#"{"ServerURL":"known","Username":"<token>","Secret":"t"}"#),
                ("get", _) => (false, "credentials not found in native keychain\n"),
                _ => (true, ""),
            };
            Ok(HelperOutput { success, stdout: stdout.as_bytes().to_vec() })
        }
    }

    #[test]
    fn asks_helpers_in_dockers_protocol() {
        let scratch = Scratch::new("helpers", r#"{"credsStore":"all","credHelpers":{"known":"own"}}"#);
        let fake = Arc::new(Fake(Mutex::new(Vec::new())));
        let config = DockerConfig::new(&scratch.0, fake.clone());
        assert_eq!(config.lookup("known").unwrap(), Some(Credential::Identity(Secret::new("t"))));
        assert_eq!(config.lookup("other").unwrap(), None);
        config.store("docker.io", &basic("ann", "p").unwrap()).unwrap();
        let calls = fake.0.lock().unwrap().clone();
        assert_eq!(calls[0], "own get known");
        assert_eq!(calls[1], "all get other");
        assert!(calls[2].starts_with("all store {") && calls[2].contains(HUB_KEY));
        assert!(!fs::read_to_string(&scratch.0).unwrap().contains("\"p\""));
    }

    #[test]
    fn refuses_helper_names_that_are_paths() {
        let scratch = Scratch::new("names", r#"{"credsStore":"../../bin/x"}"#);
        assert!(matches!(scratch.config().lookup("r"), Err(CredentialError::HelperName { .. })));
    }
}
