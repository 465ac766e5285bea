//! The shim: one small process per container that holds its terminal or pipes, writes
//! its log, reaps it, records how it ended, and outlives every other process of ours.
//!
//! The engine uses [`launch`], [`adopt`], [`Client`], [`Exit`] and [`LogReader`]; the
//! binary `strake-shim` uses [`serve`] and [`init`].
//!
//! What a SIGKILL of the shim costs: attached clients and exec sessions are cut off; of the
//! log at most what one `read(2)` had taken and the beginning of an unfinished line; a stdin
//! of [`StdinMode::Once`] ends. The container runs on, with its terminal (a keeper process
//! holds the master) and with full FIFOs at worst, until [`adopt`] gives it a new shim. If it
//! ends before that, and its new parent has reaped it, the status is recorded as unknown.
//!
//! Invariants: one thread, no async runtime, no timer unless a stop is pending, nothing
//! of the engine's state but the two directories that a launch names.

mod client;
pub mod events;
mod exit;
mod init;
mod launch;
pub mod log;
mod paths;
pub mod protocol;
mod server;
mod timestamp;

pub use client::{Attached, Client, ClientError, ExecRequest, ExecSession, ExecWaiter, Waiter};
pub use exit::{EXIT_FILE, EXIT_VERSION, Exit, ExitCause, ExitRecordError, Requester, Victim};
pub use init::{InitError, init, pause};
pub use launch::{Adopt, Adopted, Launch, LaunchError, ShimExe, adopt, is_alive, launch};
pub use log::{LogEntry, LogOptions, LogReadError, LogReader, LogStream};
pub use paths::{DIAGNOSTICS, LOCK, SHIM_FILE, SOCKET};
pub use protocol::{
    ExecEnd, Failure, LogConfig, LogDriver, Phase, Spawned, Started, Status, StdinMode, StreamSet,
};
pub use server::{FAILPOINTS, ServeError, keep, serve};
pub use timestamp::{InvalidTimestamp, Timestamp};
