//! The loops of the control plane, in the server's own process: they read its cache and call its verbs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use apiserver::compose::Composed;
use apiserver::{ApiServer, Cidr, LocalApi};
use auth::Authorizer;
use auth::csr::{Signers, Step, approve, approve_serving};
use auth::pki::{Pki, PkiError};
use client::http::{Credentials, Endpoint, Identity, Trust};
use client::{Api, HttpClient};
use controller::{Clock, Config, Election, Paths, Runtime, Signer, SystemClock};
use controllers::{NodeRange, NodeSettings, Settings};
use kube_object::cluster::Cluster;
use kube_object::user::User;
use serde_json::Value;

/// What the loops are told.
pub(super) struct Parts {
    /// With an identity they act only while they hold the Lease: servers that share a store must not all act.
    pub(super) identity: Option<String>,
    /// Where this server is reached.
    pub(super) url: String,
    /// The addresses in the API server's certificate.
    pub(super) reserved: Vec<IpAddr>,
    /// The user of the node in this process.
    pub(super) own_node: Option<String>,
    /// How long a node may be silent.
    pub(super) node_grace: Duration,
    /// The ranges of services' addresses.
    pub(super) services: Vec<Cidr>,
    /// Where nodes' ranges of pods' addresses come from.
    pub(super) pods: NodeRange,
    /// Where nodes have the folders of local volumes.
    pub(super) local_volumes: PathBuf,
}

/// All loops, ready to run.
pub(super) fn runtime(
    server: &ApiServer,
    composed: &Composed,
    pki: &Pki,
    parts: Parts,
) -> Result<Arc<Runtime>, PkiError> {
    let registry = Arc::clone(server.registry());
    let clients =
        move |user: User, agent: &str| Arc::new(LocalApi::new(&registry, user, agent)) as Arc<dyn Api>;
    let clock = SystemClock::default();
    let certificates = Certificates {
        signers: pki.signers(CERTIFICATE_SECONDS)?,
        authorizer: Arc::clone(&composed.authorizer),
        cluster: server.cache().clone(),
        reserved: parts.reserved,
        own_node: parts.own_node,
        services: parts.services,
        clock,
    };
    Ok(Runtime::new(Config {
        loops: controllers::all(),
        clients: Arc::new(clients),
        mirror: server.cache().clone(),
        clock: Arc::new(clock),
        settings: Settings {
            root_ca: pki.server_ca.certificate.clone(),
            signs_certificates: true,
            nodes: NodeSettings {
                grace_seconds: i64::try_from(parts.node_grace.as_secs()).unwrap_or(i64::MAX),
                ..NodeSettings::default()
            },
            node_ranges: vec![parts.pods],
            local_path: parts.local_volumes.to_string_lossy().into_owned(),
            ..Settings::default()
        },
        signer: Some(Arc::new(certificates)),
        paths: paths(pki, &parts.url),
        election: parts.identity.map(|identity| Election {
            identity,
            namespace: "kube-system".to_owned(),
            name: "kube-controller-manager".to_owned(),
        }),
    }))
}

/// The server as its own client: metrics may be answered here, or by another server behind this one.
fn paths(pki: &Pki, url: &str) -> Option<Arc<dyn Paths>> {
    let (certificate, key) = (pki.admin.certificate.clone(), pki.admin.key.clone());
    let credentials = Credentials {
        trust: Trust::Authorities(pki.server_ca.certificate.as_bytes().to_vec()),
        identity: Some(Identity { certificate, key }),
        ..Credentials::default()
    };
    let endpoint = Endpoint::new(url, &credentials, "horizontal-pod-autoscaler").ok()?;
    Some(Arc::new(HttpClient::new(endpoint)))
}

/// The cluster's signers and who may have what.
struct Certificates {
    signers: Signers,
    authorizer: Arc<Authorizer>,
    cluster: Arc<dyn Cluster>,
    /// The addresses in the API server's own certificate, and the user of the node in this process, which
    /// is at one of them.
    reserved: Vec<IpAddr>,
    own_node: Option<String>,
    services: Vec<Cidr>,
    clock: SystemClock,
}

impl Signer for Certificates {
    fn approve(&self, request: &Value) -> Option<Value> {
        let user = request.pointer("/spec/username").and_then(Value::as_str);
        let is_own = user.is_some() && user == self.own_node.as_deref();
        let reserved = |address: IpAddr| {
            let ours = self.reserved.contains(&address) && !is_own;
            ours || self.services.iter().any(|range| range.contains(address))
        };
        let now = self.clock.now();
        approve(request, &self.authorizer, now)
            .or_else(|| approve_serving(request, self.cluster.as_ref(), &reserved, now))
    }

    fn sign(&self, request: &Value) -> Option<Value> {
        match self.signers.decide(request, &self.authorizer, self.clock.now()) {
            Ok(Step::Status(signed)) => Some(signed),
            _ => None,
        }
    }
}

/// How long signed certificates live unless their request wants less: a year, as upstream.
const CERTIFICATE_SECONDS: i64 = 365 * 24 * 3600;
