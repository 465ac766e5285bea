//! Keys and certificates: made at the first start, renewed before they expire, and the
//! administrator's kubeconfig.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use apiserver::aggregate::Identity;
use apiserver::compose::Composed;
use apiserver::http::PROTOCOLS;
use auth::authn::{TlsError, TlsMaterial, server_config};
use auth::pki::{self, KeyPair, Pki, PkiError, ServerNames};
use jiff::Timestamp;
use rustls::ServerConfig;
use store::Watch;
use tokio::sync::watch;

use super::Args;
use super::loops::Held;
use super::shared::Shared;
use crate::error::CliError;
use crate::files::{host_name, write_secret};

/// The longest between two looks at the certificates: the machine may have slept.
const LOOK_MAX: Duration = Duration::from_secs(12 * 60 * 60);
/// The least between two looks of which the first found no way.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What the keys are made for.
#[derive(Clone)]
pub(super) struct Keys {
    directory: PathBuf,
    names: ServerNames,
    kubeconfigs: Vec<PathBuf>,
    shared: Option<Arc<Shared>>,
}

/// Who signs service account tokens, and whom they are for.
pub(super) const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";

impl Keys {
    /// For a server that listens at `port` and is reached at `advertised`.
    pub(super) fn new(args: &Args, data: &Path, advertised: SocketAddr, shared: Option<Arc<Shared>>) -> Self {
        let url = SocketAddr::new(local(args.bind_address), advertised.port());
        let mut names = args.tls_san.clone();
        names.push(advertised.ip().to_string());
        names.extend(host_name());
        if !args.bind_address.is_unspecified() {
            names.push(args.bind_address.to_string());
        }
        let service = args.service_cidr.first().map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |range| range.at(1));
        let names =
            ServerNames::standard(&format!("https://{url}"), service, &args.node.cluster_domain, &names);
        let own = data.join("admin.kubeconfig");
        let kubeconfigs = std::iter::once(own).chain(args.write_kubeconfig.clone()).collect();
        Self { directory: data.join("pki"), names, kubeconfigs, shared }
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
    pub(super) async fn ensured(&self) -> Result<Pki, CliError> {
        let keys = self.clone();
        tokio::task::spawn_blocking(move || keys.ensure()).await?
    }

    fn ensure(&self) -> Result<Pki, CliError> {
        let now = Timestamp::now();
        let pki = match &self.shared {
            None => pki::ensure(&self.directory, &self.names, now)?,
            Some(shared) => {
                let common = shared.agree(&self.directory, now)?;
                pki::ensure_by(&common, &self.directory, &self.names, now).map_err(other_cluster)?
            }
        };
        let text = fs::read(&pki.admin_kubeconfig)
            .map_err(|error| file_error("read", &pki.admin_kubeconfig, &error))?;
        for path in &self.kubeconfigs {
            write_secret(path, &text).map_err(|error| file_error("write", path, &error))?;
        }
        Ok(pki)
    }

    /// Renews certificates in time and has them shown, until the shutdown; also when another server has
    /// renewed what all of them share.
    pub(super) async fn renewal(
        self,
        first_look: Timestamp,
        show: impl Fn(Pki),
        mut shutdown: watch::Receiver<bool>,
    ) {
        let mut look_at = Some(first_look);
        let mut shared = None;
        loop {
            let left = look_at.map(|at| at.as_second().saturating_sub(Timestamp::now().as_second()).max(1));
            let wait = left.and_then(|left| u64::try_from(left).ok()).map_or(LOOK_AGAIN, Duration::from_secs);
            if shared.is_none() {
                shared = self.follow().await;
            }
            tokio::select! {
                () = tokio::time::sleep(wait.min(LOOK_MAX)) => {}
                () = changed(&mut shared) => {}
                () = client::asked_to_end(&mut shutdown) => return,
            }
            let pki = self.ensured().await.ok();
            look_at = pki.as_ref().map(|pki| pki.look_again_at).filter(|at| *at > Timestamp::now());
            if let Some(pki) = pki {
                show(pki);
            }
        }
    }

    /// What the servers share, as it changes from now on.
    async fn follow(&self) -> Option<Box<dyn Watch>> {
        let shared = Arc::clone(self.shared.as_ref()?);
        let followed = tokio::task::spawn_blocking(move || shared.watch()).await;
        followed.ok().and_then(Result::ok)
    }
}

