//! One CRIU for one request: started, asked, answered, and waited for.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use rustix::fs::{Access, Mode, OFlags};
use sys::clone::{CloneOptions, Forked, clone3};
use sys::process::ExitStatus;
use sys::{NamespaceSet, Signal};

use super::message::{Kind, Message, Notify, Response, answer};
use super::options::CriuProgram;
use super::{CriuError, lines};
use crate::error::Error;

/// What is done when CRIU tells of a point that it has reached, with the descriptor that came with it.
pub(super) type OnNotify<'a> = dyn FnMut(&Notify, Option<OwnedFd>) -> Result<(), Error> + 'a;

/// How CRIU is started.
pub(super) struct Start<'a> {
    pub(super) program: &'a CriuProgram,
    /// It has our standard streams, not `/dev/null`.
    pub(super) streams: bool,
    /// Descriptors that it gets under the numbers that they have.
    pub(super) pass: &'a [OwnedFd],
    /// Namespaces that are made for it.
    pub(super) namespaces: NamespaceSet,
    /// Its log, for messages.
    pub(super) log: Option<&'a Path>,
}

/// A CRIU that waits for its request or works. Dropped, it is waited for: without a peer it gives up.
pub(super) struct Session {
    socket: Option<OwnedFd>,
    pidfd: OwnedFd,
    pub(super) pid: i32,
    log: Option<PathBuf>,
}

impl Session {
    /// For questions that leave nothing behind.
    pub(super) fn quiet(program: &CriuProgram) -> Result<Self, Error> {
        let start = Start { program, streams: false, pass: &[], namespaces: NamespaceSet::EMPTY, log: None };
        Self::start(&start, || Ok(()))
    }

    /// Starts it, after `prepare` has run in its process.
    pub(super) fn start(
        start: &Start<'_>,
        prepare: impl FnOnce() -> Result<(), Error>,
    ) -> Result<Self, Error> {
        let path = &start.program.path;
        rustix::fs::access(path, Access::EXEC_OK)
            .map_err(|errno| CriuError::Start { program: path.clone(), source: errno.into() })?;
        // What our caller has left open is not CRIU's. Linux 5.11; before, it is the caller's doing.
        let _ = sys::fd::cloexec_from(3);
        let (ours, theirs) = sys::fdpass::message_pair().map_err(CriuError::Socket)?;
        let options = CloneOptions { namespaces: start.namespaces, ..CloneOptions::default() };
        match clone3(&options).map_err(Error::system("clone a process for CRIU"))? {
            Forked::Child => {
                drop(ours);
                let error = match prepare() {
                    Ok(()) => match become_criu(start, &theirs) {
                        Ok(never) => never,
                        Err(error) => format!("run {}: {error}", path.display()),
                    },
                    Err(error) => chain(&error),
                };
                let _ = sys::fdpass::send(&theirs, &[&[NOT_STARTED], error.as_bytes()].concat(), &[]);
                sys::process::exit_now(1)
            }
            Forked::Parent { pid, pidfd } => {
                Ok(Self { socket: Some(ours), pidfd, pid, log: start.log.map(Path::to_owned) })
            }
        }
    }

    /// A request that is answered at once.
    pub(super) fn ask(self, kind: Kind, request: &Message) -> Result<Response, Error> {
        let response = self.converse(kind, request, &mut |_, _| Ok(()))?;
        self.finish()?;
        Ok(response)
    }

    /// Makes the request, and has `on_notify` do what its points are for. An error there makes CRIU
    /// undo what it has done.
    pub(super) fn converse(
        &self,
        kind: Kind,
        request: &Message,
        on_notify: &mut OnNotify<'_>,
    ) -> Result<Response, Error> {
        self.send(request)?;
        let mut failure = None;
        loop {
            let (response, fd) = match (self.receive(), failure.take()) {
                (Err(_), Some(failure)) => return Err(failure),
                (received, earlier) => {
                    failure = earlier;
                    received?
                }
            };
            match &response.notify {
                Some(notify) if response.kind == Kind::Notify as u64 => {
                    let done = on_notify(notify, fd);
                    let sent = self.send(&answer(done.is_ok()));
                    failure = failure.or(done.err());
                    if failure.is_none() {
                        sent?;
                    }
                }
                _ if failure.is_some() => return failure.map_or(Ok(response), Err),
                _ if response.success => return Ok(response),
                _ => return Err(self.failed(kind, response).into()),
            }
        }
    }

