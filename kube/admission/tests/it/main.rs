//! The chain from outside: webhooks over TLS against a server of this test's own.

mod hook;
mod host;
mod webhooks;
