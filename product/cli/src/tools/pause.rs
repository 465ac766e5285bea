//! `pause`: holds namespaces open, reaps what is left to it, ends when it is asked to.

use super::Outcome;

pub(super) fn run() -> Outcome {
    let signals = ["TERM", "INT", "CHLD"].map(sys::signal::Signal::parse);
    let signals: Vec<_> = signals.into_iter().flatten().collect();
    sys::signal::block(&signals)?;
    let fd = sys::signal::signalfd(&signals)?;
    // It sleeps as long as its pod lives. Where there is no /proc, all of it stays.
    let _ = sys::memory::release_past();
    loop {
        wait_readable(&fd)?;
        while let Some(received) = sys::signal::read_signalfd(&fd)? {
            if received.signal.name() != "SIGCHLD" {
                return Ok(0);
            }
        }
        while let Ok(Some(_)) = sys::process::try_wait_any() {}
    }
}

fn wait_readable(fd: &std::os::fd::OwnedFd) -> std::io::Result<()> {
    use rustix::event::{PollFd, PollFlags, poll};
    match poll(&mut [PollFd::new(fd, PollFlags::IN)], None) {
        Ok(_) | Err(rustix::io::Errno::INTR) => Ok(()),
        Err(errno) => Err(errno.into()),
    }
}
