//! A container in the foreground: until it ends for good, whatever becomes of its supervisor.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use engine::{Engine, Lifecycle, Record, StartOptions};
use shim::{Attached, Client, Exit, StreamSet, Waiter};
use sys::signal::Signal;

use super::session::{Over, Peer, Session, SessionOptions, Streams};
use super::terminal;
use crate::context::Context;
use crate::error::CliError;

/// How an attachment ended.
pub(super) enum Outcome {
    /// The container has ended.
    Ended(Box<Exit>),
    /// The user has detached; it runs on.
    Detached,
}

/// A container that is attached to.
pub(super) struct Foreground<'c> {
    /// Where it is kept.
    pub(super) engine: &'c Engine,
    /// Its record.
    pub(super) record: Record,
    /// Which streams are attached.
    pub(super) streams: StreamSet,
    /// Whether we clean up after it.
    pub(super) holds_cleanup: bool,
}

impl From<Attached> for Streams {
    fn from(attached: Attached) -> Self {
        Self { stdin: attached.stdin, stdout: attached.stdout, stderr: attached.stderr }
    }
}

struct Supervised<'c> {
    waiter: Waiter,
    control: Option<Client>,
    engine: &'c Engine,
    record: &'c Record,
}

impl Supervised<'_> {
    /// A connection of its own for what happens while the other one waits.
    fn control(&mut self) -> Option<&mut Client> {
        if self.control.is_none() {
            self.control = self.engine.connect(self.record).ok();
        }
        self.control.as_mut()
    }
}

impl Peer for Supervised<'_> {
    fn ended(&self) -> BorrowedFd<'_> {
        self.waiter.as_fd()
    }

    fn signal(&mut self, signal: Signal) {
        // The container may have ended at this moment.
        let _ = self.control().map(|client| client.kill(signal.number()));
    }

    fn resized(&mut self) {
        if let (true, Some((columns, rows))) = (self.record.request.process.tty, terminal::size()) {
            let _ = self.control().map(|client| client.resize(columns, rows));
        }
    }
}

impl Foreground<'_> {
    /// Passes bytes and signals until the container ends or the user detaches.
    pub(super) fn run(
        self,
        context: &Context,
        client: Client,
        attached: Attached,
        signals: OwnedFd,
        options: SessionOptions,
    ) -> Result<Outcome, CliError> {
        let mut session = Session::new(context, attached.into(), signals, options)?;
        let mut client = Some(client);
        loop {
            let current = match client.take() {
                Some(client) => client,
                None => match self.again(&mut session)? {
                    Ok(client) => client,
                    Err(exit) => return Ok(Outcome::Ended(exit)),
                },
            };
            let waiter = current.waiter()?;
            let mut peer = Supervised { waiter, control: None, engine: self.engine, record: &self.record };
            peer.resized();
            if session.run(&mut peer)? == Over::Detached {
                drop(session);
                // The container runs on: its supervisor cleans up when it ends.
                let _ = peer.waiter.give_up().detach();
                return Ok(Outcome::Detached);
            }
            match peer.waiter.end() {
                Ok((exit, ended)) if exit.restart.is_some() => {
                    match self.await_restart(ended, Box::new(exit), &mut session)? {
                        Ok(next) => client = Some(next),
                        Err(exit) => return Ok(Outcome::Ended(exit)),
                    }
                }
                Ok((exit, client)) => {
                    // Before we clean up: the user gets the terminal back at once.
                    drop(session);
                    self.clean_up()?;
                    if self.holds_cleanup {
                        // The supervisor may be gone already.
                        let _ = client.cleaned_up();
                    }
                    return Ok(Outcome::Ended(Box::new(exit)));
                }
                // The supervisor was killed: the engine gives the container another one.
                Err(error) if error.is_gone() => {}
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// The container has ended and is to be started again: by us, so that we see all of it. Or its
    /// end, when it stays ended.
    fn await_restart(
        &self,
        mut client: Client,
        exit: Box<Exit>,
        session: &mut Session<'_>,
    ) -> Result<Result<Client, Box<Exit>>, CliError> {
        let id = &self.record.id;
        // It is recorded that it ended, and that it waits.
        match self.holds_cleanup {
            true => self.clean_up()?,
            false => drop(self.engine.look(id)?),
        }
        if client.tell_cleaned_up().is_ok() && !session.wait_for(client.as_fd())? {
            // As docker: a signal that finds nothing running ends the restarts.
            self.engine.cancel_restart(id)?;
            return Ok(Err(exit));
        }
        client.wait_gone();
        let tty = self.record.request.process.tty;
        let console_size = terminal::size().filter(|_| tty);
        let start = StartOptions { attach: Some(self.streams), hold_cleanup: true, console_size };
        match self.engine.restart_attached(id, &start) {
            Ok(Some(started)) => {
                session.replace(started.attached.unwrap_or_default().into())?;
                Ok(Ok(started.client))
            }
            // Somebody else was faster, or has stopped it.
            Ok(None) => self.again(session),
            Err(error) if error.is_not_found() => Ok(Err(exit)),
            Err(error) => Err(error.into()),
        }
    }

    /// Attaches again after the supervisor was lost; or the end.
    fn again(&self, session: &mut Session<'_>) -> Result<Result<Client, Box<Exit>>, CliError> {
        let record = match self.engine.look(&self.record.id) {
            Ok(record) => record,
            // Removed by somebody else, with its end.
            Err(error) if error.is_not_found() => return Err(CliError::silent(crate::error::Status(255))),
            Err(error) => return Err(error.into()),
        };
        if let Lifecycle::Exited { exit } | Lifecycle::Restarting { exit } = record.lifecycle {
            self.clean_up()?;
            return Ok(Err(exit));
        }
        let mut client = self.engine.connect(&record)?;
        if self.holds_cleanup {
            client.hold_cleanup()?;
        }
        // One of an older version starts it by itself.
        let _ = client.hold_restart();
        session.replace(client.attach(self.streams)?.into())?;
        Ok(Ok(client))
    }

    fn clean_up(&self) -> Result<(), CliError> {
        if !self.holds_cleanup {
            return Ok(());
        }
        self.engine.after_exit(&self.record.id)?;
        Ok(())
    }
}
