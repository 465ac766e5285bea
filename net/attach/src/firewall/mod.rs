//! Our nftables table: masquerade, published ports, isolation, and the host's own input
//! policy in front of the published ports.
//!
//! ```text
//!             prerouting                                forward            postrouting
//!   raw       no-loopback    containers never reach 127/8
//!   dstnat-20 host0-gate…    copies of the host's input chains, for published ports only
//!   dstnat    publish-from-outside ──┐
//!   filter                           ├─ publish          isolate
//!   srcnat    output:                │  (maps)                             masquerade
//!   dstnat    publish-from-host ─────┘
//! ```
//!
//! A published port is one map element, so attaching is one small message; one that several
//! containers share is sixty ([`elements`]). A packet to a published port is redirected before the host's input hook sees it; that is why
//! the input chains are copied in front of the redirection ([`mirror`]).
//!
//! The table is of family `ip`: x_tables matches, which `iptables-nft` writes, are
//! refused by the kernel in tables of family `inet`. As soon as a network has IPv6 there is
//! another one of family `ip6` with the same chains ([`Families`]).

mod elements;
mod families;
mod mirror;
mod program;
mod sync;

pub(crate) use elements::{Published, endpoint_text};
pub(crate) use families::{Families, WantedOfBoth};
pub(crate) use program::{NetworkView, PodView, Range};
pub use sync::Rewritten;
pub(crate) use sync::{Applied, Change, Firewall, Wanted};
