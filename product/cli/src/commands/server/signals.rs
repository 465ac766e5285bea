//! SIGTERM and SIGINT as an event of the server's runtime.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};

use sys::signal::{Signal, read_signalfd, signalfd};
use tokio::io::unix::AsyncFd;
use tokio::io::Interest;

/// Signals that ask the server to end. Make it before any thread: threads inherit the mask.
pub(super) struct Ends(OwnedFd);

impl Ends {
    /// Takes the signals out of their usual way.
    pub(super) fn take() -> io::Result<Self> {
        let signals: Vec<Signal> = ["TERM", "INT"].into_iter().filter_map(Signal::parse).collect();
        signalfd(&signals).map(Self)
    }

    /// Returns at the first one.
    pub(super) async fn wait(&self) -> io::Result<()> {
        let descriptor = AsyncFd::with_interest(self.0.as_fd(), Interest::READABLE)?;
        loop {
            let mut ready = descriptor.readable().await?;
            if read_signalfd(&self.0)?.is_some() {
                return Ok(());
            }
            ready.clear_ready();
        }
    }
}
