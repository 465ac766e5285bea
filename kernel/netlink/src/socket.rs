//! The synchronous socket: many messages in one send, answers sorted by request.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, sockopt};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use sys::netlink_options::{NetlinkOption, enable};

use crate::error::{Error, Refusal};
use crate::wire::{self, Attributes, Frame, Message, Messages};

/// Large enough for any dump datagram the kernel makes (it fills at most 32 KiB).
const RECEIVE_BUFFER_BYTES: usize = 64 * 1024;
/// Room for a batch of some ten thousand set elements in one send.
const SEND_BUFFER_BYTES: usize = 8 * 1024 * 1024;
/// The kernel answers at once; waiting longer means that the answer was lost.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// A dump that changes keep disturbing is given up after so many tries.
const DUMP_TRIES_MAX: u32 = 8;

/// A netlink protocol that this crate speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    /// `NETLINK_ROUTE`: `rtnetlink(7)`.
    Route,
    /// `NETLINK_NETFILTER`: nf_tables and connection tracking.
    Netfilter,
    /// `NETLINK_GENERIC`: families that are asked for by name.
    Generic,
}

/// One owned answer message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// `nlmsg_type`.
    pub kind: u16,
    /// The body after the message header.
    pub body: Vec<u8>,
}

/// A netlink socket bound to one network namespace for its whole life.
#[derive(Debug)]
pub struct Socket {
    fd: OwnedFd,
    sequence: u32,
    buffer: Vec<u8>,
}

impl Socket {
    /// A socket in the caller's network namespace.
    pub fn open(protocol: Protocol) -> Result<Self, Error> {
        let (name, number) = match protocol {
            Protocol::Route => ("NETLINK_ROUTE", None),
            Protocol::Netfilter => ("NETLINK_NETFILTER", Some(netlink::NETFILTER)),
            Protocol::Generic => ("NETLINK_GENERIC", Some(netlink::GENERIC)),
        };
        let failed = |errno: Errno| Error::Open { protocol: name, errno: errno.into() };
        let kind = SocketType::RAW;
        let fd = rustix::net::socket_with(AddressFamily::NETLINK, kind, SocketFlags::CLOEXEC, number)
            .map_err(failed)?;
        rustix::net::bind(&fd, &SocketAddrNetlink::new(0, 0)).map_err(failed)?;
        sockopt::set_socket_timeout(&fd, sockopt::Timeout::Recv, Some(ANSWER_TIMEOUT)).map_err(failed)?;
        // Old kernels lack one or the other, and an unprivileged caller may not force
        // the buffer; all that is lost is the error's text or very large batches.
        let _ = enable(fd.as_fd(), NetlinkOption::CapAck);
        let _ = enable(fd.as_fd(), NetlinkOption::ExtendedAck);
        let _ = enable(fd.as_fd(), NetlinkOption::StrictDumpCheck);
        let _ = sockopt::set_socket_send_buffer_size_force(&fd, SEND_BUFFER_BYTES);
        Ok(Self { fd, sequence: 0, buffer: vec![0; RECEIVE_BUFFER_BYTES] })
    }

    /// A socket in the network namespace that `netns` refers to.
    ///
    /// The calling thread visits that namespace and comes back; other threads are not
    /// touched. Who may not come back, as from a user namespace whose network is the
    /// host's, does not go: `EPERM`. Should the way back fail all the same, the process is
    /// aborted: going on in a container's network would be worse.
    pub fn open_in(netns: BorrowedFd<'_>, protocol: Protocol) -> Result<Self, Error> {
        let kind = Some(LinkNameSpaceType::Network);
        let own = rustix::fs::open(
            "/proc/thread-self/ns/net",
            rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::CLOEXEC,
            rustix::fs::Mode::empty(),
        )
        .map_err(|errno| Error::Enter { errno: errno.into() })?;
        for namespace in [own.as_fd(), netns] {
            move_into_link_name_space(namespace, kind)
                .map_err(|errno| Error::Enter { errno: errno.into() })?;
        }
        let socket = Self::open(protocol);
        if move_into_link_name_space(own.as_fd(), kind).is_err() {
            std::process::abort();
        }
        socket
    }

    /// The port that the kernel gave it: events say by it who caused them.
    pub fn port(&self) -> Result<u32, Error> {
        let address = rustix::net::getsockname(&self.fd)
            .map_err(|errno| Error::Open { protocol: "netlink", errno: errno.into() })?;
        Ok(SocketAddrNetlink::try_from(address).map_or(0, |address| address.pid()))
    }

