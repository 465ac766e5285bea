//! The Kubernetes API: HTTP, the registry of kinds, the watch cache, custom resources.
//!
//! ```text
//! http ──▶ registry (verbs) ──▶ admission, rules of the kind ──▶ storage ──▶ store
//!              ▲                                                              │ one watch
//!              └────────────── cache (encoded objects, recent events) ◀──────┘
//! ```
//!
//! [`kinds`] says what is served, [`registry`] what each verb does, [`cache`] keeps every object
//! as encoded JSON and gives watches their place in the recent events.

pub mod aggregate;
pub mod cache;
pub mod compose;
mod custom;
mod definitions;
pub mod discovery;
pub mod endpoints;
pub mod fairness;
pub mod http;
mod identity;
pub mod kinds;
mod local;
pub mod metrics;
pub mod nodes;
pub mod openapi;
pub mod registry;
pub mod rest;
mod rules;
pub mod server;
mod storage;
mod strategy;
pub mod table;
mod usage;

pub use local::LocalApi;
pub use server::{ApiServer, Config};
pub use strategy::{Cidr, Network};
