//! The parts together: a cluster in a map, real keys and certificates, and what upstream answers.

#![allow(clippy::unwrap_used, clippy::panic, clippy::print_stdout, clippy::needless_pass_by_value)]

mod access;
mod authentication;
mod certificates;
mod clock;
mod escalation;
mod handshake;
mod hostile;
mod index;
mod nodes;
mod pki;
mod rbac_model;
mod reviews;
mod roles;
mod speed;
mod tokens;
