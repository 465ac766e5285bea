//! The way to nodes: logs, exec, attach, port-forward and proxies, carried to the kubelet's own
//! server over TLS, with the certificate that kubelets know as the API server's.
//!
//! What the kubelet is asked is its own grammar (`query`); upgraded connections are joined byte
//! for byte, so that a client and a node may speak any sub-protocol that both know.

mod log;
mod place;
mod query;

use std::sync::{Arc, PoisonError, RwLock};

use client::BoxFuture;
use client::http::{Identity, Trust, client_config};
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use kube_object::cluster::Cluster;
use kube_object::resource::GroupResource;
use kube_object::status::Status;
use rustls::ClientConfig;
use tokio::sync::watch;

use crate::aggregate::{Direct, ForwardError, Way, forward, server_name};
use crate::registry::{NodeBody, NodeProxy, NodeRequest, NodeTarget, PodPlace};

/// Leads to nodes that have no address which this server can reach.
pub trait Tunnels: Send + Sync {
    /// Host and port on this machine behind which the node's kubelet answers, if there is a tunnel.
    fn way(&self, node: &str) -> Option<String>;
}

/// With whom nodes are spoken to.
pub struct NodesConfig {
    /// Where nodes are looked up.
    pub cluster: Arc<dyn Cluster>,
    /// What kubelets are shown.
    pub identity: Identity,
    /// Who signs kubelets' serving certificates, in PEM.
    pub authorities: String,
    /// Ways that are no addresses.
    pub tunnels: Option<Arc<dyn Tunnels>>,
    /// Connections end when it becomes true.
    pub shutdown: watch::Receiver<bool>,
}

/// Carries requests to nodes, and those to pods and services to their addresses.
pub struct Nodes {
    cluster: Arc<dyn Cluster>,
    authorities: String,
    tls: RwLock<Result<Arc<ClientConfig>, rustls::Error>>,
    tunnels: Option<Arc<dyn Tunnels>>,
    direct: Direct,
    shutdown: watch::Receiver<bool>,
}

impl Nodes {
    /// The ways to all nodes of a cluster.
    pub fn new(config: NodesConfig) -> Self {
        let tls = tls(&config.authorities, &config.identity);
        Self {
            cluster: config.cluster,
            authorities: config.authorities,
            tls: RwLock::new(tls),
            tunnels: config.tunnels,
            direct: Direct::new(config.shutdown.clone()),
            shutdown: config.shutdown,
        }
    }

    /// Shows another certificate from now on.
    pub fn show(&self, identity: &Identity) {
        let made = tls(&self.authorities, identity);
        *self.tls.write().unwrap_or_else(PoisonError::into_inner) = made;
    }

    /// The way to a node's kubelet.
    pub(crate) fn way(&self, node: &str) -> Result<Way, Status> {
        let nodes = GroupResource::new("", "nodes");
        let object = self.cluster.get(&nodes, "", node).ok_or_else(|| Status::not_found(&nodes, node))?;
        let config = self.tls.read().unwrap_or_else(PoisonError::into_inner).clone();
        let config = config.map_err(Status::internal)?;
        let place = place::of(&object);
        let tunnel = self.tunnels.as_ref().and_then(|tunnels| tunnels.way(node));
        let (address, host) = match (tunnel, place) {
            (Some(tunnel), place) => (tunnel, place.map_or_else(|| node.to_owned(), |place| place.host)),
            (None, Some(place)) => (place.address(), place.host),
            (None, None) => {
                return Err(Status::internal(format!(
                    "no preferred addresses found; known addresses: [] of node {node:?}"
                )));
            }
        };
        let name = server_name(&host)
            .ok_or_else(|| Status::internal(format!("node {node:?} has no address that TLS can name")))?;
        Ok(Way { host: address.clone(), address, tls: Some((config, name)) })
    }

    async fn carry(
        &self,
        target: NodeTarget,
        request: Request<Incoming>,
    ) -> Result<Response<NodeBody>, Status> {
        let asked = request.uri().query().unwrap_or_default();
        let path = match &target.kind {
            NodeRequest::Log { pod, container } => {
                let path = log::path(pod, container, asked)?;
                let way = self.way(&target.node)?;
                return log::serve(&way, &path, &pod.name, request, self.shutdown.clone()).await;
            }
            NodeRequest::Exec { pod, container } => command("exec", pod, container, asked),
            NodeRequest::Attach { pod, container } => command("attach", pod, container, asked),
            NodeRequest::PortForward { pod } => {
                let place = format!("/portForward/{}/{}", pod.namespace, pod.name);
                with_query(&place, &query::ports(asked))
            }
            NodeRequest::Proxy => with_query(if target.path.is_empty() { "/" } else { &target.path }, asked),
        };
        let way = self.way(&target.node)?;
        let answered = forward(&way, &path, request, HeaderMap::new(), None, self.shutdown.clone()).await;
        answered.map_err(|error| unreached(&error))
    }

    /// Where a proxy to a node leads that names a port which is not the kubelet's.
    fn elsewhere(&self, target: &NodeTarget) -> Option<String> {
        let port = target.address.strip_prefix(':')?;
        let object = self.cluster.get(&GroupResource::new("", "nodes"), "", &target.node)?;
        let place = place::of(&object).filter(|place| place.port.to_string() != port)?;
        Some(place::Place { port: port.parse().ok()?, ..place }.address())
    }
}

impl NodeProxy for Nodes {
    fn serve(&self, mut target: NodeTarget, request: Request<Incoming>) -> BoxFuture<'_, Response<NodeBody>> {
        Box::pin(async move {
            let to_address = !(target.address.is_empty() || target.address.starts_with(':'));
            if to_address {
                return self.direct.serve(target, request).await;
            }
            if let Some(address) = self.elsewhere(&target) {
                target.address = address;
                return self.direct.serve(target, request).await;
            }
            match self.carry(target, request).await {
                Ok(response) => response,
                Err(status) => refusal(&status),
            }
        })
    }
}

fn tls(authorities: &str, identity: &Identity) -> Result<Arc<ClientConfig>, rustls::Error> {
    client_config(&Trust::Authorities(authorities.as_bytes().to_vec()), Some(identity))
}

fn command(what: &str, pod: &PodPlace, container: &str, asked: &str) -> String {
    let place = format!("/{what}/{}/{}/{container}", pod.namespace, pod.name);
    with_query(&place, &query::command(asked))
}

fn with_query(path: &str, query: &str) -> String {
    if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") }
}

/// As upstream says that a kubelet does not answer.
fn unreached(error: &ForwardError) -> Status {
    Status::new(500, "", format!("error dialing backend: {}", error.words()))
}

fn refusal(status: &Status) -> Response<NodeBody> {
    let body = Full::from(status.to_value().to_string()).map_err(|never| match never {}).boxed();
    let mut response = Response::new(body);
    *response.status_mut() = http::StatusCode::from_u16(status.code).unwrap_or_default();
    let json = http::HeaderValue::from_static("application/json");
    response.headers_mut().insert(http::header::CONTENT_TYPE, json);
    response
}
