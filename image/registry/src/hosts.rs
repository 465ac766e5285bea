//! containerd's `hosts.toml`: which hosts serve a registry, in which order.
//!
//! A directory has a folder per registry (`docker.io`, `host:port`, `host_port_`)
//! and perhaps `_default`. Without a `hosts.toml` a folder may hold docker's
//! `*.crt` (CA) and `*.cert`/`*.key` (client) files.

mod parse;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use base::{Classified, ErrorClass};

use crate::endpoint::{Endpoint, Tls, is_loopback};

/// Where registries' hosts are configured.
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Directories in containerd's form; the first that knows a registry wins.
    pub directories: Vec<PathBuf>,
    /// Registries (`host` or `host:port`) that may be spoken to without TLS and
    /// without verifying certificates.
    pub insecure: Vec<String>,
}

/// A registry's configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum HostsError {
    /// A file cannot be read.
    #[error("read {path}, which configures registry {registry}")]
    Read {
        /// Which file.
        path: PathBuf,
        /// For which registry.
        registry: String,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The file is not TOML.
    #[error("{path} is not valid TOML")]
    Syntax {
        /// Which file.
        path: PathBuf,
        /// Where and why.
        #[source]
        source: Box<toml::de::Error>,
    },
    /// A value is not what hosts.toml allows.
    #[error("{path}: {key} {problem}")]
    Value {
        /// Which file.
        path: PathBuf,
        /// Which key.
        key: String,
        /// What is wrong and what is right.
        problem: String,
    },
    /// A certificate or key cannot be used.
    #[error("certificate file {path} cannot be used: {problem}")]
    Certificate {
        /// Which file.
        path: PathBuf,
        /// Why not.
        problem: String,
    },
    /// The name cannot be made into an address.
    #[error("registry name {registry:?} is not a host name with an optional port")]
    Name {
        /// What was given.
        registry: String,
    },
}

impl Classified for HostsError {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Read { source, .. } => source.class(),
            _ => ErrorClass::Invalid,
        }
    }
}

impl Hosts {
    /// The hosts of `registry`, in the order to try them.
    pub fn endpoints(&self, registry: &str) -> Result<Vec<Endpoint>, HostsError> {
        for folder in self.directories.iter().flat_map(|directory| candidates(directory, registry)) {
            if !folder.is_dir() {
                continue;
            }
            let file = folder.join("hosts.toml");
            let text = match fs::read_to_string(&file) {
                Ok(text) => text,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    return Ok(vec![Endpoint {
                        tls: self.tls_of(&folder, registry)?,
                        ..self.own(registry)?
                    }]);
                }
                Err(source) => {
                    return Err(HostsError::Read { path: file, registry: registry.to_owned(), source });
                }
            };
            return parse::hosts_toml(&text, &file, self.own(registry)?);
        }
        Ok(vec![self.own(registry)?])
    }

    fn own(&self, registry: &str) -> Result<Endpoint, HostsError> {
        let mut endpoint = Endpoint::of_registry(registry)
            .ok_or_else(|| HostsError::Name { registry: registry.to_owned() })?;
        if self.insecure.iter().any(|name| name == registry) {
            endpoint.tls.skip_verify = true;
            endpoint.plain_http_fallback = true;
        }
        Ok(endpoint)
    }

    /// Docker's `certs.d/<registry>/` with bare certificate files.
    fn tls_of(&self, folder: &Path, registry: &str) -> Result<Tls, HostsError> {
        let read =
            |source| HostsError::Read { path: folder.to_owned(), registry: registry.to_owned(), source };
        let mut files = Vec::new();
        for entry in fs::read_dir(folder).map_err(read)? {
            files.push(entry.map_err(read)?.path());
        }
        files.sort();
        let with = |extension: &str| {
            let fits = move |path: &&PathBuf| path.extension().is_some_and(|found| found == extension);
            files.iter().filter(fits).cloned().collect::<Vec<_>>()
        };
        let ca = with("crt");
        let client =
            with("cert").into_iter().map(|cert| (cert.clone(), cert.with_extension("key"))).collect();
        let skip_verify =
            (is_loopback(registry) && ca.is_empty()) || self.insecure.iter().any(|name| name == registry);
        Ok(Tls { ca, client, skip_verify })
    }
}

/// The folders that may be meant by a registry's name, best first.
fn candidates(directory: &Path, registry: &str) -> Vec<PathBuf> {
    let mut names = Vec::new();
    // The name has been parsed as a domain; still nothing may climb out of the directory.
    if !registry.contains('/') && !registry.starts_with('.') {
        names.push(registry.to_owned());
        if let Some((host, port)) = registry.rsplit_once(':') {
            names.push(format!("{host}_{port}_"));
        }
    }
    names.push("_default".to_owned());
    names.into_iter().map(|name| directory.join(name)).collect()
}
