//! The warden: one small process for each state root that does for networks what must be done
//! while no command runs. There is no daemon; the warden is there because containers are.
//!
//! - It answers containers of users' networks for each other's names, at 127.0.0.11 in their
//!   own network namespace ([`namespace`]), and passes other questions on ([`upstream`]).
//! - It hears when somebody changes the host's rules, and has ours mended.
//! - It relays to containers what is sent to their ports at the host's `[::1]`, which the kernel
//!   sends nowhere ([`relay`]).
//! - It hears when a container that publishes ports ends, and has them withdrawn, so that new
//!   connections go to others who share them.
//!
//! ```text
//!  strake run ──summon──▶ worker ── holds `lock`                 events of the worker, one enum:
//!                           │ starts                              records changed (inotify)
//!                           │                                     a container ended (pidfd)
//!                           ▼                                     somebody asks (control socket)
//!                        standby ── holds `standby`, waits for    rules changed (nf_tables)
//!                                   `lock`: has it when the       the standby has ended (pidfd)
//!                                   worker dies, and is it        …and one task for each question,
//!                                                                   port and connection
//! ```
//!
//! It is crash-only: all that it knows it reads from the records that [`attach`] keeps, and all
//! that it holds are sockets. When it is killed the kernel gives the lock to the standby, which
//! reads the records again. It ends by itself when no container needs it; the standby then gets
//! the lock, finds nothing to do, and ends too. Who attaches a container in between starts over.
//!
//! Idle it waits in one `epoll_wait(2)` without a timeout: a timer runs only while a question
//! that was passed on is unanswered, or datagrams were relayed a moment ago.
//!
//! A new source of events goes into [`serve`]: one more arm of its `select!`, one more variant
//! of its `Event`.
//!
//! What it does not know: containers' lifecycles, images, the engine. It changes no record.

mod book;
mod namespace;
mod records;
mod relay;
mod resolve;
mod serve;
mod summon;
mod upstream;

use std::io;
use std::path::{Path, PathBuf};

pub use serve::{Happened, run};
pub use summon::{serves, summon};

/// Where the networks are that a warden is for.
#[derive(Clone, Debug)]
pub struct Place {
    /// The data root.
    pub data_root: PathBuf,
    /// The state root.
    pub state_root: PathBuf,
    /// The command that becomes a warden of this place.
    pub command: Vec<String>,
}

impl Place {
    fn directory(&self) -> PathBuf {
        self.state_root.join("networks").join("warden")
    }

    /// Where it is asked.
    pub fn socket(&self) -> PathBuf {
        self.directory().join("socket")
    }

    fn lock(&self) -> PathBuf {
        self.directory().join("lock")
    }

    fn standby(&self) -> PathBuf {
        self.directory().join("standby")
    }
}

/// The warden could not be reached, or cannot do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or socket of ours.
    #[error("{operation} {}", path.display())]
    File {
        /// What was being done.
        operation: &'static str,
        /// To what.
        path: PathBuf,
        /// Why not.
        #[source]
        errno: io::Error,
    },
    /// It could not be started.
    #[error("start {command}")]
    Start {
        /// The command.
        command: String,
        /// Why not.
        #[source]
        errno: io::Error,
    },
    /// It was started, and does not answer.
    #[error(
        "the companion that answers for container names does not answer; `strake system reconcile` tries again"
    )]
    Silent,
    /// It answers, but cannot serve the container.
    #[error("{why}")]
    Refused {
        /// What it said.
        why: String,
    },
    /// The networks.
    #[error(transparent)]
    Networks(#[from] attach::Error),
    /// Its runtime.
    #[error("{step}")]
    Runtime {
        /// What was being done.
        step: &'static str,
        /// Why not.
        #[source]
        errno: io::Error,
    },
}

impl Error {
    fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |errno| Self::File { operation, path: path.to_owned(), errno }
    }

    fn runtime(step: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |errno| Self::Runtime { step, errno }
    }
}
