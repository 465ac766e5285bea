//! The service proxy: watches → `proxy-rules` → nf_tables.
//!
//! ```text
//!   services, endpoint slices, this node ─► Ruleset (pure) ─► Table ─► kernel, by netlink
//!                                              ▲                │
//!             events of nf_tables: who touched our table? ◄─────┘
//! ```
//!
//! One loop takes all changes that are there, commits them in one transaction, and only then
//! tells whoever waits for an endpoint to be drained. At the start, and whenever somebody else
//! touched the table, the kernel's elements are read and only the difference is written: a
//! restart changes nothing, and a flushed table is back at once. Nothing polls.

mod config;
mod datagrams;
mod error;
mod health;
mod inputs;
mod run;
mod sole;
mod status;
mod table;

pub use config::{Config, facts_of_node};
pub use error::Error;
pub use run::ServiceProxy;
pub use status::Status;
pub use table::Table;
