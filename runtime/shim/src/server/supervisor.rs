//! The one thread of a shim: waits, and hands each event to who cares.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::epoll::EventFlags;
use rustix::io::Errno;

use super::ServeError;
use super::again::Again;
use super::cause::{KillRequest, StopRequest};
use super::connection::Connection;
use super::container::Container;
use super::execs::Execs;
use super::memory::MemoryWatch;
use super::monitor::Monitor;
use super::poller::{Poller, Ready, Source};
use super::state_file::ShimState;
use super::stdio::OurEnds;
use super::streams::Streams;
use crate::log::LogWriter;
use crate::protocol::{Failure, Phase, Reply, Started};
use crate::{Exit, Timestamp, paths};

/// Clients at a time; further ones wait in the socket's queue.
const CONNECTIONS_MAX: usize = 256;

/// How long the socket's queue is left alone when there is no descriptor for a client and
/// none of ours is given back: another process may have had the system's last.
const STARVED_PAUSE: Duration = Duration::from_millis(250);

/// How long nothing must have happened until what the start has taken is given back: most containers
/// end before, and pay nothing for it.
const REST_AFTER: Duration = Duration::from_secs(1);

/// What is needed to watch a container, made before anything can go wrong unseen.
#[derive(Debug)]
pub(super) struct Assembled {
    poller: Poller,
    streams: Streams,
    listener: OwnedFd,
    signals: OwnedFd,
    lock: OwnedFd,
    home: OwnedFd,
}

impl Assembled {
    pub(super) fn new(ends: OurEnds, state: &ShimState, log: LogWriter, lock: OwnedFd) -> io::Result<Self> {
        let poller = Poller::new()?;
        let streams = Streams::new(ends, state.terminal, state.setup.stdin, log, &poller)?;
        let listener = paths::listen(&state.setup.state_dir)?;
        poller.add(&listener, Source::Listener, EventFlags::IN)?;
        let signals = sys::signal::signalfd(&super::watched_signals())?;
        poller.add(&signals, Source::Signals, EventFlags::IN)?;
        let home = super::stdio::open_dir(&state.setup.state_dir)?;
        Ok(Self { poller, streams, listener, signals, lock, home })
    }
}

/// The shim of one container.
#[derive(Debug)]
pub(super) struct Supervisor {
    pub(super) poller: Poller,
    pub(super) container: Container,
    pub(super) state: ShimState,
    pub(super) streams: Streams,
    pub(super) execs: Execs,
    pub(super) connections: BTreeMap<u32, Connection>,
    last_connection: u32,
    listener: Option<OwnedFd>,
    listening: bool,
    /// A client waits for which there was no descriptor or no memory.
    starved: bool,
    /// What the start has taken is given back.
    rested: bool,
    signals: OwnedFd,
    lock: Option<OwnedFd>,
    /// The state directory.
    pub(super) home: OwnedFd,
    pub(super) phase: Phase,
    pub(super) adopted: bool,
    pub(super) stop: Option<StopRequest>,
    pub(super) kill: Option<KillRequest>,
    pub(super) grace: Option<OwnedFd>,
    pub(super) deaf: bool,
    /// A client ends it for good.
    pub(super) by_hand: bool,
    /// What follows its end.
    pub(super) again: Again,
    /// Its health, where that is checked.
    pub(super) monitor: Option<Monitor>,
    /// Whether it has the memory that it wants.
    pub(super) memory: MemoryWatch,
    /// Why the command could not be executed.
    pub(super) not_executed: Option<Failure>,
    pub(super) exit: Option<Exit>,
    /// A holder of the cleanup has done it.
    pub(super) cleaned_up: bool,
    /// The record is written, who waits is told, and the runtime's part is removed.
    pub(super) deleted: bool,
    pub(super) settled: bool,
}

