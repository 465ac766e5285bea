//! `[sig-api-machinery]`.

mod version;
mod watch;
