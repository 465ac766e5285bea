//! Bytes between a process's terminal and a client.

use std::os::fd::OwnedFd;

use rustix::fs::OFlags;
use streaming::{Stdio, TerminalSize};
use tokio::net::unix::pipe::{Receiver, Sender};
use tokio::sync::mpsc;

/// Until the process has let go of the terminal, whose master is `console`.
pub(super) async fn pump(console: OwnedFd, client: Stdio) -> Result<(), streaming::BackingError> {
    let flags = rustix::fs::fcntl_getfl(&console)?;
    rustix::fs::fcntl_setfl(&console, flags | OFlags::NONBLOCK)?;
    // A terminal's master is read and written as a pipe is, but for its one end.
    let reader = Receiver::from_owned_fd_unchecked(console.try_clone()?)?;
    let mut writer = Sender::from_owned_fd_unchecked(console.try_clone()?)?;
    let Stdio { stdin, stdout, stderr: _, resize } = client;
    let input = async {
        if let Some(mut stdin) = stdin {
            // Either side may have gone.
            let _ = tokio::io::copy(&mut stdin, &mut writer).await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        done = super::pump::forward(reader, stdout) => done?,
        () = input => {}
        () = resized(&console, resize) => {}
    }
    Ok(())
}

/// Sets the sizes that come; output goes on after the last.
async fn resized(console: &OwnedFd, mut sizes: mpsc::Receiver<TerminalSize>) {
    while let Some(size) = sizes.recv().await {
        // A terminal that keeps its size is still one.
        let _ = sys::tty::set_size(console, size.width, size.height);
    }
    std::future::pending::<()>().await;
}
