//! The streaming server of a container engine: exec, attach and port-forward for clients that
//! come with a URL.
//!
//! ```text
//! CRI  Exec(request) ──▶ Server::exec ──▶ http://…/exec/TOKEN
//! client ──▶ /exec/TOKEN ──▶ SPDY/3.1 or WebSocket ──▶ Backing::exec(request, stdio)
//! ```
//!
//! [`spdy`] and [`websocket`] know how bytes travel, `remote` the sub-protocols of commands,
//! `forward` those of ports; what runs a command is behind [`Backing`]. A token is good for one
//! connection and for a minute.

mod backing;
mod commands;
mod forward;
pub mod negotiate;
mod resize;
mod server;
pub mod spdy;
mod status;
mod tokens;
pub mod websocket;

pub use backing::{
    Attach, Backing, BackingError, BoxFuture, BoxReader, BoxWriter, Connection, Duplex, Exec, Forward, Stdio,
    TerminalSize,
};
pub use server::{Config, Server};
pub use tokens::TooManyRequests;
