//! The control plane, driven by the clients that the world uses, unchanged.

mod python;
mod tour;
mod transcript;
