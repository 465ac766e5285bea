//! The API as its callers see it: get, list, watch, apply; in this process or over HTTP.
//!
//! [`Api`] is the trait, [`Call`] what one asks, [`Item`] an object as caches keep it: bytes
//! with a few places remembered, decoded only when somebody looks inside.

mod api;
mod item;

pub use api::{Api, BoxFuture, BoxStream, Call, CallOptions, PatchType, Preconditions, Verb, WatchOptions};
pub use item::{EventKind, InvalidItem, Item, WatchEvent};