    /// Lets it go and waits for its end.
    pub(super) fn finish(mut self) -> Result<ExitStatus, Error> {
        self.socket = None;
        sys::process::wait_pidfd(&self.pidfd).map_err(Error::system("wait for CRIU"))
    }

    /// As [`Self::finish`]; a CRIU that has answered well must end well.
    pub(super) fn finish_well(self) -> Result<(), Error> {
        let log = self.log();
        match self.finish()? {
            status if status.code() == Some(0) => Ok(()),
            status => Err(CriuError::Ended { status: text_of(status), log }.into()),
        }
    }

    fn socket(&self) -> Result<&OwnedFd, CriuError> {
        self.socket.as_ref().ok_or_else(|| CriuError::Socket(io::ErrorKind::NotConnected.into()))
    }

    fn send(&self, message: &Message) -> Result<(), CriuError> {
        sys::fdpass::send(self.socket()?, &message.0, &[]).map(drop).map_err(CriuError::Socket)
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>), Error> {
        let mut buffer = vec![0; RESPONSE_MAX];
        let received = sys::fdpass::receive(self.socket()?, &mut buffer, 1);
        let (count, mut fds) = received.map_err(CriuError::Socket)?;
        match buffer.get(..count) {
            None | Some([]) => {
                let status = sys::process::wait_pidfd(&self.pidfd).map_err(Error::system("wait for CRIU"))?;
                Err(CriuError::Ended { status: text_of(status), log: self.log() }.into())
            }
            Some([NOT_STARTED, text @ ..]) => {
                Err(CriuError::Prepare { reason: String::from_utf8_lossy(text).into_owned() }.into())
            }
            Some(bytes) => Ok((Response::parse(bytes).map_err(|_| CriuError::Malformed)?, fds.pop())),
        }
    }

    /// The log, once it is there.
    pub(super) fn log(&self) -> Option<PathBuf> {
        self.log.clone().filter(|path| path.exists())
    }

    fn failed(&self, kind: Kind, response: Response) -> CriuError {
        let log = self.log();
        let mut said = log.as_deref().map(lines::errors).unwrap_or_default();
        // The last error that it had, and sometimes one that it could live with.
        if said.is_empty() && !response.message.is_empty() {
            said.push(response.message);
        }
        CriuError::Failed { request: kind.name(), errno: response.errno, said, log }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.socket = None;
        let _ = sys::process::wait_pidfd(&self.pidfd);
    }
}

/// Goes on as CRIU.
fn become_criu<T>(start: &Start<'_>, socket: &OwnedFd) -> io::Result<T> {
    if !start.streams {
        let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())?;
        (0..=2).try_for_each(|number| sys::fd::become_standard(&null, number))?;
    }
    sys::fd::inherit(socket)?;
    start.pass.iter().try_for_each(sys::fd::inherit)?;
    // What we ignore or wait for by descriptor is ours alone.
    sys::signal::unblock_all()?;
    sys::signal::reset(Signal::PIPE)?;
    let path = CString::new(start.program.path.as_os_str().as_bytes())?;
    let number = CString::new(socket.as_raw_fd().to_string())?;
    Err(sys::process::exec(&path, &[c"criu".into(), c"swrk".into(), number], &start.program.env))
}

fn text_of(status: ExitStatus) -> String {
    match status.signal() {
        Some(signal) => format!("killed by {signal}"),
        None => format!("exit code {}", status.shell_code()),
    }
}

/// An error with its causes, as one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// The first byte of what our own process says instead of CRIU: a message begins with its first
/// field, 8.
const NOT_STARTED: u8 = 0xff;

/// No answer comes near it.
const RESPONSE_MAX: usize = 64 << 10;
