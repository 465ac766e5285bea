//! What changes in nf_tables, as the kernel tells it: no polling.
//!
//! Events are hints. A reader that is too slow loses some and is told so; then it has to
//! look at the rule set itself.

use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SocketFlags, SocketType};

use crate::error::Error;
use crate::wire::{Attributes, Frame, Messages};

use super::{
    DEL_SET_ELEMENT, DEL_TABLE, Family, HEADER_LEN, NEW_CHAIN, NEW_GENERATION, NEW_RULE, NEW_SET,
    NEW_SET_ELEMENT, NEW_TABLE,
};

/// `NFNLGRP_NFTABLES`, as a bit.
const GROUP: u32 = 1 << (7 - 1);
const BUFFER_BYTES: usize = 64 * 1024;
const DEL_CHAIN: u16 = NEW_CHAIN + 2;
const DEL_RULE: u16 = NEW_RULE + 2;
const DEL_SET: u16 = NEW_SET + 2;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject {
    /// A table.
    Table,
    /// A chain.
    Chain,
    /// A rule.
    Rule,
    /// A set or map.
    Set,
    /// Elements of one.
    Elements,
    /// The end of a transaction.
    Generation,
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Of what.
    pub subject: Subject,
    /// It is gone.
    pub deleted: bool,
    /// Its family.
    pub family: Family,
    /// Its table; empty at the end of a transaction.
    pub table: String,
    /// The port of the socket that asked for it: see [`Socket::port`](crate::Socket::port).
    pub port: u32,
}

/// What a look at the socket brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Noticed {
    /// These, in order.
    Events(Vec<Event>),
    /// Some were lost.
    Lost,
    /// There is nothing now.
    Nothing,
}

/// A socket that hears of all changes in its network namespace; never blocks.
#[derive(Debug)]
pub struct Monitor {
    fd: OwnedFd,
    buffer: Vec<u8>,
}

impl Monitor {
    /// A monitor of the caller's network namespace.
    pub fn open() -> Result<Self, Error> {
        let failed = |errno: Errno| Error::Open { protocol: "NETLINK_NETFILTER", errno: errno.into() };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let number = Some(netlink::NETFILTER);
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, flags, number)
            .map_err(failed)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, GROUP)).map_err(failed)?;
        Ok(Self { fd, buffer: vec![0; BUFFER_BYTES] })
    }

    /// Takes what has come since the last look, one datagram at a time.
    pub fn notice(&mut self) -> Result<Noticed, Error> {
        loop {
            let received = rustix::net::recvfrom(&self.fd, self.buffer.as_mut_slice(), RecvFlags::TRUNC);
            let (_, length, from) = match received {
                Ok(received) => received,
                Err(Errno::INTR) => continue,
                Err(Errno::AGAIN) => return Ok(Noticed::Nothing),
                Err(Errno::NOBUFS) => return Ok(Noticed::Lost),
                Err(errno) => return Err(Error::Receive { errno: errno.into() }),
            };
            let kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if kernel.is_none_or(|address| address.pid() != 0) {
                continue;
            }
            let Some(datagram) = self.buffer.get(..length) else { return Ok(Noticed::Lost) };
            return Ok(Noticed::Events(Messages::new(datagram).filter_map(|f| Event::parse(&f)).collect()));
        }
    }
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.fd.as_raw_fd()
    }
}

impl Event {
    /// Reads one message of the group.
    pub(crate) fn parse(frame: &Frame<'_>) -> Option<Self> {
        let (subject, deleted) = match frame.kind {
            NEW_TABLE | DEL_TABLE => (Subject::Table, frame.kind == DEL_TABLE),
            NEW_CHAIN | DEL_CHAIN => (Subject::Chain, frame.kind == DEL_CHAIN),
            NEW_RULE | DEL_RULE => (Subject::Rule, frame.kind == DEL_RULE),
            NEW_SET | DEL_SET => (Subject::Set, frame.kind == DEL_SET),
            NEW_SET_ELEMENT | DEL_SET_ELEMENT => (Subject::Elements, frame.kind == DEL_SET_ELEMENT),
            NEW_GENERATION => (Subject::Generation, false),
            _ => return None,
        };
        let family = Family::from_number(*frame.body.first()?);
        // Tables, chains, rules, sets and elements all have their table's name first.
        const TABLE: u16 = 1;
        let table = match subject {
            Subject::Generation => String::new(),
            _ => Attributes::after(frame.body, HEADER_LEN.min(frame.body.len())).find(TABLE)?.text(),
        };
        Some(Self { subject, deleted, family, table, port: frame.port })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn foreign_events_never_panic(kind in 0u16..24, body in proptest::collection::vec(any::<u8>(), 0..120)) {
            let frame = Frame { kind: NEW_TABLE | kind, flags: 0, sequence: 0, port: 7, body: &body };
            let _ = Event::parse(&frame);
        }
    }
}
