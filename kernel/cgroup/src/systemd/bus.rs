//! A connection to a D-Bus server: a Unix socket, `SASL EXTERNAL`, calls and signals one after the
//! other. As much of D-Bus as it takes to ask systemd for a unit.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixStream};
use std::time::{Duration, Instant};

use super::message::{self, Call, ERROR, HEAD, Incoming, REPLY, SIGNAL};
use super::value::Value;

/// The bus could not be used.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// Nobody is there.
    #[error("connect to the D-Bus of systemd at {addresses}: is systemd running, and its bus?")]
    Connect {
        /// Where was tried.
        addresses: String,
        /// Why the last one failed.
        #[source]
        source: io::Error,
    },
    /// We are not let in.
    #[error("authenticate to the D-Bus of systemd: it says {said:?}")]
    Refused {
        /// What it said.
        said: String,
    },
    /// The connection broke, or it took too long.
    #[error("call {member} of systemd over D-Bus")]
    Broken {
        /// What was asked.
        member: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// It is no D-Bus.
    #[error("systemd's answer to {member} is not D-Bus")]
    Malformed {
        /// What was asked.
        member: String,
    },
    /// It refused.
    #[error("systemd refuses {member}: {name}: {text}")]
    Call {
        /// What was asked.
        member: String,
        /// The error's name.
        name: String,
        /// And text.
        text: String,
    },
}

impl BusError {
    /// Whether systemd refused with this error.
    pub(super) fn is(&self, error: &str) -> bool {
        matches!(self, Self::Call { name, .. } if name == error)
    }
}

/// A connection that has said hello.
#[derive(Debug)]
pub(super) struct Bus {
    socket: UnixStream,
    serial: u32,
    signals: VecDeque<Incoming>,
    deadline: Instant,
}

impl Bus {
    /// Connects to the first of these addresses that answers. All that is asked over this connection
    /// has to be answered within [`LIMIT`].
    pub(super) fn connect(addresses: &[String], uid: u32) -> Result<Self, BusError> {
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in addresses.iter().flat_map(|list| list.split(';')) {
            match open(address) {
                Ok(socket) => return Self::on(socket, uid),
                Err(error) => last = error,
            }
        }
        Err(BusError::Connect { addresses: addresses.join(" or "), source: last })
    }

    fn on(socket: UnixStream, uid: u32) -> Result<Self, BusError> {
        let deadline = Instant::now() + LIMIT;
        let mut bus = Self { socket, serial: 0, signals: VecDeque::new(), deadline };
        bus.authenticate(uid)?;
        bus.call(&Call { member: "Hello", ..BUS }, &[])?;
        Ok(bus)
    }

    /// First without a name, since inside a user namespace ours means nothing to the server: the
    /// socket's credentials say who we are.
    fn authenticate(&mut self, uid: u32) -> Result<(), BusError> {
        let name: String = uid.to_string().bytes().map(|byte| format!("{byte:02x}")).collect();
        self.write("AUTH", b"\0AUTH EXTERNAL\r\n")?;
        let mut said = self.line()?;
        if said.starts_with("DATA") {
            self.write("AUTH", b"DATA\r\n")?;
            said = self.line()?;
        }
        if said.starts_with("REJECTED") {
            self.write("AUTH", format!("AUTH EXTERNAL {name}\r\n").as_bytes())?;
            said = self.line()?;
        }
        if !said.starts_with("OK") {
            return Err(BusError::Refused { said });
        }
        self.write("AUTH", b"BEGIN\r\n")
    }

