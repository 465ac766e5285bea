//! The chain from outside: webhooks over TLS against a server of this test's own.

#![allow(clippy::unwrap_used, clippy::needless_pass_by_value, missing_docs, unreachable_pub)]

mod hook;
mod host;
mod webhooks;
mod whole;
