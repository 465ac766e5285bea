//! The API server on the wire, met by strangers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, reason = "tests panic, and print figures")]

mod cbor;
mod forms;
mod hostile;
mod kube_rs;
mod protobuf;
