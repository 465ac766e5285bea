//! Images: registries, archives, names, crashes.

mod archives;
mod crash;
mod names;
mod pull;
mod support;
