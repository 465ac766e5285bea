//! The loops of the control plane: one pure `reconcile` each, from what is observed to what is to be done.
//!
//! Nothing here does I/O, reads a clock or rolls dice. A [`Loop`] is data and two functions: which [`Key`]s a
//! [`Change`] concerns, and what [`Plan`] follows from what is [`Observed`]. [`all`] lists the loops; the runtime
//! that watches, queues, retries and acts is the crate `controller`.

pub mod conditions;
pub mod known;
pub mod object;
pub mod pods;

mod addresses;
mod aggregation;
mod autoscaler;
mod certificates;
mod claim;
mod cron_job;
mod daemon_set;
mod deployment;
mod disruption;
mod endpoints;
mod ephemeral;
mod expiry;
mod garbage;
mod history;
mod job;
mod load_balancer;
pub mod local_path;
mod namespace;
mod node;
mod observed;
mod placement;
mod plan;
mod pod_gc;
mod protection;
mod quota;
mod replicas;
mod resource_claims;
mod root_ca;
mod service_accounts;
mod service_cidrs;
mod settings;
#[cfg(test)]
mod sim;
mod stateful_set;
mod volumes;

pub use observed::{Change, Failure, Key, Loop, Observed, Resource, View, Watches};
pub use plan::{Action, Ask, Event, Plan, Tale, Target};
pub use settings::{AutoscalerSettings, NodeRange, NodeSettings, Settings};

/// All loops.
pub fn all() -> &'static [Loop] {
    ALL
}

const ALL: &[Loop] = &[
    namespace::LOOP,
    service_accounts::LOOP,
    root_ca::LOOP,
    garbage::LOOP,
    quota::LOOP,
    certificates::LOOP,
    endpoints::ENDPOINTS,
    endpoints::SLICES,
    endpoints::MIRRORING,
    disruption::LOOP,
    aggregation::LOOP,
    protection::CLAIMS,
    protection::VOLUMES,
    protection::ATTRIBUTES,
    volumes::LOOP,
    expiry::FINISHED_JOBS,
    expiry::TOKENS,
    expiry::SERVER_LEASES,
    addresses::LOOP,
    service_cidrs::LOOP,
    replicas::REPLICA_SETS,
    replicas::REPLICATION_CONTROLLERS,
    deployment::LOOP,
    stateful_set::LOOP,
    daemon_set::LOOP,
    job::LOOP,
    cron_job::LOOP,
    node::HEALTH,
    node::EVICTION,
    node::RANGES,
    node::TTL,
    pod_gc::LOOP,
    load_balancer::LOOP,
    local_path::LOOP,
    ephemeral::LOOP,
    resource_claims::LOOP,
    autoscaler::LOOP,
];
