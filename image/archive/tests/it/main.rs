//! The tar codec against itself, against GNU tar, and against damaged archives.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed step fails the test")]

mod gnu_tar;
mod hostile;
mod round_trip;
