//! The socket between the runtime and the init that it has cloned.
//!
//! ```text
//! init ── Hooks ──────────▶ runtime        runtime ── Go ──▶ init    (id maps written)
//!      ── Terminal + fd ──▶                        ── Go ──▶         (cgroups joined)
//!      ── Listener ───────▶                        ── Go ──▶         (hooks have run)
//!      ── MapOwners + fd ─▶                        ── Go ──▶         (a mount is idmapped)
//!      ── Ready ──────────▶                        ── Go ──▶         (recorded: stay alive)
//!      ── Failed ─────────▶
//! ```
//!
//! Message borders are kept (`SOCK_SEQPACKET`). If the runtime dies, init reads the end
//! of the stream and ends, too: an init that nobody has recorded cannot live.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use serde::{Deserialize, Serialize};
use sys::fdpass;

use crate::state::StepRecord;

/// What init tells the runtime.
#[derive(Debug)]
pub(crate) enum FromInit {
    /// Namespaces are there, the root is not pivoted: hooks may run.
    Hooks,
    /// The master of its terminal.
    Terminal(OwnedFd),
    /// The seccomp listener, by its number in init: under its own filter init may be
    /// allowed no more than `write(2)`, so the runtime takes it out by pidfd.
    Listener(i32),
    /// The owners of this mount, by its place in the plan, are to be mapped: init may not do that
    /// to file systems of the host.
    MapOwners(usize, OwnedFd),
    /// All is set up.
    Ready(Report),
    /// It gave up.
    Failed(Failure),
    /// It died without a word.
    Gone,
}

/// What init did.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Steps with their times.
    pub(crate) steps: Vec<StepRecord>,
    /// What was left out.
    pub(crate) warnings: Vec<String>,
}

/// Why init gave up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Failure {
    /// What it was doing.
    pub(crate) doing: String,
    /// The error number, 0 when `doing` says it all.
    pub(crate) errno: i32,
}

impl Failure {
    pub(crate) fn encode(&self) -> Vec<u8> {
        // Cannot fail: a string and a number.
        serde_json::to_vec(self).unwrap_or_default()
    }
}

/// Init's end.
#[derive(Debug)]
pub(crate) struct InitEnd(pub(crate) OwnedFd);

impl InitEnd {
    pub(crate) fn hooks(&self) -> io::Result<()> {
        self.send(b'H', &[], &[])
    }

    pub(crate) fn terminal(&self, master: BorrowedFd<'_>) -> io::Result<()> {
        self.send(b'T', &[], &[master])
    }

    pub(crate) fn listener(&self, listener: BorrowedFd<'_>) -> io::Result<()> {
        self.send(b'L', listener.as_raw_fd().to_string().as_bytes(), &[])
    }

    pub(crate) fn map_owners(&self, at: usize, tree: BorrowedFd<'_>) -> io::Result<()> {
        self.send(b'I', at.to_string().as_bytes(), &[tree])?;
        self.wait_go()
    }

    pub(crate) fn ready(&self, report: &Report) -> io::Result<()> {
        self.send(b'R', &serde_json::to_vec(report)?, &[])
    }

    pub(crate) fn failed(&self, failure: &Failure) -> io::Result<()> {
        self.send(b'F', &failure.encode(), &[])
    }

    fn send(&self, tag: u8, body: &[u8], fds: &[BorrowedFd<'_>]) -> io::Result<()> {
        let mut message = Vec::with_capacity(body.len() + 1);
        message.push(tag);
        message.extend_from_slice(body);
        if fds.is_empty() {
            rustix::io::write(&self.0, &message)?;
            return Ok(());
        }
        fdpass::send(self.0.as_fd(), &message, fds).map(drop)
    }

    /// Waits for the runtime. Its death is an error.
    pub(crate) fn wait_go(&self) -> io::Result<()> {
        loop {
            match rustix::io::read(&self.0, &mut [0u8; 1]) {
                Ok(1) => return Ok(()),
                Ok(_) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// The runtime's end.
#[derive(Debug)]
pub(crate) struct RuntimeEnd(pub(crate) OwnedFd);

impl RuntimeEnd {
    /// Lets init go on. A dead init is noticed when its message is awaited.
    pub(crate) fn go(&self) -> io::Result<()> {
        match fdpass::send(self.0.as_fd(), b"g", &[]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            result => result.map(drop),
        }
    }

    /// The next message.
    pub(crate) fn receive(&self) -> io::Result<FromInit> {
        let mut buffer = Vec::new();
        let (count, mut fds) = loop {
            let received = fdpass::next_size(self.0.as_fd()).and_then(|size| {
                buffer.resize(size.min(MESSAGE_MAX), 0);
                fdpass::receive(self.0.as_fd(), &mut buffer, 1)
            });
            match received {
                // Init ended with a message of ours unread. That is told once, before
                // what it has sent itself.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
                received => break received?,
            }
        };
        let unknown = || io::Error::from(io::ErrorKind::InvalidData);
        let Some((tag, body)) = buffer.get(..count).and_then(<[u8]>::split_first) else {
            return Ok(FromInit::Gone);
        };
        match (tag, fds.pop()) {
            (b'H', None) => Ok(FromInit::Hooks),
            (b'T', Some(fd)) => Ok(FromInit::Terminal(fd)),
            (b'L', None) => number(body).map(FromInit::Listener).ok_or_else(unknown),
            (b'I', Some(fd)) => number(body).map(|at| FromInit::MapOwners(at, fd)).ok_or_else(unknown),
            (b'R', None) => Ok(FromInit::Ready(serde_json::from_slice(body)?)),
            (b'F', None) => Ok(FromInit::Failed(serde_json::from_slice(body)?)),
            _ => Err(unknown()),
        }
    }
}

fn number<T: std::str::FromStr>(body: &[u8]) -> Option<T> {
    std::str::from_utf8(body).ok()?.parse().ok()
}

// Warnings and the output of a hook fit; the socket's own limit is higher.
const MESSAGE_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_arrive_as_sent() {
        let (a, b) = fdpass::message_pair().unwrap();
        let (init, runtime) = (InitEnd(a), RuntimeEnd(b));
        init.hooks().unwrap();
        init.terminal(runtime.0.as_fd()).unwrap();
        init.failed(&Failure { doing: "x".into(), errno: 2 }).unwrap();
        assert!(matches!(runtime.receive().unwrap(), FromInit::Hooks));
        assert!(matches!(runtime.receive().unwrap(), FromInit::Terminal(_)));
        assert!(matches!(runtime.receive().unwrap(), FromInit::Failed(f) if f.errno == 2));
        runtime.go().unwrap();
        init.wait_go().unwrap();
        drop(runtime);
        assert!(init.wait_go().is_err());
    }

    #[test]
    fn the_last_words_of_an_init_that_did_not_listen_arrive() {
        let (a, b) = fdpass::message_pair().unwrap();
        let (init, runtime) = (InitEnd(a), RuntimeEnd(b));
        init.failed(&Failure { doing: "x".into(), errno: 1 }).unwrap();
        runtime.go().unwrap();
        drop(init);
        assert!(matches!(runtime.receive().unwrap(), FromInit::Failed(_)));
        assert!(matches!(runtime.receive().unwrap(), FromInit::Gone));
    }

    #[test]
    fn a_dead_init_is_gone() {
        let (a, b) = fdpass::message_pair().unwrap();
        drop(a);
        let runtime = RuntimeEnd(b);
        assert!(matches!(runtime.receive().unwrap(), FromInit::Gone));
        runtime.go().unwrap();
    }
}
