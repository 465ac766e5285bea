//! What the operator may set: which steps run, and how some of them are tuned.

use std::collections::{BTreeMap, BTreeSet};

use rustls::pki_types::CertificateDer;

pub use crate::plugins::event_rate::{EventLimit, EventLimitKind};
pub use crate::plugins::pod_security::{Level, LevelVersion, PodSecurityConfig, Policy, Version};
pub use crate::quota::LimitedResource;

/// How a chain is made up.
#[derive(Clone, Debug)]
pub struct Config {
    /// Steps that run beside the usual ones, by upstream's names (`AlwaysPullImages`).
    pub enable: BTreeSet<String>,
    /// Steps that do not run.
    pub disable: BTreeSet<String>,
    /// Pod security where a namespace says nothing.
    pub pod_security: PodSecurityConfig,
    /// How long pods stay on a node that is not ready.
    pub not_ready_toleration_seconds: i64,
    /// How long pods stay on a node that cannot be reached.
    pub unreachable_toleration_seconds: i64,
    /// The node selector of namespaces that have none, for `PodNodeSelector`.
    pub node_selector_default: String,
    /// Which node selectors pods of a namespace may ask for, for `PodNodeSelector`.
    pub node_selector_whitelists: BTreeMap<String, String>,
    /// How many events may come, for `EventRateLimit`.
    pub event_limits: Vec<EventLimit>,
    /// What nobody may use without a quota that covers it.
    pub limited_resources: Vec<LimitedResource>,
    /// Who signs the certificates of webhooks that bring no CA bundle.
    pub trusted_roots: Vec<CertificateDer<'static>>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enable: BTreeSet::new(),
            disable: BTreeSet::new(),
            pod_security: PodSecurityConfig::default(),
            not_ready_toleration_seconds: 300,
            unreachable_toleration_seconds: 300,
            node_selector_default: String::new(),
            node_selector_whitelists: BTreeMap::new(),
            event_limits: Vec::new(),
            limited_resources: Vec::new(),
            trusted_roots: Vec::new(),
        }
    }
}

impl Config {
    /// Whether a step runs.
    pub(crate) fn runs(&self, name: &str, usually: bool) -> bool {
        !self.disable.contains(name) && (usually || self.enable.contains(name))
    }
}
