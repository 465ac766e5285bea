//! `[sig-api-machinery]`.

mod definitions;
mod lists;
mod namespaces;
mod operations;
mod quota;
mod version;
mod watch;
