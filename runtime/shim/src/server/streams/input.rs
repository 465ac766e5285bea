//! The container's stdin.

use std::os::fd::OwnedFd;

use rustix::event::epoll::EventFlags;

use super::attachment::write_some;
use crate::server::poller::{Poller, Source};

/// The writing side of the container's stdin, and what it has not taken yet: at most one
/// read of one client, because nobody is listened to while something is left.
#[derive(Debug)]
pub(super) struct Input {
    fd: Option<OwnedFd>,
    pending: Vec<u8>,
    /// The first client's end is the container's.
    once: bool,
    /// That end has come: close when all is written.
    closing: bool,
}

impl Input {
    pub(super) fn new(fd: Option<OwnedFd>, once: bool) -> Self {
        Self { fd, pending: Vec::new(), once, closing: false }
    }

    pub(super) fn is_open(&self) -> bool {
        self.fd.is_some() && !self.closing
    }

    pub(super) fn is_behind(&self) -> bool {
        !self.pending.is_empty()
    }

    pub(super) fn push(&mut self, bytes: &[u8], poller: &Poller) {
        let Some(fd) = &self.fd else { return };
        let was_behind = self.is_behind();
        if was_behind {
            self.pending.extend_from_slice(bytes);
            return;
        }
        match write_some(fd, bytes) {
            Ok(sent) if sent == bytes.len() => {}
            Ok(sent) => {
                self.pending.extend_from_slice(&bytes[sent..]);
                let _ = poller.add(fd, Source::Stdin, EventFlags::OUT);
            }
            Err(_) => self.close(poller),
        }
    }

    pub(super) fn client_ended(&mut self, poller: &Poller) {
        if self.once {
            self.closing = true;
            if self.pending.is_empty() {
                self.close(poller);
            }
        }
    }

    pub(super) fn on_ready(&mut self, flags: EventFlags, poller: &Poller) {
        let Some(fd) = &self.fd else { return };
        match write_some(fd, &self.pending) {
            Ok(sent) if !flags.contains(EventFlags::ERR) => {
                self.pending.drain(..sent);
                if self.pending.is_empty() {
                    self.pending = Vec::new();
                    poller.remove(fd);
                    if self.closing {
                        self.close(poller);
                    }
                }
            }
            _ => self.close(poller),
        }
    }

    pub(super) fn close(&mut self, poller: &Poller) {
        if let Some(fd) = self.fd.take() {
            poller.remove(&fd);
        }
        self.pending = Vec::new();
    }
}
