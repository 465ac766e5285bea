//! Keys and certificates: made at the first start, renewed before they expire, and the
//! administrator's kubeconfig.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::aggregate::{Aggregator, Identity};
use apiserver::http::{ServeError, TlsMaterial, server_config};
use apiserver::nodes::Nodes;
use auth::Authenticator;
use auth::pki::{self, KeyPair, Pki, PkiError, ServerNames};
use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::watch;

use super::Args;
use crate::error::CliError;
use crate::files::{host_name, write_secret};

/// The longest between two looks at the certificates: the machine may have slept.
const LOOK_MAX: Duration = Duration::from_secs(12 * 60 * 60);

/// What the keys are made for.
#[derive(Clone)]
pub(super) struct Keys {
    directory: PathBuf,
    names: ServerNames,
    kubeconfigs: Vec<PathBuf>,
}

/// Who signs service account tokens, and whom they are for.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

impl Keys {
    /// For a server that listens at `port` and is reached at `advertised`.
    pub(super) fn new(args: &Args, data: &Path, port: u16, advertised: IpAddr) -> Self {
        let url = SocketAddr::new(local(args.bind_address), port);
        let mut names = args.tls_san.clone();
        names.push(advertised.to_string());
        names.extend(host_name());
        if !args.bind_address.is_unspecified() {
            names.push(args.bind_address.to_string());
        }
        let service = args.service_cidr.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |range| range.at(1));
        let names =
            ServerNames::standard(&format!("https://{url}"), service, &args.node.cluster_domain, &names);
        let own = data.join("admin.kubeconfig");
        let kubeconfigs = std::iter::once(own).chain(args.write_kubeconfig.clone()).collect();
        Self { directory: data.join("pki"), names, kubeconfigs }
    }

    /// The addresses that the server's certificate is for.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        &self.names.ips
    }

    /// Where clients on this machine reach the server.
    pub(super) fn url(&self) -> &str {
        &self.names.url
    }

    /// The administrator's kubeconfig that the user is told of.
    pub(super) fn kubeconfig(&self) -> Option<&Path> {
        self.kubeconfigs.last().map(PathBuf::as_path)
    }

    /// Loads the keys, makes what is missing or about to expire, and writes the kubeconfigs.
    pub(super) fn ensure(&self) -> Result<Pki, CliError> {
        let pki = pki::ensure(&self.directory, &self.names, Timestamp::now())?;
        let text = fs::read(&pki.admin_kubeconfig)
            .map_err(|error| file_error("read", &pki.admin_kubeconfig, &error))?;
        for path in &self.kubeconfigs {
            write_secret(path, &text).map_err(|error| file_error("write", path, &error))?;
        }
        Ok(pki)
    }

    /// Renews certificates in time, until the shutdown.
    pub(super) async fn renewal(
        self,
        first_look: Timestamp,
        tls: watch::Sender<Arc<ServerConfig>>,
        (authenticator, aggregator, nodes): (Arc<Authenticator>, Arc<Aggregator>, Arc<Nodes>),
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut look_at = first_look;
        loop {
            let left = look_at.as_second().saturating_sub(Timestamp::now().as_second()).max(60);
            let wait = Duration::from_secs(u64::try_from(left).unwrap_or(60)).min(LOOK_MAX);
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = client::asked_to_end(&mut shutdown) => return,
            }
            let keys = self.clone();
            let Ok(Ok(pki)) = tokio::task::spawn_blocking(move || keys.ensure()).await else { continue };
            look_at = pki.look_again_at;
            if let Ok(config) = tls_config(&pki) {
                tls.send_replace(config);
            }
            if let Ok(config) = authentication(&pki) {
                authenticator.reconfigure(config);
            }
            let KeyPair { certificate, key } = pki.front_proxy_client;
            aggregator.show(Identity { certificate, key });
            let KeyPair { certificate, key } = pki.kubelet_client;
            nodes.show(&Identity { certificate, key });
        }
    }
}

/// What the server believes.
pub(super) fn authentication(pki: &Pki) -> Result<auth::authn::Config, PkiError> {
    pki.authentication(ISSUER, &audiences())
}

/// Whom tokens are for that name nobody.
pub(super) fn audiences() -> Vec<String> {
    vec![ISSUER.to_owned()]
}

/// What the server shows.
pub(super) fn tls_config(pki: &Pki) -> Result<Arc<ServerConfig>, ServeError> {
    server_config(&TlsMaterial {
        certificates: pki.serving.certificate.clone().into_bytes(),
        key: pki.serving.key.clone().into_bytes(),
        client_authorities: pki.client_ca.certificate.clone().into_bytes(),
    })
}

fn local(bound: IpAddr) -> IpAddr {
    if bound.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound }
}

fn file_error(operation: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::message(format!("{operation} {}: {error}", path.display()))
}
