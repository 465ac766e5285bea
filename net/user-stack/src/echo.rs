//! Echo requests of one pinging process, and their replies.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::Instant;

use crate::device::Tun;
use crate::packet;
use crate::tcp::Ends;

/// A pinging process: its identifier is the port of the guest's end.
pub(crate) struct Ping {
    pub(crate) ends: Ends,
    pub(crate) socket: OwnedFd,
    pub(crate) used: Instant,
}

impl Ping {
    /// Sends a request on; the kernel puts an identifier of its own in.
    pub(crate) fn pass_to_host(&mut self, message: &[u8]) {
        let _ = rustix::net::send(&self.socket, message, rustix::net::SendFlags::empty());
        self.used = Instant::now();
    }

    /// Hands on the replies.
    pub(crate) fn pass_to_guest(&self, tun: &mut Tun, room: &mut Vec<u8>) {
        let mut bytes = vec![0; MESSAGE_MAX];
        while let Ok((_, count)) =
            rustix::net::recv(&self.socket, &mut bytes[..], rustix::net::RecvFlags::empty())
        {
            let guest: SocketAddr = self.ends.guest;
            packet::echo_reply(room, self.ends.remote.ip(), guest, &bytes[..count]);
            tun.send(room);
        }
    }
}

/// The longest reply.
const MESSAGE_MAX: usize = 65_515;
