//! The way out of an ordinary user's network: a TCP/IP stack in a process.
//!
//! ```text
//! user's network namespace          │ host
//! containers ─ bridge ─ tun device ═╪═ descriptor ─ [tables] ─ sockets of the user
//!              nftables, DNAT       │               smoltcp, one socket for each connection
//! ```
//!
//! Packets that leave the namespace arrive here. A TCP connection ends in a socket of smoltcp and goes on as
//! one of the host; datagrams and echo requests go through sockets of the host that are connected
//! to where they were meant for. A published port is a listening socket of the host: what it accepts
//! becomes a connection into the namespace that keeps the client's address, and the namespace's own rules
//! lead it to the container.
//!
//! One thread, one `epoll`; nothing runs while no packet comes and no time is up. The kernel hands over and
//! takes TCP segments of up to 64 KiB, whatever the size of packets inside, and computes their checksums.
//!
//! It knows nothing of containers, and of the namespace only the descriptor.

pub mod control;
mod device;
mod echo;
mod error;
mod host;
mod packet;
mod plan;
mod stack;
mod tcp;
mod timers;
mod udp;

pub use error::Error;
pub use plan::{Plan, Port, Transport};
pub use stack::Stack;
