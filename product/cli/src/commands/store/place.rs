//! Where a store is: the options that its commands share.

use std::fs;
use std::path::{Path, PathBuf};

use store::{DIRECTORY_NAME, Etcd, EtcdConfig, Online, Report};

use crate::context::Context;
use crate::error::CliError;

/// Which server's store.
#[derive(Debug, clap::Args)]
pub struct Place {
    /// The server's data directory (default: server, in the data root)
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

impl Place {
    /// The server's data directory.
    pub fn directory(&self, context: &Context) -> PathBuf {
        self.data_dir.clone().unwrap_or_else(|| context.root.join("server"))
    }

    /// The embedded store's directory.
    pub fn store(&self, context: &Context) -> PathBuf {
        self.directory(context).join(DIRECTORY_NAME)
    }

    /// The embedded store's directory, which must be there.
    pub fn existing(&self, context: &Context) -> Result<PathBuf, CliError> {
        let store = self.store(context);
        if store.exists() {
            return Ok(store);
        }
        let message = format!("{} does not exist", store.display());
        Err(CliError::message(message).with_fix(
            "name the server's directory with --data-dir; what a server keeps in etcd, etcdctl saves",
        ))
    }

    /// The server that has the store open, if one runs.
    pub fn online(&self, context: &Context) -> Result<Option<Online>, CliError> {
        Ok(Online::connect(&self.directory(context))?)
    }
}

/// How etcd is reached.
#[derive(Debug, clap::Args)]
pub struct EtcdOptions {
    /// Certificates of those who sign etcd's (PEM)
    #[arg(long, value_name = "FILE")]
    pub etcd_cafile: Option<PathBuf>,
    /// Our certificate for etcd (PEM)
    #[arg(long, value_name = "FILE", requires = "etcd_keyfile")]
    pub etcd_certfile: Option<PathBuf>,
    /// Its key (PEM)
    #[arg(long, value_name = "FILE", requires = "etcd_certfile")]
    pub etcd_keyfile: Option<PathBuf>,
}

impl EtcdOptions {
    /// Connects to the cluster of these endpoints.
    pub fn connect(&self, endpoints: &[String]) -> Result<Etcd, CliError> {
        let identity = match (&self.etcd_certfile, &self.etcd_keyfile) {
            (Some(certificate), Some(key)) => Some((read(certificate)?, read(key)?)),
            _ => None,
        };
        let ca = self.etcd_cafile.as_deref().map(read).transpose()?;
        let tls = ca.is_some() || identity.is_some();
        let endpoints = endpoints.iter().map(|endpoint| url(endpoint, tls)).collect();
        Ok(Etcd::connect(&EtcdConfig { endpoints, ca, identity })?)
    }
}

/// A member's address as a URL: `etcd://HOST:PORT` and `HOST:PORT` are reached with TLS where its files are named.
fn url(endpoint: &str, tls: bool) -> String {
    let scheme = if tls { "https" } else { "http" };
    match endpoint.split_once("://") {
        Some(("etcd", address)) => format!("{scheme}://{address}"),
        Some(_) => endpoint.to_owned(),
        None => format!("{scheme}://{endpoint}"),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, CliError> {
    fs::read(path).map_err(|error| CliError::message(format!("read {}: {error}", path.display())))
}

/// One line about a store's content.
pub fn describe(report: &Report) -> String {
    format!(
        "revision {}, oldest kept {}, {} keys, {} records, {} leases",
        report.revision, report.compacted, report.keys, report.rows, report.leases
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_named_with_and_without_a_scheme() {
        for (endpoint, tls, expected) in [
            ("etcd://10.0.0.1:2379", false, "http://10.0.0.1:2379"),
            ("etcd://10.0.0.1:2379", true, "https://10.0.0.1:2379"),
            ("db.example:2379", true, "https://db.example:2379"),
            ("http://127.0.0.1:2379", true, "http://127.0.0.1:2379"),
            ("https://127.0.0.1:2379", false, "https://127.0.0.1:2379"),
        ] {
            assert_eq!(url(endpoint, tls), expected, "{endpoint}");
        }
    }
}