    /// Byte by byte: what follows belongs to somebody else.
    fn line(&mut self) -> Result<String, BusError> {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            if line.len() > LINE_MAX {
                return Err(BusError::Refused { said: "too much".to_owned() });
            }
            let mut byte = [0];
            self.read("AUTH", &mut byte)?;
            line.push(byte[0]);
        }
        Ok(String::from_utf8_lossy(&line).trim_end().to_owned())
    }

    /// Asks the server to pass these signals on.
    pub(super) fn listen(&mut self, rule: &str) -> Result<(), BusError> {
        self.call(&Call { member: "AddMatch", ..BUS }, &[Value::text(rule)]).map(drop)
    }

    /// Calls, and waits for the answer.
    pub(super) fn call(&mut self, call: &Call<'_>, body: &[Value]) -> Result<Vec<Value>, BusError> {
        self.serial += 1;
        let serial = self.serial;
        self.write(call.member, &call.encode(serial, body))?;
        loop {
            let message = self.receive(call.member)?;
            match message.kind {
                REPLY if message.reply_to == serial => return Ok(message.body),
                ERROR if message.reply_to == serial => {
                    let text = message.body.first().and_then(Value::as_text).unwrap_or_default().to_owned();
                    return Err(BusError::Call { member: call.member.to_owned(), name: message.error, text });
                }
                SIGNAL if self.signals.len() < SIGNALS_MAX => self.signals.push_back(message),
                _ => {}
            }
        }
    }

    /// The next signal of this name; `doing` is what it is waited for.
    pub(super) fn signal(&mut self, name: &str, doing: &str) -> Result<Vec<Value>, BusError> {
        loop {
            let message = match self.signals.pop_front() {
                Some(message) => message,
                None => self.receive(doing)?,
            };
            if message.kind == SIGNAL && message.member == name {
                return Ok(message.body);
            }
        }
    }

    fn receive(&mut self, member: &str) -> Result<Incoming, BusError> {
        let malformed = || BusError::Malformed { member: member.to_owned() };
        let mut bytes = vec![0; HEAD];
        self.read(member, &mut bytes)?;
        let length = message::length(&bytes).ok_or_else(malformed)?;
        bytes.resize(length.max(HEAD), 0);
        self.read(member, &mut bytes[HEAD..])?;
        message::decode(&bytes).ok_or_else(malformed)
    }

    fn write(&mut self, member: &str, bytes: &[u8]) -> Result<(), BusError> {
        let left = self.left();
        let written = left.and_then(|left| {
            self.socket.set_write_timeout(Some(left))?;
            self.socket.write_all(bytes)
        });
        written.map_err(|source| BusError::Broken { member: member.to_owned(), source })
    }

    fn read(&mut self, member: &str, bytes: &mut [u8]) -> Result<(), BusError> {
        let left = self.left();
        let read = left.and_then(|left| {
            self.socket.set_read_timeout(Some(left))?;
            self.socket.read_exact(bytes)
        });
        read.map_err(|source| BusError::Broken { member: member.to_owned(), source })
    }

    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.saturating_duration_since(Instant::now());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

/// `unix:path=/run/x`, `unix:abstract=name`, with further keys after commas.
fn open(address: &str) -> io::Result<UnixStream> {
    let keys = address.strip_prefix("unix:").ok_or(io::ErrorKind::Unsupported)?;
    for key in keys.split(',') {
        match key.split_once('=') {
            Some(("path", path)) => return UnixStream::connect(unescape(path)),
            Some(("abstract", name)) => {
                return UnixStream::connect_addr(&SocketAddr::from_abstract_name(unescape(name))?);
            }
            _ => {}
        }
    }
    Err(io::ErrorKind::Unsupported.into())
}

/// `%20` and the like.
fn unescape(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let escaped = (*first == b'%')
            .then(|| after.get(..2))
            .flatten()
            .and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok());
        match escaped {
            Some(byte) => (bytes.push(byte), rest = &after[2..]),
            None => (bytes.push(*first), rest = after),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

const BUS: Call<'static> = Call {
    destination: "org.freedesktop.DBus",
    path: "/org/freedesktop/DBus",
    interface: "org.freedesktop.DBus",
    member: "",
};
/// As long as others give systemd for a job.
const LIMIT: Duration = Duration::from_secs(30);
const LINE_MAX: usize = 4096;
/// More jobs than this do not end while we wait for ours.
const SIGNALS_MAX: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_unescaped() {
        assert_eq!(unescape("/run/a%20b%zz%2"), "/run/a b%zz%2");
        assert_eq!(open("tcp:host=x").unwrap_err().kind(), io::ErrorKind::Unsupported);
        let error = open("unix:path=/nonexistent/bus,guid=1").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
