//! What the operator may set: which steps run, and how some of them are tuned.

use std::collections::BTreeSet;

use crate::plugins::pod_security::PodSecurityConfig;

/// How a chain is made up.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Plugins that run beside the usual ones, by upstream's names (`AlwaysPullImages`).
    pub enable: BTreeSet<String>,
    /// Plugins that do not run.
    pub disable: BTreeSet<String>,
    /// Pod security where a namespace says nothing.
    pub pod_security: PodSecurityConfig,
}
