//! The runtime over a cluster that is a map, with a clock that is moved by hand.

mod cluster;
mod runtime;
