//! The kubelet's own server: with a certificate of the cluster, for the API server and whoever may.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auth::authn::{TlsMaterial, server_config};
use auth::csr::Wanted;
use auth::pki::KeyPair;
use client::{Api, BoxFuture, Mirror};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use kube_object::resource::GroupResource;
use kubelet::Handle;
use kubelet::server::{Access, Config, Listener, PROTOCOLS, Server};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Node;
use super::identity::{Certificate, Holder, keep_new};
use crate::error::CliError;
use crate::notices::Notices;

/// Serves from when the node has its certificate, which it renews, until the shutdown.
pub(super) fn run(
    node: &Node,
    handle: Handle,
    mut shutdown: watch::Receiver<bool>,
) -> Result<impl Future<Output = ()> + Send + 'static, CliError> {
    let name = node.args.name();
    let certificate = Certificate {
        directory: node.directory.join("pki"),
        name: "kubelet",
        node: name.clone(),
        wanted: Wanted::Serving { dns: vec![name], ips: vec![node.address()] },
    };
    std::fs::create_dir_all(&certificate.directory)?;
    let (_, authorities) = watch::channel(node.client_authority.clone().into_bytes());
    let config = Config {
        node: Arc::new(handle),
        access: Access::new(Arc::clone(&node.api), authorities)?,
        configuration: json!({}),
        root: node.directory.clone(),
    };
    let address = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), node.args.kubelet_port);
    let serving = Serving {
        api: Arc::clone(&node.api),
        authority: node.client_authority.clone(),
        notices: node.notices.clone(),
        certificate,
    };
    let mirror = Arc::clone(&node.mirror);
    Ok(async move {
        let server = Server::new(config, shutdown.clone());
        let first = tokio::select! {
            first = async {
                registered(mirror.as_ref(), &serving.certificate.node).await;
                serving.first().await
            } => first,
            () = client::asked_to_end(&mut shutdown) => return,
        };
        let tls = match serving.tls(&first.0) {
            Ok(tls) => tls,
            Err(error) => return serving.notices.warn(format_args!("the kubelet's server: {error}")),
        };
        let (newest, tls) = watch::channel(tls);
        let socket = match TcpListener::bind(address).await {
            Ok(socket) => socket,
            Err(error) => {
                return serving
                    .notices
                    .warn(format_args!("the kubelet's server: listen at {address}: {error}"));
            }
        };
        let served = server.serve(Listener { socket, tls });
        let shown = Shown { serving: &serving, newest };
        let renewed = keep_new(&shown, first, &serving.notices);
        tokio::select! {
            () = served => {}
            never = renewed => match never {},
        }
    })
}

/// Returns when the control plane sees the node with its addresses, which its certificate is for.
async fn registered(mirror: &dyn Mirror, name: &str) {
    let nodes = GroupResource::new("", "nodes");
    let mut changes = mirror.changes(&nodes);
    let has_addresses = || {
        let node = mirror.item(&nodes, "", name).map(|item| item.value());
        let addresses = node.as_ref().and_then(|node| node.pointer("/status/addresses")?.as_array());
        addresses.is_some_and(|addresses| !addresses.is_empty())
    };
    while !has_addresses() && changes.next().await.is_some() {}
}

struct Serving {
    api: Arc<dyn Api>,
    authority: String,
    notices: Notices,
    certificate: Certificate,
}

/// The same with the server that it is for.
struct Shown<'a> {
    serving: &'a Serving,
    newest: watch::Sender<Arc<ServerConfig>>,
}

impl Holder for Shown<'_> {
    fn certificate(&self) -> &Certificate {
        &self.serving.certificate
    }

    fn obtain(&self) -> BoxFuture<'_, Result<KeyPair, CliError>> {
        Box::pin(self.serving.certificate.obtain(self.serving.api.as_ref()))
    }

    fn show(&self, pair: &KeyPair) -> Result<(), CliError> {
        self.newest.send_replace(self.serving.tls(pair)?);
        Ok(())
    }
}

impl Serving {
    /// The certificate of an earlier start, or one that the cluster signs now; and whether it is that.
    async fn first(&self) -> (KeyPair, bool) {
        loop {
            let kept = self.certificate.load(Timestamp::now());
            if let Some(pair) = kept.filter(|pair| self.tls(pair).is_ok()) {
                return (pair, false);
            }
            match self.certificate.obtain(self.api.as_ref()).await {
                Ok(pair) => return (pair, true),
                Err(error) => self.notices.warn(format_args!("the kubelet's server: {error}")),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn tls(&self, pair: &KeyPair) -> Result<Arc<ServerConfig>, CliError> {
        let material = TlsMaterial {
            certificates: pair.certificate.clone().into_bytes(),
            key: pair.key.clone().into_bytes(),
            client_authorities: self.authority.clone().into_bytes(),
        };
        Ok(server_config(&material, PROTOCOLS)?)
    }
}

/// Between two requests for a certificate.
const AGAIN: Duration = Duration::from_secs(5);
