//! The loops of the control plane, in the server's own process: they read its cache and call its verbs.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use apiserver::compose::Composed;
use apiserver::{ApiServer, Cidr, LocalApi};
use auth::Authorizer;
use auth::csr::{Signers, approve, approve_serving};
use auth::pki::{Pki, PkiError};
use client::http::{Credentials, Endpoint, Identity, Trust};
use client::{Api, BoxFuture, HttpClient};
use controller::{Clock, Config, Election, Paths, Runtime, Signer, SystemClock};
use controllers::{NodeRange, NodeSettings, Settings};
use kube_object::cluster::Cluster;
use kube_object::status::Status;
use kube_object::user::User;
use serde_json::Value;

/// What the loops are told.
pub(super) struct Parts {
    /// With an identity they act only while they hold the Lease: servers that share a store must not all act.
    pub(super) identity: Option<String>,
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
    held: &Arc<Held>,
    parts: Parts,
) -> Arc<Runtime> {
    let registry = Arc::clone(server.registry());
    let clients =
        move |user: User, agent: &str| Arc::new(LocalApi::new(&registry, user, agent)) as Arc<dyn Api>;
    let clock = SystemClock::default();
    let certificates = Certificates {
        held: Arc::clone(held),
        authorizer: Arc::clone(&composed.authorizer),
        cluster: server.cache().clone(),
        reserved: parts.reserved,
        own_node: parts.own_node,
        services: parts.services,
        clock,
    };
    Runtime::new(Config {
        loops: controllers::all(),
        clients: Arc::new(clients),
        mirror: server.cache().clone(),
        clock: Arc::new(clock),
        settings: Settings {
            root_ca: pki.server_ca.certificate.clone(),
            approves_certificates: true,
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
        paths: held.itself.clone().map(|itself| itself as Arc<dyn Paths>),
        election: parts.identity.map(|identity| Election {
            identity,
            namespace: "kube-system".to_owned(),
            name: "kube-controller-manager".to_owned(),
        }),
    })
}

/// The keys that the loops hold, newer ones when they are renewed.
pub(super) struct Held {
    url: String,
    signing_seconds: i64,
    signers: RwLock<Arc<Signers>>,
    /// The server as its own client: metrics may be answered here, or by another server behind this one.
    itself: Option<Arc<HttpClient>>,
}

impl Held {
    /// Of a server at a URL, whose signers sign for so long.
    pub(super) fn new(pki: &Pki, url: &str, signing: Duration) -> Result<Self, PkiError> {
        let signing_seconds = i64::try_from(signing.as_secs()).unwrap_or(i64::MAX);
        Ok(Self {
            url: url.to_owned(),
            signing_seconds,
            signers: RwLock::new(Arc::new(pki.signers(signing_seconds)?)),
            itself: itself(pki, url).map(|endpoint| Arc::new(HttpClient::new(endpoint))),
        })
    }

    /// Holds newer ones; what cannot be used changes nothing.
    pub(super) fn renew(&self, pki: &Pki) {
        if let Ok(signers) = pki.signers(self.signing_seconds) {
            *self.signers.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(signers);
        }
        if let (Some(client), Some(endpoint)) = (&self.itself, itself(pki, &self.url)) {
            client.go_on_with(endpoint);
        }
    }

    fn signers(&self) -> Arc<Signers> {
        Arc::clone(&self.signers.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn itself(pki: &Pki, url: &str) -> Option<Endpoint> {
    let (certificate, key) = (pki.admin.certificate.clone(), pki.admin.key.clone());
    let credentials = Credentials {
        trust: Trust::Authorities(pki.server_ca.certificate.as_bytes().to_vec()),
        identity: Some(Identity { certificate, key }),
        ..Credentials::default()
    };
    Endpoint::new(url, &credentials, "horizontal-pod-autoscaler").ok()
}

/// The cluster's signers and who may have what.
struct Certificates {
    held: Arc<Held>,
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
    fn approve<'a>(&'a self, request: &'a Value) -> BoxFuture<'a, Result<Option<Value>, Status>> {
        let user = request.pointer("/spec/username").and_then(Value::as_str);
        let is_own = user.is_some() && user == self.own_node.as_deref();
        let reserved = |address: IpAddr| {
            let ours = self.reserved.contains(&address) && !is_own;
            ours || self.services.iter().any(|range| range.contains(address))
        };
        let now = self.clock.now();
        let approved = approve(request, &self.authorizer, now)
            .or_else(|| approve_serving(request, self.cluster.as_ref(), &reserved, now));
        Box::pin(std::future::ready(Ok(approved)))
    }

    fn sign(&self, request: &Value) -> Result<Option<Value>, Status> {
        self.held.signers().signed(request, self.clock.now()).map_err(Status::internal)
    }
}
