//! `[sig-api-machinery]`.

mod lists;
mod namespaces;
mod operations;
mod quota;
mod version;
mod watch;
