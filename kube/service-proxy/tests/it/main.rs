//! The service proxy against the kernel: nodes and pods are network namespaces, the API is a
//! mirror that the test fills.

mod kernel;
mod mirror;
mod scale;
mod services;
mod world;
