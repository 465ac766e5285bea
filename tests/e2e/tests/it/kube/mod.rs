//! The control plane, driven by the clients that the world uses, unchanged.

mod backup;
mod cluster;
mod full;
mod kills;
mod names;
mod placement;
mod python;
mod stalled;
mod tour;
mod transcript;
mod wire;
