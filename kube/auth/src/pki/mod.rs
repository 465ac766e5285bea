//! Keys and certificates: made at the first start, renewed before they expire.
//!
//! ```text
//!  server-ca       signs  serving (the API server's), and kubelets' serving certificates
//!  client-ca       signs  admin, and certificates that are asked for
//!  front-proxy-ca  signs  front-proxy-client
//!  service-account.key    signs tokens
//! ```
//!
//! Each is `NAME.crt` and `NAME.key` in one directory, all keys mode 0600. `plan` decides what
//! has to be made, without looking at a clock or a file; `make` makes it, `files` writes it so
//! that a crash leaves the old file or the new one. `ensure` does all of it, at start and again
//! whenever `Pki::look_again_at` has come. Servers that share a cluster have the authorities and the key of
//! tokens in `common`, which `seal` seals for where it is kept; `ensure_by` makes the rest by them.

mod common;
mod files;
pub mod kubeconfig;
mod make;
mod plan;
mod seal;
mod service_account_key;

use std::net::IpAddr;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::authn::jwt::{KeyError, SigningKey};
use crate::authn::{Authorities, CertificateError, Config, RequestHeader};
use crate::csr::{IssueError, Signer, Signers};
use crate::token::Maker;
pub use common::Common;
use files::Directory;
use make::Pair;
pub(crate) use make::ip_of;
pub use plan::{Item, Known, Why};
pub use seal::{Seal, SealError};

/// All that a server needs, as PEM.
#[derive(Clone)]
pub struct Pki {
    /// Who signs servers' certificates: what clients and pods trust (`kube-root-ca.crt`).
    pub server_ca: KeyPair,
    /// Who signs clients' certificates.
    pub client_ca: KeyPair,
    /// Who signs the front proxy's certificate.
    pub front_proxy_ca: KeyPair,
    /// The API server's certificate.
    pub serving: KeyPair,
    /// The administrator's: `system:masters`.
    pub admin: KeyPair,
    /// The API server's when it calls aggregated servers.
    pub front_proxy_client: KeyPair,
    /// The API server's when it calls kubelets.
    pub kubelet_client: KeyPair,
    /// What service account tokens are signed with.
    pub service_account_key: String,
    /// The administrator's kubeconfig.
    pub admin_kubeconfig: PathBuf,
    /// What was made, and why: for the log.
    pub made: Vec<(Item, Why)>,
    /// When something has to be made anew: call `ensure` again.
    pub look_again_at: Timestamp,
}

/// A certificate and its key, as PEM.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct KeyPair {
    /// The certificate; of an authority also those that it had before, while they are valid.
    pub certificate: String,
    /// The PKCS#8 key.
    pub key: String,
}

/// What the server is called by its clients.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServerNames {
    /// DNS names.
    pub dns: Vec<String>,
    /// IP addresses.
    pub ips: Vec<IpAddr>,
    /// Where the administrator's kubeconfig points: `https://127.0.0.1:6443`.
    pub url: String,
}

/// Keys or certificates could not be had.
#[derive(Debug, thiserror::Error)]
pub enum PkiError {
    /// A file could not be read or written.
    #[error("{operation} {}", path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// On which file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A certificate could not be made.
    #[error("make certificate {name}")]
    Make {
        /// Which.
        name: &'static str,
        /// Why not.
        #[source]
        source: rcgen::Error,
    },
    /// The key in the directory is no key that we use.
    #[error("read {}", path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// What is wrong with it.
        #[source]
        source: KeyError,
    },
    /// An authority's certificate cannot be used to verify.
    #[error("use authority's certificate")]
    Authority {
        /// Why not.
        #[source]
        source: CertificateError,
    },
    /// An authority cannot be used to sign.
    #[error("use signing authority")]
    Signer {
        /// Why not.
        #[source]
        source: IssueError,
    },
    /// The directory's authority is none of the cluster's.
    #[error("{} is the authority of another cluster", path.display())]
    OtherCluster {
        /// Its certificate.
        path: PathBuf,
    },
    /// The time cannot stand in a certificate.
    #[error("clock is outside the years of certificates")]
    Clock,
}

