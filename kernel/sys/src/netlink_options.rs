//! Options of netlink sockets that no safe crate has: `netlink(7)`, "Socket options".

#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// A switch of a netlink socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NetlinkOption {
    /// Answers to errors do not carry the request back. Since Linux 4.2.
    CapAck,
    /// Errors carry a message and the offending attribute. Since Linux 4.12.
    ExtendedAck,
    /// Dump requests are checked strictly, so that filters are honoured. Since Linux 4.20.
    StrictDumpCheck,
}

impl NetlinkOption {
    const fn number(self) -> libc::c_int {
        match self {
            Self::CapAck => 10,
            Self::ExtendedAck => 11,
            Self::StrictDumpCheck => 12,
        }
    }
}

/// Turns `option` on for `socket`: `setsockopt(2)` at level `SOL_NETLINK`.
pub fn enable(socket: BorrowedFd<'_>, option: NetlinkOption) -> io::Result<()> {
    let on: libc::c_int = 1;
    let size = libc::socklen_t::try_from(size_of_val(&on)).unwrap_or(4);
    // SAFETY: the descriptor is borrowed for the call and the kernel reads `size`
    // bytes of `on`, which lives on our stack until the call returns.
    let rc = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_NETLINK,
            option.number(),
            std::ptr::from_ref(&on).cast(),
            size,
        )
    };
    if rc == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
