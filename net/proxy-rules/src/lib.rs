//! Services and endpoint slices → packet rules. Pure: no I/O, no clock, no randomness.
//!
//! ```text
//!   Service, EndpointSlice ─► Service, Slice          what the proxy looks at, and no more
//!                                 │ choose             which endpoints: readiness, policies, hints
//!                                 ▼
//!                               Plan                  frontends, pools, what is refused
//!                                 │ portion            map elements
//!                                 ▼
//!                              Ruleset ─► Changes     all services; only what differs
//!                              Program                 the chains that read the maps
//! ```
//!
//! [`plan`] is common to all ways of carrying it out; [`elements`] and [`program`] are the
//! nf_tables way. There, a service is data and never a rule: rules exist per *number of
//! endpoints*, so that a change of one service among ten thousand is a few map elements in one
//! small transaction, and the kernel has no rules to check again.
//!
//! IPv4 only; IPv6 becomes a second table of the same shape.

pub mod choose;
pub mod elements;
mod facts;
pub mod plan;
pub mod program;
mod ruleset;
mod service;
mod slice;

#[cfg(test)]
mod walk;

pub use facts::{Facts, Range};
pub use plan::{Endpoint, Plan};
pub use ruleset::{Changes, HealthCheck, Input, Leads, Ruleset};
pub use service::{Protocol, Service, ServiceName, ServicePort};
pub use slice::{Conditions, Slice, SliceEndpoint, SlicePort};
