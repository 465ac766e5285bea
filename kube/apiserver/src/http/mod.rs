//! The HTTP front: from bytes of strangers to the verbs of the registry and back.
//!
//! ```text
//! serve     connections: TLS, HTTP/1.1 and HTTP/2, time-outs, the graceful end
//!   chain   panic guard, request id, time-out, who, audit, how many at once, may
//!     route       resources ─▶ verbs, connect; other paths ─▶ plain
//!       answer    JSON, YAML, tables, lists in pieces, refusals
//! ```

pub mod accept;
mod answer;
mod audited;
pub(crate) mod body;
mod chain;
mod connect;
mod decode;
mod gather;
pub mod health;
pub mod limits;
mod messages;
pub mod path;
mod plain;
pub mod query;
mod serve;
mod streams;
mod verbs;
mod warning;
mod watch;

use std::sync::Arc;

use audit::Audit;
use auth::{Authenticator, Authorizer};
use bytes::Bytes;
use serde_json::Value;

pub(crate) use answer::{accepts_gzip, bytes_answer, page_not_found};
pub use body::{BODY_MAX, Body, BodyError};
pub use chain::Peer;
pub(crate) use chain::fresh_id;
pub(crate) use plain::{hashed, matches_tag};
pub use serve::{Listener, PROTOCOLS, Settings, serve};

use crate::aggregate::Aggregator;
use crate::discovery::Discovery;
use crate::fairness::Fairness;
use crate::metrics::{Metrics, ObjectCount};
use crate::openapi::OpenApi;
use crate::registry::{NodeProxy, Registry};
use health::Health;
use limits::{Gate, Limits};
use messages::Messages;

/// What the front needs of the rest of the server.
pub struct FrontConfig {
    /// The verbs.
    pub registry: Arc<Registry>,
    /// Finds out who asks.
    pub authenticator: Arc<Authenticator>,
    /// Says whether they may.
    pub authorizer: Arc<Authorizer>,
    /// The other servers behind this one.
    pub aggregator: Arc<Aggregator>,
    /// The way to nodes; a server without nodes has none.
    pub node_proxy: Option<Arc<dyn NodeProxy>>,
    /// The checks of `/healthz` and its kind.
    pub health: Health,
    /// How many requests at a time.
    pub limits: Limits,
    /// Where requests are recorded; none are without.
    pub audit: Option<Arc<Audit>>,
    /// What the store holds, for `/metrics`.
    pub stored: Stored,
    /// `/version`.
    pub version: Value,
    /// `/.well-known/openid-configuration` and `/openid/v1/jwks`.
    pub openid: OpenId,
    /// Host and port that clients are told.
    pub address: String,
    /// Who signed this server's certificate, as PEM: `/cacerts`.
    pub authority: String,
}

/// Tells how many objects there are of each resource, and the newest revision.
pub type Stored = Arc<dyn Fn() -> (Vec<ObjectCount>, u64) + Send + Sync>;

/// What verifies service account tokens elsewhere.
#[derive(Clone, Debug, Default)]
pub struct OpenId {
    /// The discovery document.
    pub configuration: Value,
    /// The public keys.
    pub keys: Value,
}

/// Answers requests. Share it.
pub struct Front {
    registry: Arc<Registry>,
    authenticator: Arc<Authenticator>,
    authorizer: Arc<Authorizer>,
    aggregator: Arc<Aggregator>,
    node_proxy: Option<Arc<dyn NodeProxy>>,
    health: Health,
    gate: Gate,
    /// Who waits for whom; none if requests are only counted.
    fairness: Option<Arc<Fairness>>,
    audit: Option<Arc<Audit>>,
    metrics: Arc<Metrics>,
    messages: Arc<Messages>,
    discovery: Discovery,
    openapi: OpenApi,
    stored: Stored,
    version: Value,
    openid: OpenId,
    address: String,
    authority: Bytes,
}

impl Front {
    /// Ready to answer.
    pub fn new(config: FrontConfig) -> Arc<Self> {
        let metrics = Arc::new(Metrics::default());
        let kinds = Arc::clone(config.registry.kinds());
        let Limits { mutating, read_only, fair } = config.limits;
        let fairness =
            fair.then(|| Fairness::new(mutating.saturating_add(read_only), &config.registry, &metrics));
        Arc::new(Self {
            discovery: Discovery::new(Arc::clone(&kinds)),
            openapi: OpenApi::new(kinds, config.aggregator.resources_here()),
            gate: Gate::new(config.limits, Arc::clone(&metrics)),
            fairness,
            audit: config.audit,
            metrics,
            messages: Arc::default(),
            registry: config.registry,
            authenticator: config.authenticator,
            authorizer: config.authorizer,
            aggregator: config.aggregator,
            node_proxy: config.node_proxy,
            health: config.health,
            stored: config.stored,
            version: config.version,
            openid: config.openid,
            address: config.address,
            authority: config.authority.into(),
        })
    }

    pub(crate) fn fairness(&self) -> Option<&Arc<Fairness>> {
        self.fairness.as_ref()
    }

    pub(crate) fn openapi(&self) -> &OpenApi {
        &self.openapi
    }
}
