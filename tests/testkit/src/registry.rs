//! Debian's `docker-registry` on loopback.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::{TempDir, run, wait_until};

/// A running registry with its own storage; stopped and removed on drop.
#[derive(Debug)]
pub struct Registry {
    child: Child,
    address: String,
    _storage: TempDir,
}

/// Who may use a registry.
#[derive(Clone, Copy, Debug)]
pub struct BasicAuth<'a> {
    /// Account.
    pub user: &'a str,
    /// Its password.
    pub password: &'a str,
}

impl Registry {
    /// Starts an open registry on a free loopback port.
    ///
    /// # Panics
    /// When `docker-registry` is not installed or does not come up.
    pub fn start() -> Self {
        Self::spawn(None)
    }

    /// Starts a registry that asks for a password.
    ///
    /// # Panics
    /// As [`Registry::start`]; needs `htpasswd`.
    pub fn start_with(auth: BasicAuth<'_>) -> Self {
        Self::spawn(Some(auth))
    }

    fn spawn(auth: Option<BasicAuth<'_>>) -> Self {
        let storage = TempDir::new();
        let port = free_port();
        let address = format!("127.0.0.1:{port}");
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}/data}}\n  \
             delete: {{enabled: true}}\nhttp: {{addr: '{address}', secret: test}}\n",
            storage.path().display()
        );
        if let Some(auth) = auth {
            let line = run(Command::new("htpasswd").args(["-Bbn", auth.user, auth.password]));
            fs::write(storage.join("htpasswd"), line.ok()).expect("htpasswd");
            config +=
                &format!("auth:\n  htpasswd: {{realm: test, path: {}/htpasswd}}\n", storage.path().display());
        }
        let file = storage.join("config.yml");
        fs::write(&file, config).expect("registry configuration");
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry is installed");
        let registry = Self { child, address, _storage: storage };
        let up = wait_until(Duration::from_secs(20), || TcpStream::connect(&registry.address).is_ok());
        assert!(up, "docker-registry does not answer on {}", registry.address);
        registry
    }

    /// `127.0.0.1:PORT`.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// The full reference of `name` in this registry.
    pub fn reference(&self, name: &str) -> String {
        format!("{}/{name}", self.address)
    }

    /// Pushes image `tag` of the OCI layout at `layout` as `name`, by Debian's skopeo.
    ///
    /// # Panics
    /// When skopeo fails.
    pub fn push_layout(&self, layout: &Path, tag: &str, name: &str) -> String {
        let reference = self.reference(name);
        run(Command::new("skopeo")
            .args(["--insecure-policy", "copy", "--quiet", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:{tag}", layout.display()))
            .arg(format!("docker://{reference}")))
        .ok();
        reference
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A loopback port that nobody listens on at this moment.
///
/// # Panics
/// When there is none.
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free loopback port");
    listener.local_addr().expect("bound").port()
}
