//! What a `ResourceQuota` counts: the usage of an object, and which quotas it falls under.
//!
//! Admission charges a request with these functions, the quota controller counts a
//! namespace anew with them. They decide over values alone; the time is an argument.

mod list;
mod pod;
mod scope;
mod usage;

pub use list::ResourceList;
pub use pod::{is_best_effort, pod_limits, pod_requests};
pub use scope::{InvalidScope, ScopeSelector, matches, matches_scope, scopes};
pub use usage::{Unstated, constraints, counts, is_ignored, namespace_usage, tracked, usage};

#[cfg(test)]
mod tests;
