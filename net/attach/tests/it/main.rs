//! Real bridges, addresses and rules, each test in its own network namespace.

mod addressing;
mod crash;
mod host_policy;
mod pods;
mod publishing;
mod reaching;
mod speed;
mod tax;
mod world;
