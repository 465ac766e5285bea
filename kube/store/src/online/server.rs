//! The side that has the store open.

use std::error::Error as _;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use base::failpoint::hit;

use super::frame::{self, HELLO, kind};
use super::with_address;
use crate::embedded::{Change, Embedded};
use crate::error::Error;
use crate::record::Record;
use crate::types::Position;

/// Answers commands on a socket until it is dropped, one after the other.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct State {
    ended: bool,
    /// The connection that is being served, to be broken off at the end.
    current: Option<UnixStream>,
}

impl Control {
    /// Listens at `path`; what an earlier server left there is replaced.
    pub fn listen(store: Arc<Embedded>, path: &Path) -> Result<Self, Error> {
        // The store's lock says that no other server lives here.
        match fs::remove_file(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Error::io("remove the old socket", path, error));
            }
            _ => {}
        }
        let listener = with_address(path, |address| UnixListener::bind(address))
            .and_then(|listener| {
                fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
                Ok(listener)
            })
            .map_err(|error| Error::io("listen at", path, error))?;
        let state = Arc::new(Mutex::new(State::default()));
        let shared = Arc::clone(&state);
        let thread = thread::Builder::new()
            .name("store-control".to_owned())
            .spawn(move || serve(&store, &listener, &shared))
            .map_err(|error| Error::io("serve", path, error))?;
        Ok(Self { path: path.to_owned(), state, thread: Some(thread) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.ended = true;
            if let Some(current) = &state.current {
                // It may have ended by itself.
                drop(current.shutdown(std::net::Shutdown::Both));
            }
        }
        // Wakes the one that accepts. If that fails, nobody can be waited for.
        let woken = with_address(&self.path, |address| UnixStream::connect(address)).is_ok();
        drop(fs::remove_file(&self.path));
        if let Some(thread) = self.thread.take().filter(|_| woken) {
            drop(thread.join());
        }
    }
}

fn serve(store: &Embedded, listener: &UnixListener, state: &Mutex<State>) {
    let lock = || state.lock().unwrap_or_else(PoisonError::into_inner);
    for connection in listener.incoming() {
        let Ok(stream) = connection else {
            if lock().ended {
                return;
            }
            // Out of descriptors: it gets no better by asking at once.
            thread::sleep(ACCEPT_PAUSE);
            continue;
        };
        {
            let mut state = lock();
            if state.ended {
                return;
            }
            state.current = stream.try_clone().ok();
        }
        // A client that goes away has its reasons.
        drop(answer(store, &stream));
        lock().current = None;
    }
}

fn answer(store: &Embedded, mut stream: &UnixStream) -> io::Result<()> {
    stream.set_read_timeout(Some(CLIENT_PATIENCE))?;
    stream.set_write_timeout(Some(CLIENT_PATIENCE))?;
    let mut out = BufWriter::with_capacity(1 << 16, stream);
    let asks = rustix::net::sockopt::socket_peercred(stream)?.uid;
    if !asks.is_root() && asks != rustix::process::geteuid() {
        frame::write(&mut out, kind::ERROR, &[b"only root and the server's user may ask the store"])?;
        return out.flush();
    }
    let mut payload = Vec::new();
    let command = frame::read(&mut stream, &mut payload)?;
    let Some(argument) = payload.strip_prefix(HELLO) else {
        frame::write(&mut out, kind::ERROR, &[b"the command is of another version: use the server's build"])?;
        return out.flush();
    };
    hit("store.online.asked");
    let done = match command {
        kind::BACKUP => backup(store, &mut out),
        kind::CHECK => check(store, &mut out),
        kind::HISTORY => history(store, argument, &mut out),
        _ => Err(Failure::Store(Error::Garbled)),
    };
    match done {
        Ok(()) => frame::write(&mut out, kind::END, &[])?,
        Err(Failure::Store(error)) => frame::write(&mut out, kind::ERROR, &[chain(&error).as_bytes()])?,
        Err(Failure::Socket(error)) => return Err(error),
    }
    out.flush()
}

/// The client must hear of the first, and cannot hear of the second.
enum Failure {
    Store(Error),
    Socket(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Store(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Socket(error)
    }
}

fn backup(store: &Embedded, out: &mut impl Write) -> Result<(), Failure> {
    let frozen = store.frozen()?;
    frame::write(out, kind::REPORT, &[&frame::report(&frozen.report)])?;
    let mut broken = None;
    let sent = frozen.rows(|row| {
        frame::write(out, kind::RECORD, &[&frame::place(row.at), row.content]).map_err(|error| {
            broken = Some(error);
            Error::Closed
        })
    });
    if let Some(error) = broken {
        return Err(error.into());
    }
    Ok(frame::write(out, kind::SUM, &[&frame::sum(sent?)])?)
}

fn check(store: &Embedded, out: &mut impl Write) -> Result<(), Failure> {
    let report = store.check()?;
    Ok(frame::write(out, kind::REPORT, &[&frame::report(&report)])?)
}

fn history(store: &Embedded, key: &[u8], out: &mut impl Write) -> Result<(), Failure> {
    for Change { revision, kv } in store.history(key)? {
        let at = Position { revision: revision.0, sub: 0 };
        let deleted = kv.is_none();
        let kv = kv.unwrap_or_default();
        let record = Record {
            key: bytes::Bytes::copy_from_slice(key),
            value: kv.value,
            created: kv.create_revision.0,
            version: kv.version,
            lease: kv.lease.map_or(0, |lease| lease.0),
            deleted,
        };
        let mut row = Vec::new();
        record.encode(at, &mut row);
        frame::write(out, kind::RECORD, &[&frame::place(at), &row])?;
    }
    Ok(())
}

fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        text = format!("{text}: {error}");
        source = error.source();
    }
    text
}

/// How long a client may leave its side of the socket alone.
const CLIENT_PATIENCE: Duration = Duration::from_secs(30);
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