impl ServerNames {
    /// The names that every cluster's server has: `kubernetes.default.svc` and so on, this
    /// machine, the service's address; and those given.
    pub fn standard(url: &str, service_ip: IpAddr, cluster_domain: &str, more: &[String]) -> Self {
        let mut names = Self { url: url.to_owned(), ..Self::default() };
        let service = "kubernetes.default.svc";
        for name in ["kubernetes", "kubernetes.default", service, "localhost"] {
            names.dns.push(name.to_owned());
        }
        names.dns.push(format!("{service}.{cluster_domain}"));
        names.ips.extend([IpAddr::from([127, 0, 0, 1]), IpAddr::from([0, 0, 0, 0, 0, 0, 0, 1]), service_ip]);
        for name in more {
            match name.parse() {
                Ok(ip) => names.ips.push(ip),
                Err(_) => names.dns.push(name.to_ascii_lowercase()),
            }
        }
        names.dns.sort();
        names.dns.dedup();
        names.ips.sort();
        names.ips.dedup();
        names
    }
}

impl Pki {
    /// What an authenticator believes with these keys: certificates of the client and front
    /// proxy authorities, and tokens of `issuer`.
    pub fn authentication(&self, issuer: &str, audiences: &[String]) -> Result<Config, PkiError> {
        let authorities = |pair: &KeyPair| {
            Authorities::from_pem(pair.certificate.as_bytes())
                .map_err(|source| PkiError::Authority { source })
        };
        let proxies = authorities(&self.front_proxy_ca)?;
        let key = self.token_key()?;
        Ok(Config {
            client_authorities: Some(authorities(&self.client_ca)?),
            request_header: Some(RequestHeader::new(proxies, vec![FRONT_PROXY.to_owned()])),
            service_account_keys: vec![key.public().clone()],
            issuers: vec![issuer.to_owned()],
            audiences: audiences.to_vec(),
            ..Config::default()
        })
    }

    /// Who makes tokens of service accounts.
    pub fn token_maker(&self, issuer: &str, audiences: &[String]) -> Result<Maker, PkiError> {
        Ok(Maker {
            key: self.token_key()?,
            url: issuer.to_owned(),
            audiences: audiences.to_vec(),
            expiration_max_seconds: None,
        })
    }

    /// Who signs requests for certificates.
    pub fn signers(&self, lifetime_seconds: i64) -> Result<Signers, PkiError> {
        Ok(Signers { client: signer(&self.client_ca)?, serving: signer(&self.server_ca)?, lifetime_seconds })
    }

    /// The config map in `kube-system` that aggregated servers read to believe the same clients.
    pub fn extension_config_map(&self) -> Value {
        let list = |name: &str| json!([name]).to_string();
        json!({
            "apiVersion": "v1", "kind": "ConfigMap",
            "metadata": {"name": "extension-apiserver-authentication", "namespace": "kube-system"},
            "data": {
                "client-ca-file": self.client_ca.certificate,
                "requestheader-client-ca-file": self.front_proxy_ca.certificate,
                "requestheader-allowed-names": list(FRONT_PROXY),
                "requestheader-username-headers": list("X-Remote-User"),
                "requestheader-uid-headers": list("X-Remote-Uid"),
                "requestheader-group-headers": list("X-Remote-Group"),
                "requestheader-extra-headers-prefix": list("X-Remote-Extra-"),
            },
        })
    }

    fn token_key(&self) -> Result<SigningKey, PkiError> {
        let key = |source| PkiError::Key { path: PathBuf::from(TOKEN_KEY), source };
        SigningKey::from_pem(self.service_account_key.as_bytes()).map_err(key)
    }
}

fn signer(authority: &KeyPair) -> Result<Signer, PkiError> {
    Signer::from_pem(authority.certificate.as_bytes(), authority.key.as_bytes())
        .map_err(|source| PkiError::Signer { source })
}