    /// Sends all `messages` in one datagram and waits until each is acknowledged.
    ///
    /// The outer error is about the exchange; the inner results are the kernel's
    /// verdict on each message, with the answers it gave before.
    pub fn execute(&mut self, messages: &[Message]) -> Result<Vec<Result<Vec<Answer>, Refusal>>, Error> {
        let first = self.send(messages, wire::F_ACK)?;
        let mut answers: Vec<Vec<Answer>> = messages.iter().map(|_| Vec::new()).collect();
        let mut verdicts: Vec<Option<Result<(), Refusal>>> = messages.iter().map(|_| None).collect();
        while verdicts.iter().any(Option::is_none) {
            let length = self.receive()?;
            for frame in Messages::new(&self.buffer[..length]) {
                let index = frame.sequence.wrapping_sub(first) as usize;
                if index >= messages.len() {
                    continue; // a late answer to an earlier request
                }
                if frame.kind == wire::TYPE_ERROR {
                    verdicts[index] = Some(verdict(index, &frame));
                } else {
                    answers[index].push(Answer { kind: frame.kind, body: frame.body.to_vec() });
                }
            }
        }
        let paired = verdicts.into_iter().zip(answers);
        Ok(paired.map(|(verdict, answers)| verdict.unwrap_or(Ok(())).map(|()| answers)).collect())
    }

    /// Like [`execute`](Self::execute), but the first refusal is the error.
    pub fn execute_all(&mut self, messages: &[Message]) -> Result<Vec<Vec<Answer>>, Error> {
        self.execute(messages)?.into_iter().map(|result| result.map_err(Error::Refused)).collect()
    }

    /// Asks for all objects; repeated when changes disturb the listing.
    pub fn dump(&mut self, request: &Message) -> Result<Vec<Answer>, Error> {
        for _ in 0..DUMP_TRIES_MAX {
            if let Some(answers) = self.dump_once(request)? {
                return Ok(answers);
            }
        }
        Err(Error::Disturbed { tries: DUMP_TRIES_MAX })
    }

    fn dump_once(&mut self, request: &Message) -> Result<Option<Vec<Answer>>, Error> {
        let sequence = self.send(std::slice::from_ref(request), wire::F_DUMP)?;
        let mut answers = Vec::new();
        let mut disturbed = false;
        loop {
            let length = self.receive()?;
            for frame in Messages::new(&self.buffer[..length]) {
                if frame.sequence != sequence {
                    continue;
                }
                disturbed |= frame.flags & wire::F_DUMP_INTR != 0;
                match frame.kind {
                    wire::TYPE_ERROR => {
                        match verdict(0, &frame) {
                            // nf_tables says so when the generation changed meanwhile.
                            Err(refusal)
                                if refusal.errno.raw_os_error() == Some(Errno::INTR.raw_os_error()) =>
                            {
                                return Ok(None);
                            }
                            outcome => outcome?,
                        }
                        return Ok((!disturbed).then_some(answers));
                    }
                    wire::TYPE_DONE => {
                        done(&frame)?;
                        return Ok((!disturbed).then_some(answers));
                    }
                    kind => answers.push(Answer { kind, body: frame.body.to_vec() }),
                }
            }
        }
    }

    /// Sends an nfnetlink batch: `begin`, the messages, `end`; all or nothing.
    ///
    /// Only the last message asks for an acknowledgement; errors of any are reported.
    /// When several are refused, the first is the error. A refusal's index counts the
    /// messages without `begin`; a refusal of the batch itself has `usize::MAX`.
    pub fn commit(&mut self, begin: &Message, messages: &[Message], end: &Message) -> Result<(), Error> {
        let Some(last) = messages.last() else { return Ok(()) };
        let mut all = Vec::with_capacity(messages.len() + 2);
        all.push(begin.clone());
        all.extend_from_slice(&messages[..messages.len() - 1]);
        all.push(last.clone().with_flags(wire::F_ACK));
        all.push(end.clone());
        let first = self.send(&all, 0)?;
        let mut refused: Option<Refusal> = None;
        loop {
            let length = self.receive()?;
            for frame in Messages::new(&self.buffer[..length]) {
                let index = frame.sequence.wrapping_sub(first) as usize;
                if frame.kind != wire::TYPE_ERROR || index >= all.len() {
                    continue;
                }
                let outcome = verdict(index.wrapping_sub(1), &frame);
                if let Err(refusal) = outcome
                    && refused.is_none()
                {
                    refused = Some(refusal);
                }
                // The answers come in order: the last message's, or the batch's own,
                // is the end.
                if index == 0 || index >= messages.len() {
                    return refused.map_or(Ok(()), |refusal| Err(refusal.into()));
                }
            }
        }
    }

