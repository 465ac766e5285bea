//! The API server's wire, as strangers meet it: hostile bodies, and the objects that tests of
//! encodings carry over it.
//!
//! ```text
//! seeds ──▶ mutate ──▶ campaign ──▶ a server over HTTP/2 ──▶ no 5xx, no panic, bounded memory
//! bombs ─────────────────▲
//! ```
//! The tests run a [`campaign`].

pub mod bombs;
pub mod campaign;
pub mod connection;
mod mutate;
pub mod objects;
pub mod random;
pub mod seeds;