impl Supervisor {
    pub(super) fn new(container: Container, state: ShimState, assembled: Assembled) -> Self {
        let phase = match (container.is_child, container.phase()) {
            (false, Some(phase)) => phase,
            (false, None) => Phase::Running,
            (true, _) => Phase::Created,
        };
        let adopted = !container.is_child;
        Self {
            poller: assembled.poller,
            adopted,
            monitor: Monitor::of(&state.setup, adopted),
            memory: MemoryWatch::default(),
            container,
            state,
            streams: assembled.streams,
            execs: Execs::default(),
            connections: BTreeMap::new(),
            last_connection: 0,
            listener: Some(assembled.listener),
            listening: true,
            starved: false,
            rested: false,
            signals: assembled.signals,
            lock: Some(assembled.lock),
            home: assembled.home,
            phase,
            stop: None,
            kill: None,
            grace: None,
            deaf: false,
            by_hand: false,
            again: Again::No,
            not_executed: None,
            exit: None,
            cleaned_up: false,
            deleted: false,
            settled: false,
        }
    }

    /// Makes the launch socket the first connection and answers its request.
    pub(super) fn welcome(&mut self, socket: OwnedFd, request: u64, started: Started) {
        if let Some(index) = self.add_connection(socket) {
            self.answer(index, request, Ok(Reply::Ready(started)), Vec::new());
        }
    }

    /// Serves until the container has ended and everybody has been told.
    pub(super) fn run(&mut self) -> Result<(), ServeError> {
        self.begin_memory();
        if self.container.is_child {
            self.reap(); // it may have ended before SIGCHLD was blocked
        } else if self.exit.is_none() {
            let added = self.poller.add(&self.container.pidfd, Source::Init, EventFlags::IN);
            added.map_err(ServeError::Wait)?;
            self.begin_monitor();
        }
        while !self.is_done() {
            let all = self.poller.wait(self.patience()).map_err(ServeError::Wait)?;
            if all.is_empty() && !self.starved {
                self.rest();
            }
            // Whatever else happened may have given a descriptor back.
            let may_listen = self.starved && !all.iter().any(|ready| ready.source == Source::Listener);
            for ready in all {
                self.dispatch(ready);
            }
            if may_listen {
                self.listen_again();
            }
        }
        base::failpoint::hit("shim.settled");
        Ok(())
    }

    /// How long to wait at most.
    fn patience(&self) -> Option<Duration> {
        match (self.starved, self.rested) {
            (true, _) => Some(STARVED_PAUSE),
            (false, false) if self.phase == Phase::Running => Some(REST_AFTER),
            _ => None,
        }
    }

    /// Once in a life: what comes after the start takes little.
    fn rest(&mut self) {
        self.rested = true;
        // Without it this process is only larger.
        let _ = sys::memory::release_past();
    }

    fn is_done(&self) -> bool {
        self.settled
            && self.streams.is_flushed()
            && self.execs.all_ended()
            && self.connections.values().all(Connection::is_flushed)
    }

    fn dispatch(&mut self, ready: Ready) {
        match ready.source {
            Source::Listener => {
                self.accept();
            }
            Source::Signals => {
                while let Ok(Some(_)) = sys::signal::read_signalfd(&self.signals) {}
                self.reap();
            }
            Source::Init => self.on_adopted_end(),
            Source::Grace => self.on_grace_over(),
            Source::Restart => self.on_restart_due(),
            Source::Probe => self.on_probe_timer(),
            Source::ProbeOutput => self.on_probe_output(),
            Source::Memory => self.on_memory(),
            Source::MemoryAgain => self.on_memory_again(),
            Source::Output(index) => self.streams.on_output(index, &self.poller),
            Source::Stdin => self.streams.on_stdin(ready.flags, &self.poller),
            Source::ClientOutput(token) => self.streams.on_client_output(token, ready.flags, &self.poller),
            Source::ClientInput(id) => self.streams.on_client_input(id, &self.poller),
            Source::Connection(index) => self.on_connection(index, ready.flags),
            Source::ExecConsole(session) => self.execs.drain_console(session, &self.poller),
        }
    }

    /// Reaps init, exec processes, and orphans that came to us.
    fn reap(&mut self) {
        if self.container.is_child
            && self.exit.is_none()
            && let Ok(Some(status)) = self.container.ended()
        {
            self.on_end(Some(status), "");
        }
        for ended in self.execs.reap() {
            self.on_exec_end(ended);
        }
        self.reap_probe();
        while let Ok(Some((pid, status))) = sys::process::try_wait_any() {
            if self.is_probe(pid) {
                self.on_probe_end(status);
            } else if pid == self.container.pid && self.container.is_child && self.exit.is_none() {
                self.on_end(Some(status), "");
            } else if let Some(ended) = self.execs.ended(pid, status) {
                self.on_exec_end(ended);
            }
        }
    }

