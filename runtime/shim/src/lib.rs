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
//! A restart policy and a health check are the shim's too, since nobody else is there: it
//! decides after an end ([`next`]), waits, and then runs the exit command, which starts the
//! container anew with a shim of its own. A shim that is killed while it waits leaves the
//! restart to the one that [`adopt`] makes, which does not wait.
//!
//! Invariants: one thread, no async runtime, no timer unless a stop, a restart or a check is
//! pending, nothing of the engine's state but the two directories that a launch names.

mod client;
pub mod events;
mod exit;
mod health;
mod init;
mod launch;
pub mod log;
mod oom;
mod paths;
pub mod protocol;
mod restart;
mod server;
mod spawn;
mod timestamp;

pub use client::{Attached, Client, ClientError, ExecRequest, ExecSession, ExecWaiter, Waiter};
pub use exit::{
    EXIT_FILE, EXIT_VERSION, Exit, ExitCause, ExitRecordError, HealthAtEnd, Requester, Stopped, Victim,
};
pub use health::{HEALTH_FILE, Health, HealthCheck, HealthResult, HealthStatus, PROBE_FILE};
pub use init::{InitError, init, pause};
pub use launch::{Adopt, Adopted, Launch, LaunchError, ShimExe, adopt, is_alive, launch};
pub use log::{LogEntry, LogOptions, LogReadError, LogReader, LogStream, compress_rotated};
pub use oom::{OOM_FILE, OomKill, OomKills};
pub use paths::{DIAGNOSTICS, LOCK, SHIM_FILE, SOCKET};
pub use protocol::{
    ExecEnd, Failure, LogConfig, LogDriver, Phase, Spawned, Started, Status, StdinMode, StreamSet,
};
pub use restart::{Ending, History, InvalidRestartPolicy, Next, RestartPlan, RestartPolicy, Restarts, next};
pub use server::{FAILPOINTS, ServeError, keep, serve};
pub use timestamp::{InvalidTimestamp, Timestamp};
