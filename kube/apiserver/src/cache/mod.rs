//! The watch cache: every object in memory as encoded JSON, and the recent events.

mod watcher;

pub use watcher::{Encodings, Frame, Watcher};
