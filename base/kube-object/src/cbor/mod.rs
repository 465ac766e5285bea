//! Objects as CBOR (RFC 8949), in the form that KEP-4222 gives them.
//!
//! Every text is a byte string, map keys are in the order of "core deterministic encoding", numbers
//! are the shortest that keep their value, and an object begins with the tag of self-described CBOR.
//! Bytes, which JSON spells as base64, stay that text: readers take it for what it is.

mod read;
mod write;

pub use read::{InvalidCbor, decode};
pub use write::{encode, watch_event};

/// Tag 55799, with which self-described CBOR begins (RFC 8949, 3.4.6).
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];

/// The major types (RFC 8949, 3.1).
mod major {
    pub(super) const UNSIGNED: u8 = 0;
    pub(super) const NEGATIVE: u8 = 1;
    pub(super) const BYTES: u8 = 2;
    pub(super) const TEXT: u8 = 3;
    pub(super) const ARRAY: u8 = 4;
    pub(super) const MAP: u8 = 5;
    pub(super) const TAG: u8 = 6;
}

#[cfg(test)]
mod tests;
