//! The API as its callers see it: get, list, watch, apply; in this process or over HTTP.
//!
//! [`Api`] is the trait, [`Call`] what one asks, [`Item`] an object as caches keep it: bytes
//! with a few places remembered, decoded only when somebody looks inside.

mod api;
mod cache;
pub mod http;
mod item;
mod mirror;
mod scan;
mod shutdown;
mod text;

pub use api::{
    Api, BoxFuture, BoxStream, Call, CallOptions, PatchType, Preconditions, Query, Verb, WatchOptions,
};
pub use cache::{Cache, INITIAL_EVENTS_END};
pub use http::HttpClient;
pub use item::{EventKind, InvalidItem, Item, WatchEvent};
pub use mirror::{Change, Mirror};
pub use shutdown::asked_to_end;
pub use text::Repeats;
