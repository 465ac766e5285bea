//! The kubelet's own server: with a certificate of the cluster, for the API server and whoever may.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auth::csr::Wanted;
use auth::pki::KeyPair;
use client::{Api, Mirror};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use kube_object::resource::GroupResource;
use kubelet::Handle;
use kubelet::server::{Access, Config, Listener, Server, TlsMaterial, server_config};
use rustls::ServerConfig;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Node;
use super::identity::Certificate;
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
        let mut pair = tokio::select! {
            pair = async {
                registered(mirror.as_ref(), &serving.certificate.node).await;
                serving.first().await
            } => pair,
            () = client::asked_to_end(&mut shutdown) => return,
        };
        let tls = match serving.tls(&pair) {
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
        let renewed = async {
            loop {
                tokio::time::sleep(Certificate::renew_in(&pair, Timestamp::now())).await;
                if let Ok(next) = serving.certificate.obtain(serving.api.as_ref()).await
                    && let Ok(tls) = serving.tls(&next)
                {
                    pair = next;
                    newest.send_replace(tls);
                }
            }
        };
        tokio::select! {
            () = served => {}
            never = renewed => never,
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

impl Serving {
    /// The certificate of an earlier start, or one that the cluster signs now.
    async fn first(&self) -> KeyPair {
        loop {
            if let Some(pair) = self.certificate.load(Timestamp::now(), false) {
                return pair;
            }
            match self.certificate.obtain(self.api.as_ref()).await {
                Ok(pair) => return pair,
                Err(error) => self.notices.warn(format_args!("the kubelet's server: {error}")),
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    fn tls(&self, pair: &KeyPair) -> Result<Arc<ServerConfig>, CliError> {
        Ok(server_config(&TlsMaterial {
            certificates: pair.certificate.clone().into_bytes(),
            key: pair.key.clone().into_bytes(),
            client_authorities: self.authority.clone().into_bytes(),
        })?)
    }
}

/// Between two requests for a certificate.
const AGAIN: Duration = Duration::from_secs(5);
