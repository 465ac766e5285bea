//! The binder on a real API server in this process.

mod cluster;
mod places;
mod preempts;
mod volumes;
