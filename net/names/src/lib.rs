//! DNS (RFC 1034, 1035, 2308, 2782, 3596, 6891): from a query's bytes to an answer's bytes.
//!
//! ```text
//! bytes ─▶ Query ─▶ Zones::find ─▶ Found ─▶ respond ─▶ bytes
//!                        └── not ours ─▶ the caller asks upstream; Cache keeps what it says
//! ```
//!
//! It holds no socket and no clock: what speaks UDP and TCP, and what the zones are made of, is the caller's.
//! Container names and cluster names are two [`Zones`]. Queries come from anybody: nothing here panics, and what
//! is no query is not answered.

mod cache;
mod message;
mod name;
mod record;
mod relay;
mod reply;
mod resolv;
mod zones;

pub use cache::{Cache, Cached};
pub use message::{Edns, InvalidQuery, Query, QueryType, answers, read, transaction};
pub use name::{InvalidName, Name};
pub use record::{Data, Record, Soa};
pub use relay::{fit, is_answer, question};
pub use reply::{Code, Transport, failure, forwarded, respond};
pub use resolv::Resolv;
pub use zones::{Found, Zones};

#[cfg(test)]
mod tests;
