//! Real bridges, addresses and rules, each test in its own network namespace.

mod addressing;
mod chain;
mod crash;
mod host_policy;
mod ipv6;
mod macvlan;
mod pods;
mod publishing;
mod reaching;
mod several;
mod speed;
mod tax;
mod world;
