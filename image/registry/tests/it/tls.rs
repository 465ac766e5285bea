//! TLS against Debian's `docker-registry`: private CAs, client certificates, no verification.

use std::fs;
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use base::{Classified as _, ErrorClass};
use registry::{Client, Config, Error, Hosts};
use testkit::{TempDir, run as run_command, wait_until};

use crate::setup::{chain, client, config, reference, run};

/// A certificate authority with a server's and a client's certificate.
struct Authority {
    directory: TempDir,
}

impl Authority {
    fn new(server_name: &str) -> Self {
        let directory = TempDir::new();
        let authority = Self { directory };
        authority.openssl(&[
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            "ca.key",
            "-out",
            "ca.crt",
            "-days",
            "2",
            "-subj",
            "/CN=test authority",
        ]);
        authority.leaf("server", &format!("subjectAltName={server_name}"));
        authority.leaf("client", "extendedKeyUsage=clientAuth");
        authority
    }

    fn leaf(&self, name: &str, extension: &str) {
        let (key, request, cert) = (format!("{name}.key"), format!("{name}.csr"), format!("{name}.crt"));
        self.openssl(&[
            "req",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:prime256v1",
            "-nodes",
            "-keyout",
            &key,
            "-out",
            &request,
            "-subj",
            &format!("/CN={name}"),
        ]);
        fs::write(self.path("extensions"), extension).unwrap();
        self.openssl(&[
            "x509",
            "-req",
            "-in",
            &request,
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            "extensions",
            "-out",
            &cert,
        ]);
    }

    fn openssl(&self, args: &[&str]) {
        run_command(Command::new("openssl").current_dir(self.directory.path()).args(args)).ok();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }
}

/// A registry that speaks only TLS; stopped on drop.
struct TlsRegistry {
    child: Child,
    address: String,
    _storage: TempDir,
}

impl TlsRegistry {
    fn start(authority: &Authority, client_certificates: bool) -> Self {
        let storage = TempDir::new();
        let address = format!("127.0.0.1:{}", testkit::registry::free_port());
        let show = |path: PathBuf| path.display().to_string();
        let mut text = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp:\n  \
             addr: '{address}'\n  secret: test\n  tls:\n    certificate: {}\n    key: {}\n",
            storage.path().display(),
            show(authority.path("server.crt")),
            show(authority.path("server.key"))
        );
        if client_certificates {
            text += &format!("    clientcas: [{}]\n", show(authority.path("ca.crt")));
        }
        let file = storage.join("config.yml");
        fs::write(&file, text).unwrap();
        let child = Command::new("docker-registry")
            .arg("serve")
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let registry = Self { child, address, _storage: storage };
        assert!(wait_until(Duration::from_secs(20), || TcpStream::connect(&registry.address).is_ok()));
        registry
    }

    /// What a pull of something that is not there ends with: `ManifestUnknown` when TLS works.
    fn ask(&self, client: &Client) -> Error {
        run(async { client.manifest(&reference(&self.address, "no/such")).await.unwrap_err() })
    }
}

impl Drop for TlsRegistry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A client with `text` as the registry's hosts.toml.
fn configured(registry: &TlsRegistry, text: &str) -> (Client, TempDir) {
    let directory = TempDir::new();
    fs::create_dir(directory.join(&registry.address)).unwrap();
    fs::write(directory.join(&registry.address).join("hosts.toml"), text).unwrap();
    (client_of(directory.path()), directory)
}

fn client_of(directory: &Path) -> Client {
    let hosts = Hosts { directories: vec![directory.to_owned()], insecure: Vec::new() };
    Client::new(Config { hosts, ..config() })
}

fn works(error: &Error) -> bool {
    matches!(error, Error::ManifestUnknown { .. })
}

#[test]
fn certificates_are_verified_unless_told_otherwise() {
    let authority = Authority::new("IP:127.0.0.1");
    let registry = TlsRegistry::start(&authority, false);
    let address = &registry.address;
    let (strict, _directory) = configured(&registry, &format!("server = \"https://{address}\""));
    let error = registry.ask(&strict);
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
    assert!(chain(&error).contains("UnknownIssuer") && chain(&error).contains(address), "{}", chain(&error));
    assert_eq!(error.class(), ErrorClass::Unavailable);

    let ca = authority.path("ca.crt");
    let (trusting, _directory) =
        configured(&registry, &format!("server = \"https://{address}\"\nca = {ca:?}"));
    assert!(works(&registry.ask(&trusting)));
    let (careless, _directory) =
        configured(&registry, &format!("server = \"https://{address}\"\nskip_verify = true"));
    assert!(works(&registry.ask(&careless)));
    // On loopback docker verifies nothing, and neither do we; the transport is still TLS.
    assert!(works(&registry.ask(&client())));
    let (broken, _directory) =
        configured(&registry, &format!("server = \"https://{address}\"\nca = \"/no/such\""));
    assert!(chain(&registry.ask(&broken)).contains("/no/such"));
}

#[test]
fn a_certificate_for_another_host_is_refused() {
    let authority = Authority::new("DNS:elsewhere.example");
    let registry = TlsRegistry::start(&authority, false);
    let ca = authority.path("ca.crt");
    let (client, _directory) =
        configured(&registry, &format!("server = \"https://{}\"\nca = {ca:?}", registry.address));
    let error = registry.ask(&client);
    assert!(matches!(error, Error::Tls { .. }), "{error:?}");
}

#[test]
fn client_certificates_are_shown_in_both_forms() {
    let authority = Authority::new("IP:127.0.0.1");
    let registry = TlsRegistry::start(&authority, true);
    let (ca, cert, key) =
        (authority.path("ca.crt"), authority.path("client.crt"), authority.path("client.key"));
    let text = format!("server = \"https://{}\"\nca = {ca:?}\n", registry.address);
    let (without, _directory) = configured(&registry, &text);
    assert!(!works(&registry.ask(&without)));
    let (with, _directory) = configured(&registry, &format!("{text}client = [[{cert:?}, {key:?}]]"));
    assert!(works(&registry.ask(&with)), "{}", chain(&registry.ask(&with)));

    // Docker's bare files: ca.crt, client.cert and client.key beside each other.
    let directory = TempDir::new();
    let folder = directory.join(&registry.address);
    fs::create_dir(&folder).unwrap();
    fs::copy(&ca, folder.join("ca.crt")).unwrap();
    fs::copy(&cert, folder.join("client.cert")).unwrap();
    fs::copy(&key, folder.join("client.key")).unwrap();
    assert!(works(&registry.ask(&client_of(directory.path()))));
}
