//! What can go wrong between us and the kernel.

use std::io;

use base::{Classified, ErrorClass};

/// A netlink exchange failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The socket could not be made.
    #[error("open a netlink socket ({protocol})")]
    Open {
        /// Which netlink protocol.
        protocol: &'static str,
        /// Why.
        #[source]
        errno: io::Error,
    },
    /// The calling thread could not enter the other network namespace.
    #[error("enter a network namespace to open a netlink socket in it")]
    Enter {
        /// Why.
        #[source]
        errno: io::Error,
    },
    /// The kernel did not take the datagram.
    #[error("send {messages} netlink messages ({bytes} bytes)")]
    Send {
        /// How many messages it held.
        messages: usize,
        /// Its size.
        bytes: usize,
        /// Why.
        #[source]
        errno: io::Error,
    },
    /// No answer came.
    #[error("receive a netlink answer")]
    Receive {
        /// Why.
        #[source]
        errno: io::Error,
    },
    /// The answer was larger than the receive buffer.
    #[error("a netlink answer of {bytes} bytes does not fit into the buffer of {buffer}")]
    Truncated {
        /// The answer's size.
        bytes: usize,
        /// Our buffer's.
        buffer: usize,
    },
    /// A value does not fit into a netlink length field.
    #[error("netlink message {index} of the request is longer than the protocol allows")]
    TooLong {
        /// Its place in the request.
        index: usize,
    },
    /// The kernel refused one message of the request.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A dump was disturbed by changes again and again.
    #[error("a netlink dump was disturbed by concurrent changes {tries} times")]
    Disturbed {
        /// How often it was tried.
        tries: u32,
    },
}

/// The kernel's "no" to one message.
#[derive(Debug, thiserror::Error)]
#[error("netlink message {index} refused{}", said(.message, *.offset))]
pub struct Refusal {
    /// The message's place in the request, from 0.
    pub index: usize,
    /// The kernel's words from the extended acknowledgement, when it gave some.
    pub message: Option<String>,
    /// The offset of the offending attribute in the message, when it gave one.
    pub offset: Option<u32>,
    /// The error number.
    #[source]
    pub errno: io::Error,
}

fn said(message: &Option<String>, offset: Option<u32>) -> String {
    match (message, offset) {
        (Some(message), Some(offset)) => format!(" ({message}, attribute at byte {offset})"),
        (Some(message), None) => format!(" ({message})"),
        (None, Some(offset)) => format!(" (attribute at byte {offset})"),
        (None, None) => String::new(),
    }
}

impl Error {
    /// The error number behind it, when there is one.
    pub fn raw_os_error(&self) -> Option<i32> {
        match self {
            Self::Open { errno, .. }
            | Self::Enter { errno }
            | Self::Send { errno, .. }
            | Self::Receive { errno } => errno.raw_os_error(),
            Self::Refused(refusal) => refusal.errno.raw_os_error(),
            Self::Truncated { .. } | Self::TooLong { .. } | Self::Disturbed { .. } => None,
        }
    }

    /// Whether the kernel answered with this error number.
    pub fn is(&self, errno: rustix::io::Errno) -> bool {
        self.raw_os_error() == Some(errno.raw_os_error())
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Open { errno, .. }
            | Self::Enter { errno }
            | Self::Send { errno, .. }
            | Self::Receive { errno } => ErrorClass::of_io(errno),
            Self::Refused(refusal) => ErrorClass::of_io(&refusal.errno),
            Self::TooLong { .. } => ErrorClass::Invalid,
            Self::Disturbed { .. } => ErrorClass::Unavailable,
            Self::Truncated { .. } => ErrorClass::Internal,
        }
    }
}