    fn send(&mut self, messages: &[Message], flags: u16) -> Result<u32, Error> {
        let first = self.sequence.wrapping_add(1);
        let mut datagram = Vec::with_capacity(messages.len() * 128);
        for (index, message) in messages.iter().enumerate() {
            self.sequence = self.sequence.wrapping_add(1);
            let flagged = message.clone().with_flags(flags);
            let bytes = flagged.finish(self.sequence).ok_or(Error::TooLong { index })?;
            datagram.extend_from_slice(&bytes);
        }
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&self.fd, &datagram, SendFlags::empty(), &kernel).map_err(|errno| {
            Error::Send { messages: messages.len(), bytes: datagram.len(), errno: errno.into() }
        })?;
        Ok(first)
    }

    /// The next datagram that comes from the kernel itself.
    fn receive(&mut self) -> Result<usize, Error> {
        loop {
            let received = rustix::net::recvfrom(&self.fd, self.buffer.as_mut_slice(), RecvFlags::TRUNC);
            let (_, length, from) = match received {
                Ok(received) => received,
                Err(Errno::INTR) => continue,
                Err(errno) => return Err(Error::Receive { errno: errno.into() }),
            };
            let kernel = from.and_then(|from| SocketAddrNetlink::try_from(from).ok());
            if kernel.is_none_or(|address| address.pid() != 0) {
                continue; // another process may send to our port: not an answer
            }
            if length > self.buffer.len() {
                return Err(Error::Truncated { bytes: length, buffer: self.buffer.len() });
            }
            return Ok(length);
        }
    }
}

impl AsFd for Socket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// Reads an `NLMSG_ERROR`: zero is an acknowledgement.
fn verdict(index: usize, frame: &Frame<'_>) -> Result<(), Refusal> {
    const FLAG_CAPPED: u16 = 0x100;
    const FLAG_ACK_TLVS: u16 = 0x200;
    let Some(code) = wire::read_u32(frame.body, 0) else {
        return Err(Refusal { index, message: None, offset: None, errno: io::Error::from(Errno::BADMSG) });
    };
    let code = code.cast_signed();
    if code == 0 {
        return Ok(());
    }
    let (mut message, mut offset) = (None, None);
    if frame.flags & FLAG_ACK_TLVS != 0 {
        let request = wire::read_u32(frame.body, 4).unwrap_or(16) as usize;
        let skip = if frame.flags & FLAG_CAPPED != 0 { 20 } else { 4usize.saturating_add(request) };
        (message, offset) = extended(frame.body, skip);
    }
    let errno = io::Error::from_raw_os_error(code.saturating_neg());
    Err(Refusal { index, message, offset, errno })
}

/// The result code that ends a dump: newer kernels put late errors there.
fn done(frame: &Frame<'_>) -> Result<(), Error> {
    let code = wire::read_u32(frame.body, 0).unwrap_or(0).cast_signed();
    if code >= 0 {
        return Ok(());
    }
    let (message, offset) = extended(frame.body, 4);
    let errno = io::Error::from_raw_os_error(code.saturating_neg());
    Err(Error::Refused(Refusal { index: 0, message, offset, errno }))
}

fn extended(body: &[u8], skip: usize) -> (Option<String>, Option<u32>) {
    const ATTR_MESSAGE: u16 = 1;
    const ATTR_OFFSET: u16 = 2;
    let skip = skip.min(body.len());
    let attributes = Attributes::after(body, skip);
    let message = attributes.find(ATTR_MESSAGE).map(|a| a.text());
    (message, attributes.find(ATTR_OFFSET).and_then(|a| a.u32()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_the_kernels_words() {
        let mut m = Message::new(wire::TYPE_ERROR, 0x300).fixed(&(-17i32).to_ne_bytes());
        m.raw(&[0; 16]).str(1, "File exists already").u32(2, 24);
        let bytes = m.finish(1).expect("short");
        let frame = Messages::new(&bytes).next().expect("one");
        let refusal = verdict(3, &frame).expect_err("refused");
        assert_eq!(
            refusal.to_string(),
            "netlink message 3 refused (File exists already, attribute at byte 24)"
        );
        assert_eq!(refusal.errno.raw_os_error(), Some(17));
    }

    proptest! {
        #[test]
        fn foreign_answers_never_panic(flags in any::<u16>(), body in proptest::collection::vec(any::<u8>(), 0..64)) {
            let frame = Frame { kind: wire::TYPE_ERROR, flags, sequence: 0, port: 0, body: &body };
            let _ = verdict(0, &frame);
            let _ = done(&frame);
        }
    }
}
