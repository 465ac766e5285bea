//! The `strake` command line: one tree of commands, one file a command.
//!
//! The roof calls [`main`] with its arguments and its environment; everything that
//! a command needs reaches it through a [`Context`]. Data goes to standard output,
//! everything else to standard error.

mod called;
pub mod cli;
pub mod commands;
pub mod context;
pub mod error;
mod files;
pub mod format;
pub mod humanize;
pub mod kubeconfig;
pub mod node;
pub mod notices;
mod rootless;
mod signals;
pub mod tools;
mod usage;
mod words;

pub use cli::{Cli, command, main};
pub use commands::cni::PROGRAM as CNI_PROGRAM;
pub use context::{Context, Environment, Streams};
pub use error::{CliError, Status};
