//! The control plane, driven by the clients that the world uses, unchanged.

mod backup;
mod full;
mod kills;
mod python;
mod tour;
mod transcript;
mod wire;
