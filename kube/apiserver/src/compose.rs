//! The HTTP front in front of a server: authentication, authorization, admission and the checks
//! of its health, put together from the server's keys.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use admission::{Chain, Host};
use audit::Audit;
use auth::authn::jwt::VerifyingKey;
use auth::bootstrap::{self, Step};
use auth::pki::{Pki, PkiError};
use auth::{Authenticator, Authorizer, token};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use kube_object::cluster::Cluster;
use kube_object::status::Status;
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::ApiServer;
use crate::aggregate::{Aggregator, Identity};
use crate::http::health::Health;
use crate::http::limits::Limits;
use crate::http::{Front, FrontConfig, OpenId};
use crate::identity::{Permissions, RbacGuard, TokenIssuer};
use crate::nodes::{Nodes, NodesConfig};
use crate::registry::{Body, Core, DeleteOptions, NodeProxy, Target, WriteOptions};
use crate::server::server_context;
use crate::usage::Usage;

/// What a front is made of besides the server.
pub struct Setup<'a> {
    /// Keys and certificates.
    pub pki: &'a Pki,
    /// The issuer of service account tokens.
    pub issuer: String,
    /// The audiences of tokens that name none.
    pub audiences: Vec<String>,
    /// Host and port that clients are told.
    pub address: String,
    /// Limits of requests at a time.
    pub limits: Limits,
    /// Where requests are recorded; none are without.
    pub audit: Option<Arc<Audit>>,
    /// Settings of admission.
    pub admission: admission::Config,
    /// The way to nodes; without one kubelets are reached at their addresses.
    pub node_proxy: Option<Arc<dyn NodeProxy>>,
    /// True from when the server ends: `/readyz` fails then.
    pub shutdown: watch::Receiver<bool>,
}

/// A front and what the rest of the process needs of it.
pub struct Composed {
    /// Answers requests.
    pub front: Arc<Front>,
    /// Finds out who asks; told when keys are renewed.
    pub authenticator: Arc<Authenticator>,
    /// Says who may.
    pub authorizer: Arc<Authorizer>,
    /// Knows the other servers; its loop is [`crate::aggregate::run`].
    pub aggregator: Arc<Aggregator>,
    /// Knows the ways to nodes; told when keys are renewed.
    pub nodes: Arc<Nodes>,
    bootstrapped: Arc<AtomicBool>,
}

/// Puts the front together, and admission into the registry.
pub fn compose(server: &ApiServer, setup: Setup<'_>) -> Result<Composed, PkiError> {
    let cache = server.cache();
    let cluster: Arc<dyn Cluster> = Arc::clone(cache) as Arc<dyn Cluster>;
    let authentication = setup.pki.authentication(&setup.issuer, &setup.audiences)?;
    let keys = authentication.service_account_keys.clone();
    let authenticator = Arc::new(Authenticator::new(authentication, Arc::clone(&cluster)));
    let authorizer = Arc::new(Authorizer::new(Arc::clone(&cluster)));
    let registry = server.registry();
    registry.set_guard(Arc::new(RbacGuard(Arc::clone(&authorizer))));
    let maker = setup.pki.token_maker(&setup.issuer, &setup.audiences)?;
    registry.set_tokens(Arc::new(TokenIssuer { maker, cluster: Arc::clone(&cluster) }));
    if let Some(audit) = &setup.audit {
        registry.set_audit(Arc::clone(audit));
    }
    let core = &registry.core;
    let host = Host {
        cluster,
        writer: Arc::clone(core) as Arc<dyn admission::Writer>,
        kinds: Arc::clone(core) as Arc<dyn admission::Kinds>,
        authorizer: Arc::new(Permissions(Arc::clone(&authorizer))),
        clock: Arc::clone(&core.clock),
    };
    registry.set_admission(Chain::new(&setup.admission, host));
    let identity = Identity {
        certificate: setup.pki.front_proxy_client.certificate.clone(),
        key: setup.pki.front_proxy_client.key.clone(),
    };
    let nodes = Arc::new(Nodes::new(NodesConfig {
        cluster: Arc::clone(cache) as Arc<dyn Cluster>,
        identity: kubelet_client(setup.pki),
        authorities: setup.pki.server_ca.certificate.clone(),
        tunnels: None,
        shutdown: setup.shutdown.clone(),
    }));
    let objects = || Arc::clone(cache) as Arc<dyn Cluster>;
    let usage = Usage::new(objects(), Arc::clone(&nodes), setup.shutdown.clone());
    let aggregator = Aggregator::new(objects(), identity, setup.shutdown.clone()).with(Arc::new(usage));
    let aggregator = Arc::new(aggregator);
    let node_proxy = setup.node_proxy.unwrap_or_else(|| Arc::clone(&nodes) as Arc<dyn NodeProxy>);
    let bootstrapped = Arc::new(AtomicBool::new(false));
    let counted = Arc::clone(cache);
    let front = Front::new(FrontConfig {
        registry: Arc::clone(registry),
        authenticator: Arc::clone(&authenticator),
        authorizer: Arc::clone(&authorizer),
        aggregator: Arc::clone(&aggregator),
        node_proxy: Some(node_proxy),
        health: health(core, &bootstrapped, setup.shutdown),
        limits: setup.limits,
        audit: setup.audit,
        stored: Arc::new(move || {
            let counts = counted.counts().into_iter();
            let counts = counts.map(|(resource, count)| (resource.to_string(), count as u64));
            (counts.collect(), counted.revision())
        }),
        version: version(),
        openid: openid(&setup.issuer, &keys),
        address: setup.address,
        authority: setup.pki.server_ca.certificate.clone(),
    });
    Ok(Composed { front, authenticator, authorizer, aggregator, nodes, bootstrapped })
}

