//! The start gate: a FIFO at which a created container's init waits for `start`.
//!
//! Init holds it open for reading and writing and reads one byte. `start` writes the
//! byte, then waits until init has closed it: by its exec (the descriptor is
//! close-on-exec) or by its end. What init could not execute it writes into the FIFO, so
//! whatever is left in it then is the reason. When nobody holds the FIFO open, init has
//! passed the gate or is dead: opening it for writing says so (`fifo(7)`, ENXIO).

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, poll};
use rustix::fs::{CWD, FileType, Mode, OFlags};
use rustix::io::Errno;

use crate::channel::Failure;

/// Init's end.
#[derive(Debug)]
pub(crate) struct Gate(OwnedFd);

/// What became of opening the gate.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Opened {
    /// Init went through and closed it.
    Passed,
    /// Init reported why it could not go on.
    Failed(Failure),
    /// Nobody waits at it.
    Nobody,
}

impl Gate {
    /// Makes the FIFO in the state directory.
    pub(crate) fn make(state_dir: &Path) -> io::Result<Self> {
        let path = path(state_dir);
        rustix::fs::mknodat(CWD, &path, FileType::Fifo, Mode::from_raw_mode(0o600), 0)?;
        let flags = OFlags::RDWR | OFlags::CLOEXEC | OFlags::NOFOLLOW;
        Ok(Self(rustix::fs::open(&path, flags, Mode::empty())?))
    }

    /// Waits for `start`. Under a strict seccomp filter this needs `read(2)` only.
    pub(crate) fn wait(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.0, &mut [0u8; 1]) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Tells `start` why the program could not be executed.
    pub(crate) fn report(&self, failure: &Failure) {
        let bytes = failure.encode();
        // Less than PIPE_BUF is written at once, and there is nobody else to tell.
        let _ = rustix::io::write(&self.0, &bytes[..bytes.len().min(PIPE_BUF)]);
    }
}

/// Whether init still waits at the gate.
pub(crate) fn is_waiting(state_dir: &Path) -> bool {
    open_for_writing(state_dir).is_ok()
}

/// Lets init through and waits until it has executed its program or given up.
pub(crate) fn open(state_dir: &Path) -> io::Result<Opened> {
    let writer = match open_for_writing(state_dir) {
        Err(error) if matches!(error.raw_os_error(), Some(e) if e == Errno::NXIO.raw_os_error()) => {
            return Ok(Opened::Nobody);
        }
        opened => opened?,
    };
    rustix::io::write(&writer, b"s")?;
    wait_for_no_reader(&writer)?;
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let reader = rustix::fs::open(path(state_dir), flags, Mode::empty())?;
    let mut left = [0u8; 4096];
    match rustix::io::read(&reader, &mut left) {
        Ok(0) | Err(Errno::AGAIN) => Ok(Opened::Passed),
        // Our own byte: init died before it read it.
        Ok(1) => Ok(Opened::Nobody),
        Ok(count) => Ok(Opened::Failed(serde_json::from_slice(&left[..count]).unwrap_or_else(|_| Failure {
            doing: String::from_utf8_lossy(&left[..count]).into_owned(),
            errno: 0,
        }))),
        Err(errno) => Err(errno.into()),
    }
}

/// Removes the FIFO: the container has been started.
pub(crate) fn remove(state_dir: &Path) {
    let _ = std::fs::remove_file(path(state_dir));
}

fn open_for_writing(state_dir: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::NONBLOCK | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    Ok(rustix::fs::open(path(state_dir), flags, Mode::empty())?)
}

/// A pipe without readers polls as an error: `poll(2)`, POLLERR.
fn wait_for_no_reader(writer: &OwnedFd) -> io::Result<()> {
    loop {
        let fd = writer.as_fd();
        let mut set = [PollFd::new(&fd, PollFlags::empty())];
        match poll(&mut set, None) {
            Ok(_) if set[0].revents().contains(PollFlags::ERR) => return Ok(()),
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

fn path(state_dir: &Path) -> PathBuf {
    state_dir.join("exec.fifo")
}

// pipe(7): up to here a write is atomic.
const PIPE_BUF: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    struct Dir(PathBuf);

    impl Dir {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir().join(format!("gate-{name}-{}", std::process::id()));
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Dir {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    #[test]
    fn a_waiter_passes() {
        let dir = Dir::new("pass");
        let gate = Gate::make(&dir.0).unwrap();
        assert!(is_waiting(&dir.0));
        let waiter = std::thread::spawn(move || gate.wait().unwrap());
        assert_eq!(open(&dir.0).unwrap(), Opened::Passed);
        waiter.join().unwrap();
        assert!(!is_waiting(&dir.0));
        assert_eq!(open(&dir.0).unwrap(), Opened::Nobody);
    }

    #[test]
    fn a_waiter_that_fails_says_why() {
        let dir = Dir::new("fail");
        let gate = Gate::make(&dir.0).unwrap();
        let failure = Failure { doing: "exec /x".into(), errno: 2 };
        let told = failure.clone();
        let waiter = std::thread::spawn(move || {
            gate.wait().unwrap();
            gate.report(&told);
        });
        assert_eq!(open(&dir.0).unwrap(), Opened::Failed(failure));
        waiter.join().unwrap();
    }
}
