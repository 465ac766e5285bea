//! Which node a pod goes to.
//!
//! ```text
//! events ─▶ Snapshot   nodes and their pods; counts per domain kept up as pods come and go
//!             schedule(snapshot, pod) ─▶ Placement with scores, or a Diagnosis: per node what is wrong
//!             preempt(snapshot, pod)  ─▶ whom to end on which node so that it fits
//!             why(snapshot, pod)      ─▶ all that is wrong with each node, and the least that helps
//!             capacity(snapshot, pod) ─▶ how many more like it fit, and what runs out first
//! Queue                who is next, who waits, and which change wakes whom
//! ```
//!
//! Filters, scores, weights and words are those of the upstream scheduler's default profile. All of
//! it is pure: no clock, no randomness, no I/O.

mod affinity;
mod amounts;
mod capacity;
mod census;
mod cycle;
mod misfit;
mod node;
mod node_rules;
mod pod;
mod preempt;
mod queue;
mod read;
mod schedule;
mod score;
mod snapshot;
mod spread;
mod taints;
#[cfg(test)]
mod tests;
mod topology;
mod volumes;
mod why;

pub use affinity::{Affinity, Group, Term};
pub use amounts::{Amounts, Shortage, display};
pub use capacity::{Capacity, capacity};
pub use misfit::{Diagnosis, Misfit};
pub use node::Node;
pub use node_rules::{NodeRules, NodeTerm};
pub use pod::{HostPort, Pod, requests};
pub use preempt::{DisruptionBudget, Preemption, WAITS_FOR_VICTIMS, preempt};
pub use queue::{Change, PodKey, Queue};
pub use read::Labels;
pub use schedule::{Decision, Placement, schedule};
pub use score::Score;
pub use snapshot::Snapshot;
pub use spread::Constraint;
pub use taints::{Effect, Taint, Toleration};
pub use volumes::{SELECTED_NODE, VolumeStep, Volumes};
pub use why::{Why, why};
