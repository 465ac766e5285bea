//! One proxy per table and network namespace: two would undo each other's work without end.
//!
//! The sign is an abstract Unix address. Such addresses belong to the network namespace, as the
//! table does, and go with the process, however it ends.

use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use crate::error::Error;

/// How often one that waits looks whether the other is gone.
pub(crate) const PAUSE: Duration = Duration::from_millis(500);

/// As long as it lives, no other proxy keeps the table.
#[derive(Debug)]
pub(crate) struct Sole(#[expect(dead_code, reason = "it is open, that is all")] UnixDatagram);

impl Sole {
    /// Takes the table's sign; `None` if another proxy has it.
    pub(crate) fn take(table: &str) -> Result<Option<Self>, Error> {
        let address = SocketAddr::from_abstract_name(format!("strake/service-proxy/{table}"));
        let bound = address.and_then(|address| UnixDatagram::bind_addr(&address));
        match bound {
            Ok(socket) => Ok(Some(Self(socket))),
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
            Err(source) => Err(Error::Sole { table: table.to_owned(), source }),
        }
    }
}