/// Returns when something has changed; a watch that broke off is none any more.
async fn changed(watch: &mut Option<Box<dyn Watch>>) {
    let Some(open) = watch else { return std::future::pending().await };
    if std::future::poll_fn(|context| open.poll_next(context)).await.is_err() {
        *watch = None;
        // The caller looks at once, and no more often than this while the datastore is away.
        tokio::time::sleep(LOOK_AGAIN).await;
    }
}

/// Has all parts of the server show its new certificates and believe in its new authorities.
pub(super) fn show(pki: Pki, tls: &watch::Sender<Arc<ServerConfig>>, composed: &Composed, held: &Held) {
    if let Ok(config) = tls_config(&pki) {
        tls.send_replace(config);
    }
    if let Ok(config) = authentication(&pki) {
        composed.authenticator.reconfigure(config);
    }
    held.renew(&pki);
    let KeyPair { certificate, key } = pki.front_proxy_client;
    composed.aggregator.show(Identity { certificate, key });
    let KeyPair { certificate, key } = pki.kubelet_client;
    composed.nodes.show(&Identity { certificate, key });
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
pub(super) fn tls_config(pki: &Pki) -> Result<Arc<ServerConfig>, TlsError> {
    let material = TlsMaterial {
        certificates: pki.serving.certificate.clone().into_bytes(),
        key: pki.serving.key.clone().into_bytes(),
        client_authorities: pki.client_ca.certificate.clone().into_bytes(),
    };
    server_config(&material, PROTOCOLS)
}

fn local(bound: IpAddr) -> IpAddr {
    if bound.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { bound }
}

fn other_cluster(error: PkiError) -> CliError {
    let is_other = matches!(error, PkiError::OtherCluster { .. });
    let error = CliError::from(error);
    if is_other {
        return error
            .with_fix("name an empty directory with --data-dir to be a server of the datastore's cluster");
    }
    error
}

fn file_error(operation: &str, path: &Path, error: &io::Error) -> CliError {
    CliError::message(format!("{operation} {}: {error}", path.display()))
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    /// What was made so long ago that it has to be renewed a moment from now is, while the server runs.
    #[tokio::test]
    async fn certificates_are_renewed_while_the_server_runs() {
        let home = std::env::temp_dir().join(format!("strake-keys-{}", std::process::id()));
        let names = ServerNames::standard("https://127.0.0.1:1", IpAddr::V4(Ipv4Addr::LOCALHOST), "x", &[]);
        let keys =
            Keys { directory: home.join("pki"), names, kubeconfigs: vec![home.join("admin")], shared: None };
        let first = pki::ensure(&keys.directory, &keys.names, Timestamp::now()).unwrap();
        let left = renewal_of(&first).duration_since(Timestamp::now());
        let ago = Timestamp::now() - left + SignedDuration::from_secs(3);
        fs::remove_dir_all(&home).unwrap();
        let old = pki::ensure(&keys.directory, &keys.names, ago).unwrap();
        let begun = keys.ensure().unwrap();
        assert_eq!(begun.serving, old.serving, "it is not time yet");
        let (shown, mut show) = tokio::sync::mpsc::unbounded_channel();
        let (_end, ended) = watch::channel(false);
        let show_to = move |pki| drop(shown.send(pki));
        let renewed = tokio::spawn(keys.clone().renewal(begun.look_again_at, show_to, ended));
        let mut newest: Pki = tokio::time::timeout(PATIENCE, show.recv()).await.unwrap().unwrap();
        while newest.serving == old.serving {
            newest = tokio::time::timeout(PATIENCE, show.recv()).await.unwrap().unwrap();
        }
        assert_ne!(newest.admin, old.admin);
        assert_eq!(newest.server_ca, old.server_ca);
        let kubeconfig = fs::read(home.join("admin")).unwrap();
        assert_eq!(kubeconfig, fs::read(&newest.admin_kubeconfig).unwrap());
        renewed.abort();
        fs::remove_dir_all(home).unwrap();
    }

    /// When its serving certificate is renewed.
    fn renewal_of(pki: &Pki) -> Timestamp {
        let (begins, ends) = auth::csr::validity(&pki.serving.certificate).unwrap();
        Timestamp::from_second(ends - (ends - begins) / 3).unwrap()
    }
}
