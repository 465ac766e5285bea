//! Why the stack does not run, or a port is not open.

use std::io;
use std::net::SocketAddr;

use base::{Classified, ErrorClass};

/// An operation failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A system call that needs no more words.
    #[error("user network: {step}")]
    Step {
        /// What was being done.
        step: &'static str,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A port of the host is not to be had. docker's words.
    #[error("Bind for {address} failed: {}", bind_reason(source, *address))]
    Bind {
        /// The port.
        address: SocketAddr,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The process refused.
    #[error("{message}")]
    Refused {
        /// In its words.
        message: String,
    },
}

impl Error {
    pub(crate) fn step<E: Into<io::Error>>(step: &'static str) -> impl FnOnce(E) -> Self {
        move |source| Self::Step { step, source: source.into() }
    }
}

impl Classified for Error {
    fn class(&self) -> ErrorClass {
        match self {
            Self::Bind { source, .. } if source.kind() == io::ErrorKind::AddrInUse => ErrorClass::Conflict,
            Self::Step { source, .. } | Self::Bind { source, .. } => ErrorClass::of_io(source),
            Self::Refused { .. } => ErrorClass::Conflict,
        }
    }
}

fn bind_reason(source: &io::Error, address: SocketAddr) -> String {
    match source.kind() {
        io::ErrorKind::AddrInUse => "port is already allocated".to_owned(),
        io::ErrorKind::PermissionDenied => format!(
            "ports below 1024 are root's: publish on one above, or lower the sysctl \
             net.ipv4.ip_unprivileged_port_start to {}",
            address.port()
        ),
        _ => source.to_string(),
    }
}