/// What kubelets know as the API server.
fn kubelet_client(pki: &Pki) -> Identity {
    Identity { certificate: pki.kubelet_client.certificate.clone(), key: pki.kubelet_client.key.clone() }
}

impl Composed {
    /// Creates what every cluster has, roles and bindings among it; the server is ready then.
    pub async fn bootstrap(&self, server: &ApiServer) -> Result<(), Status> {
        server.bootstrap().await?;
        let steps = bootstrap::plan(server.cache().as_ref());
        // One commit of the store takes many writes.
        let writes = stream::iter(steps).map(|step| carry_out(server, step));
        writes.buffer_unordered(AT_ONCE).try_collect::<()>().await?;
        self.bootstrapped.store(true, Ordering::Release);
        Ok(())
    }
}

/// Bootstrap objects written at a time.
const AT_ONCE: usize = 64;

async fn carry_out(server: &ApiServer, step: Step) -> Result<(), Status> {
    let (object, replace) = match &step {
        Step::Create(object) | Step::Update(object) => (object, false),
        Step::Replace(object) => (object, true),
    };
    let text = |pointer: &str| object.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let plural = format!("{}s", text("/kind").to_lowercase());
    let kinds = server.registry().kinds();
    let resource = kinds.resolve("rbac.authorization.k8s.io", "v1", &plural);
    let resource = resource.ok_or_else(Status::no_such_path)?;
    let (namespace, name) = (text("/metadata/namespace"), text("/metadata/name"));
    let target = Target::object(&resource, &namespace, &name);
    let (context, options) = (server_context(), WriteOptions::default());
    let body = Body::from(object.clone());
    if replace {
        server.registry().delete(&context, &target, &DeleteOptions::default()).await?;
    }
    let done = if matches!(step, Step::Update(_)) {
        server.registry().update(&context, &target, body, &options).await
    } else {
        let collection = Target::collection(&resource, &namespace);
        server.registry().create(&context, &collection, body, &options).await
    };
    match done {
        // Another server of the same cluster was faster.
        Err(status) if status.code == 409 => Ok(()),
        done => done.map(drop),
    }
}

fn health(core: &Arc<Core>, bootstrapped: &Arc<AtomicBool>, shutdown: watch::Receiver<bool>) -> Health {
    let mut health = Health::default();
    health.add("ping", true, || Ok(()));
    health.add("log", true, || Ok(()));
    for (name, live) in [("etcd", true), ("etcd-readiness", false)] {
        let core = Arc::clone(core);
        health.add_asking(name, live, move || {
            let core = Arc::clone(&core);
            async move {
                // For a full disk clients may go elsewhere, but starting again would not help.
                core.storage.writable(live)?;
                core.storage.latest().await.map(drop).map_err(|status| status.message)
            }
        });
    }
    let followed = Arc::clone(core);
    health.add_asking("informer-sync", false, move || {
        let core = Arc::clone(&followed);
        async move { core.cache.catch_up().await.map(drop).map_err(|status| status.message) }
    });
    let bootstrapped = Arc::clone(bootstrapped);
    health.add("poststarthook/rbac/bootstrap-roles", true, move || {
        if bootstrapped.load(Ordering::Acquire) { Ok(()) } else { Err("not finished".to_owned()) }
    });
    health.add("shutdown", false, move || {
        if *shutdown.borrow() { Err("process is shutting down".to_owned()) } else { Ok(()) }
    });
    health
}

/// `/version`: the API's release, and ours behind it.
pub fn version() -> Value {
    let release = kube_schema::Schema::builtin().release();
    let (major, minor) = release.split_once('.').unwrap_or((release, ""));
    json!({
        "major": major, "minor": minor, "gitVersion": git_version(),
        "gitCommit": "", "gitTreeState": "", "buildDate": "1970-01-01T00:00:00Z", "goVersion": "",
        "compiler": "rustc", "platform": format!("linux/{}", platform()),
        "emulationMajor": major, "emulationMinor": minor,
        "minCompatibilityMajor": major, "minCompatibilityMinor": minor,
    })
}

/// `v1.36.0+strake0.1.0`.
pub fn git_version() -> String {
    let release = kube_schema::Schema::builtin().release();
    format!("v{release}.0+strake{}", env!("CARGO_PKG_VERSION"))
}

fn platform() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn openid(issuer: &str, keys: &[VerifyingKey]) -> OpenId {
    let url = format!("{}/openid/v1/jwks", issuer.trim_end_matches('/'));
    OpenId { configuration: token::openid_configuration(issuer, &url, keys), keys: token::jwks(keys) }
}
