//! API priority and fairness, decided: which level a request belongs to, how many seats it takes there,
//! whether it waits, and whose turn is next.
//!
//! ```text
//! FlowSchemas, PriorityLevelConfigurations ──▶ config ──▶ shares, borrow   seats of each level
//! request ──▶ rules (the first schema that matches) ──▶ work (seats)
//!         ──▶ shard (a hand of queues for its flow) ──▶ queue_set (now, later or never)
//! ```
//!
//! Nothing here waits, reads a clock or knows HTTP: times come in as nanoseconds since whenever the
//! caller began to count, and what waits is a token of the caller's.

pub mod bootstrap;
pub mod borrow;
pub mod condition;
pub mod config;
pub mod demand;
pub mod ensure;
pub mod queue_set;
pub mod retry;
pub mod rules;
pub mod shard;
pub mod shares;
pub mod work;

/// Nanoseconds since the caller's beginning of time.
pub type Nanos = u64;

/// The API group of the objects.
pub const GROUP: &str = "flowcontrol.apiserver.k8s.io";
/// The name of the schema and of the level that nobody waits in.
pub const EXEMPT: &str = "exempt";
/// The name of the schema and of the level of whoever is in no other.
pub const CATCH_ALL: &str = "catch-all";
