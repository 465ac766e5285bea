//! The way to a node: exec, attach, port-forward, logs and proxies are served where the pod runs.

use bytes::Bytes;
use client::BoxFuture;
use http_body_util::combinators::BoxBody;
use hyper::body::Incoming;

/// Where a request goes that this server does not answer itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeTarget {
    /// What it is about.
    pub kind: NodeRequest,
    /// The node that answers; empty where the way leads to an address instead.
    pub node: String,
    /// Host and port, for proxies to pods and services; `:PORT` for proxies to a node's own port.
    pub address: String,
    /// Whether the proxied server speaks TLS.
    pub tls: bool,
    /// The path behind `…/proxy`, with its slash.
    pub path: String,
}

/// What is asked of a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeRequest {
    /// `pods/exec`.
    Exec {
        /// The pod.
        pod: PodPlace,
        /// The container; chosen already where the request left it out.
        container: String,
    },
    /// `pods/attach`.
    Attach {
        /// The pod.
        pod: PodPlace,
        /// The container; chosen already where the request left it out.
        container: String,
    },
    /// `pods/portforward`.
    PortForward {
        /// The pod.
        pod: PodPlace,
    },
    /// `pods/log`.
    Log {
        /// The pod.
        pod: PodPlace,
        /// The container; chosen already where the request left it out.
        container: String,
    },
    /// `nodes/proxy`, `pods/proxy`, `services/proxy`.
    Proxy,
}

/// A pod on its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodPlace {
    /// The namespace.
    pub namespace: String,
    /// The name.
    pub name: String,
    /// The identity.
    pub uid: String,
}

/// The body of a node's answer.
pub type NodeBody = BoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// Carries requests to nodes. A server without nodes has one that refuses.
pub trait NodeProxy: Send + Sync {
    /// Sends the request on; upgrades are the implementation's to join.
    fn serve(
        &self,
        target: NodeTarget,
        request: http::Request<Incoming>,
    ) -> BoxFuture<'_, http::Response<NodeBody>>;
}
