//! Datagrams between one socket of the user's network and one place beyond it.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use crate::device::{PACKET_MAX, Tun};
use crate::packet;
use crate::tcp::Ends;

/// Which socket of the host datagrams go through.
pub(crate) enum Way {
    /// One that is connected to the remote end.
    Own(OwnedFd),
    /// A published port's, which its token names; answers go to this client.
    Listener(u64, SocketAddr),
}

/// An exchange of datagrams.
pub(crate) struct Exchange {
    pub(crate) ends: Ends,
    pub(crate) way: Way,
    /// When something last passed.
    pub(crate) used: Instant,
}

impl Exchange {
    /// How long it is remembered without a datagram, as the kernel's connection tracking has it
    /// (`nf_conntrack_udp_timeout_stream`); a question for a name is answered or not.
    pub(crate) fn idle_max(&self) -> Duration {
        if self.ends.remote.port() == 53 { Duration::from_secs(15) } else { Duration::from_secs(120) }
    }

    /// Hands on what the host's socket has; `false` when it is done for.
    pub(crate) fn pass_to_guest(&mut self, tun: &mut Tun, room: &mut Vec<u8>) -> bool {
        let Way::Own(socket) = &self.way else { return true };
        let mut bytes = vec![0; PACKET_MAX];
        for _ in 0..BATCH {
            match rustix::net::recv(socket, &mut bytes[..], rustix::net::RecvFlags::empty()) {
                Ok((_, count)) => {
                    packet::datagram(room, self.ends.remote, self.ends.guest, &bytes[..count]);
                    tun.send(room);
                    self.used = Instant::now();
                }
                // Nobody listens there: the sender finds out as with any datagram, by silence.
                Err(rustix::io::Errno::CONNREFUSED | rustix::io::Errno::INTR) => {}
                Err(rustix::io::Errno::AGAIN) => return true,
                Err(_) => return false,
            }
        }
        true
    }
}

/// Datagrams that one socket gets handed on before the others have their turn.
pub(crate) const BATCH: usize = 64;