    /// Takes one client from the queue; false when nobody waits there.
    fn accept(&mut self) -> bool {
        let Some(listener) = &self.listener else { return false };
        let flags = rustix::net::SocketFlags::CLOEXEC | rustix::net::SocketFlags::NONBLOCK;
        let accepted = rustix::net::accept_with(listener, flags);
        self.starved = matches!(accepted, Err(Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM));
        let accepted = accepted.map(|socket| self.add_connection(socket)).is_ok();
        if (self.starved || self.connections.len() >= CONNECTIONS_MAX)
            && self.listening
            && let Some(listener) = &self.listener
        {
            // Ready all the time, it would keep us busy with nothing.
            self.poller.remove(listener);
            self.listening = false;
        }
        accepted
    }

    /// Serves the queue again, after a client has gone or a while has passed.
    fn listen_again(&mut self) {
        if !self.listening
            && self.connections.len() < CONNECTIONS_MAX
            && let Some(listener) = &self.listener
        {
            self.listening = self.poller.add(listener, Source::Listener, EventFlags::IN).is_ok();
            self.starved = !self.listening;
        }
    }

    fn add_connection(&mut self, socket: OwnedFd) -> Option<u32> {
        let connection = Connection::accept(socket).ok()?;
        self.last_connection += 1;
        let index = self.last_connection;
        self.poller.add(connection.socket(), Source::Connection(index), EventFlags::IN).ok()?;
        self.connections.insert(index, connection);
        if let Some(exit) = &self.exit {
            let notice = Reply::Exited(Box::new(exit.clone()));
            self.answer(index, 0, Ok(notice), Vec::new());
        }
        Some(index)
    }

    fn on_connection(&mut self, index: u32, flags: EventFlags) {
        let Some(connection) = self.connections.get_mut(&index) else { return };
        let mut outcome = Ok(());
        if flags.contains(EventFlags::OUT) {
            outcome = connection.flush((&self.poller, index));
        }
        if outcome.is_ok() && flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            outcome = connection.receive();
        }
        // Frames that came whole are served also when the end came with them.
        loop {
            let Some(connection) = self.connections.get_mut(&index) else { return };
            match connection.next_frame() {
                Ok(Some((frame, fds))) => {
                    if self.handle(index, &frame, fds).is_err() {
                        return self.drop_connection(index);
                    }
                }
                Ok(None) => break,
                Err(_) => return self.drop_connection(index),
            }
        }
        if outcome.is_err() {
            self.drop_connection(index);
        }
    }

    pub(super) fn drop_connection(&mut self, index: u32) {
        self.connections.remove(&index);
        self.listen_again();
        self.settle();
    }

    /// Answers a request; a client that cannot be answered is dropped.
    pub(super) fn answer(&mut self, index: u32, id: u64, result: Result<Reply, Failure>, fds: Vec<OwnedFd>) {
        let Some(connection) = self.connections.get_mut(&index) else { return };
        if connection.answer(id, result, fds, (&self.poller, index)).is_err() {
            self.drop_connection(index);
        }
    }

    /// Closes what says that a shim lives. Afterwards another may take the container.
    pub(super) fn leave(&mut self) {
        // Who has connected and was not served yet is told of the end.
        while self.accept() {}
        self.listener = None;
        self.lock = None;
    }

    /// Writes a line for whoever wonders; the file is made only when there is something to say.
    pub(super) fn note(&self, text: &str) {
        note_in(&self.diagnostics(), text);
    }

    /// Tells whoever reads the events.
    pub(super) fn tell(&self, action: &str, more: &[(&str, String)]) {
        crate::events::tell(&self.state.setup.record_dir, &self.container.id, action, more);
    }

    pub(super) fn diagnostics(&self) -> PathBuf {
        self.state.setup.state_dir.join(paths::DIAGNOSTICS)
    }
}

pub(super) fn note_in(path: &Path, text: &str) {
    if let Ok(mut file) = OpenOptions::new().append(true).create(true).mode(0o600).open(path) {
        let _ = writeln!(file, "{} {text}", Timestamp::now());
    }
}
