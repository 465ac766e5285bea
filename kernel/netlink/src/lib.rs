//! Netlink: messages as data, and one synchronous socket that carries them.
//!
//! [`wire`] is the framing that all families share (message header, attributes);
//! [`route`] the links, addresses, routes, neighbours and rules of
//! `rtnetlink(7)`; [`nft`] the tables, chains, sets, rules and expressions of
//! nf_tables; [`conntrack`] the deletion of connection-tracking entries; [`generic`] which
//! families of generic netlink there are. These are
//! pure: bytes in, values out, and hostile bytes give an error or are skipped, never
//! a panic. [`Socket`] is the only part that does I/O.
//!
//! Not here: which bridge, which address, which rule. That is `attach`.

pub mod conntrack;
pub mod error;
pub mod generic;
pub mod nft;
pub mod route;
pub mod socket;
pub mod wire;

pub use error::{Error, Refusal};
pub use socket::{Protocol, Socket};
pub use wire::{Attributes, Message, Messages};