/// Loads what is in the directory, makes what is missing, broken or about to expire, and
/// writes the administrator's kubeconfig.
pub fn ensure(directory: &Path, names: &ServerNames, now: Timestamp) -> Result<Pki, PkiError> {
    ensure_all(&Directory::open(directory)?, names, now, None)
}

/// The same by authorities that the cluster's servers have in common: none is made here.
pub fn ensure_by(
    common: &Common,
    directory: &Path,
    names: &ServerNames,
    now: Timestamp,
) -> Result<Pki, PkiError> {
    let directory = Directory::open(directory)?;
    common.install(&directory)?;
    ensure_all(&directory, names, now, Some(common))
}

fn ensure_all(
    directory: &Directory,
    names: &ServerNames,
    now: Timestamp,
    common: Option<&Common>,
) -> Result<Pki, PkiError> {
    let mut made = Vec::new();
    let mut look_again_at = now.as_second().saturating_add(LOOK_AGAIN_SECONDS_MAX);
    let mut pairs = Vec::new();
    for item in Item::ALL {
        let pair = match common.and_then(|common| common.authority(*item)) {
            Some(authority) => authority,
            None => ensure_item(directory, *item, names, &pairs, now, &mut made)?,
        };
        if let Some(known) = pair.known(*item, issuer_of(*item, &pairs)) {
            look_again_at = look_again_at.min(known.renew_at());
        }
        pairs.push(pair);
    }
    let service_account_key = match common {
        Some(common) => common.service_account_key().to_owned(),
        None => service_account_key::ensure(directory)?,
    };
    let pair = |item: Item| pairs.get(item.index()).map(|pair| pair.to_key_pair()).unwrap_or_default();
    let (server_ca, admin) = (pair(Item::ServerCa), pair(Item::Admin));
    let text = kubeconfig::kubeconfig(&names.url, &server_ca.certificate, &admin.certificate, &admin.key);
    directory.write_if_other("admin.kubeconfig", &text)?;
    Ok(Pki {
        server_ca,
        admin,
        client_ca: pair(Item::ClientCa),
        front_proxy_ca: pair(Item::FrontProxyCa),
        serving: pair(Item::Serving),
        front_proxy_client: pair(Item::FrontProxyClient),
        kubelet_client: pair(Item::KubeletClient),
        service_account_key,
        admin_kubeconfig: directory.path("admin.kubeconfig"),
        made,
        look_again_at: Timestamp::from_second(look_again_at).map_err(|_| PkiError::Clock)?,
    })
}

fn ensure_item(
    directory: &Directory,
    item: Item,
    names: &ServerNames,
    before: &[Pair],
    now: Timestamp,
    made: &mut Vec<(Item, Why)>,
) -> Result<Pair, PkiError> {
    let found = Pair::read(directory, item)?;
    let issuer = issuer_of(item, before);
    let known = found.as_ref().and_then(|pair| pair.known(item, issuer));
    let why = plan::why_make(item, known.as_ref(), names, now.as_second());
    if let (Some(_), Some(pair), None) = (&known, &found, why) {
        return Ok(pair.clone());
    }
    let pair = make::make(item, issuer, names, found.as_ref(), now)?;
    pair.write(directory, item)?;
    made.push((item, why.unwrap_or(Why::Missing)));
    Ok(pair)
}

fn issuer_of(item: Item, pairs: &[Pair]) -> Option<&Pair> {
    item.issuer().and_then(|issuer| pairs.get(issuer.index()))
}

/// Never the key.
impl std::fmt::Debug for KeyPair {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeyPair").field("certificate", &self.certificate).finish_non_exhaustive()
    }
}

/// Never the keys.
impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("made", &self.made)
            .field("look_again_at", &self.look_again_at)
            .finish_non_exhaustive()
    }
}

const TOKEN_KEY: &str = "service-account.key";
/// The name in the front proxy's certificate.
const FRONT_PROXY: &str = "front-proxy-client";
/// Even if nothing expires soon, somebody may have changed the files.
const LOOK_AGAIN_SECONDS_MAX: i64 = 24 * 3600;
