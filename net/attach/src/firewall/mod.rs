//! Our nftables table: masquerade, published ports, isolation, and the host's own input
//! policy in front of the published ports.
//!
//! ```text
//!             prerouting                                forward            postrouting
//!   raw       no-loopback    containers never reach 127/8
//!   dstnat-20 host0-gate…    copies of the host's input chains, for published ports only
//!   dstnat    publish-from-outside ──┐
//!   filter                           ├─ publish          isolate
//!   srcnat    output:                │  (two maps)                         masquerade
//!   dstnat    publish-from-host ─────┘
//! ```
//!
//! A published port is one map element, so attaching is one small message. A packet to
//! a published port is redirected before the host's input hook sees it; that is why
//! the input chains are copied in front of the redirection ([`mirror`]).
//!
//! The table is of family `ip`: x_tables matches, which `iptables-nft` writes, are
//! refused by the kernel in tables of family `inet`.

mod mirror;
mod program;
mod sync;

pub(crate) use program::{NetworkView, PodView, endpoint_text};
pub(crate) use sync::{Applied, Change, Firewall, Wanted};
