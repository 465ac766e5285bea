//! One TCP connection: smoltcp towards the user's network, a socket towards the host's.
//!
//! ```text
//! from inside   SYN ─▶ the host connects ─▶ SYN accepted ─▶ Open      refused ─▶ RST
//! from outside  the host accepts ─▶ SYN sent ─▶ Open                  refused ─▶ reset
//! ```
//!
//! Each has an interface of its own, so that a packet costs the same however many there are.

use std::net::SocketAddr;
use std::os::fd::OwnedFd;

use rustix::net::Shutdown;
use smoltcp::iface::{Config, Interface, PollResult, SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpCidr, IpEndpoint};

use crate::device::Tun;
use crate::host;

/// The two ends of a connection as packets of the user's network name them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ends {
    /// In the user's network.
    pub(crate) guest: SocketAddr,
    /// Beyond it.
    pub(crate) remote: SocketAddr,
}

/// A connection.
pub(crate) struct Flow {
    pub(crate) ends: Ends,
    /// The host's socket.
    pub(crate) socket: OwnedFd,
    /// Until the host is connected: the packet that asked for it.
    waiting: Option<Vec<u8>>,
    interface: Interface,
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    /// The kernel has told that there is something to read, and we have not yet met the end of it.
    readable: bool,
    /// The same for room to write.
    writable: bool,
    host_has_ended: bool,
    guest_has_ended: bool,
}

/// Whether a connection goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It does.
    Lives,
    /// Both sides are through with it.
    Over,
}

impl Flow {
    /// A connection that `packet` asks for; the host's `socket` is being connected.
    pub(crate) fn outbound(ends: Ends, socket: OwnedFd, packet: &[u8], tun: &mut Tun, now: Instant) -> Self {
        Self { waiting: Some(packet.to_vec()), ..Self::new(ends, socket, tun, now) }
    }

    /// A connection that the host has accepted; the user's network is asked for the other half.
    pub(crate) fn inbound(ends: Ends, socket: OwnedFd, tun: &mut Tun, now: Instant) -> Option<Self> {
        let mut flow = Self::new(ends, socket, tun, now);
        let smol = flow.sockets.get_mut::<Socket<'_>>(flow.handle);
        let (to, from) = (IpEndpoint::from(ends.guest), IpEndpoint::from(ends.remote));
        smol.connect(flow.interface.context(), to, from).ok()?;
        Some(flow)
    }

    fn new(ends: Ends, socket: OwnedFd, tun: &mut Tun, now: Instant) -> Self {
        let interface = interface(ends.remote, tun, now);
        let buffer = || SocketBuffer::new(vec![0; BUFFER_SIZE]);
        let mut smol = Socket::new(buffer(), buffer());
        // Answers leave when all packets that wait are read, so none is worth holding back.
        smol.set_ack_delay(None);
        smol.set_nagle_enabled(false);
        let mut sockets = SocketSet::new(Vec::with_capacity(1));
        let handle = sockets.add(smol);
        Self {
            ends,
            socket,
            waiting: None,
            interface,
            sockets,
            handle,
            readable: false,
            writable: false,
            host_has_ended: false,
            guest_has_ended: false,
        }
    }

    /// A packet of the user's network arrived.
    pub(crate) fn take(&mut self, packet: &[u8], tun: &mut Tun, now: Instant) {
        if self.waiting.is_some() {
            // It asks again: the answer is on its way.
            return;
        }
        self.interface.poll_ingress_single(now, &mut tun.with(Some(packet)), &mut self.sockets);
    }

    /// Notes what the kernel said of the host's socket.
    pub(crate) fn note(&mut self, readable: bool, writable: bool) {
        self.readable |= readable;
        self.writable |= writable;
    }

    /// Moves what can be moved, and tells whether more will come.
    pub(crate) fn run(&mut self, tun: &mut Tun, now: Instant) -> Fate {
        if let Some(packet) = self.waiting.take_if(|_| self.writable) {
            if host::connected(&self.socket).is_err() {
                refuse(self.ends.remote, &packet, tun, now);
                return Fate::Over;
            }
            let remote = self.ends.remote;
            let smol = self.sockets.get_mut::<Socket<'_>>(self.handle);
            if smol.listen(IpEndpoint::from(remote)).is_err() {
                return Fate::Over;
            }
            self.interface.poll_ingress_single(now, &mut tun.with(Some(&packet)), &mut self.sockets);
        }
        if self.waiting.is_some() {
            return Fate::Lives;
        }
        self.pass_to_host();
        self.pass_to_guest();
        while self.interface.poll_egress(now, &mut tun.with(None), &mut self.sockets) != PollResult::None {
            // What left the buffer makes room for more.
            self.pass_to_guest();
        }
        self.fate()
    }

    /// When it must run though nothing happened.
    pub(crate) fn due(&mut self, now: Instant) -> Option<Instant> {
        self.interface.poll_at(now, &self.sockets)
    }

    fn pass_to_host(&mut self) {
        let smol = self.sockets.get_mut::<Socket<'_>>(self.handle);
        while self.writable && smol.can_recv() {
            let written = smol.recv(|bytes| match rustix::io::write(&self.socket, bytes) {
                Ok(count) => (count, Ok(())),
                Err(errno) => (0, Err(errno)),
            });
            match written {
                Ok(Ok(())) => {}
                Ok(Err(errno)) if host::is_not_now(errno) => self.writable = false,
                _ => {
                    smol.abort();
                    return;
                }
            }
        }
        let ended =
            matches!(smol.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if ended && !smol.can_recv() && !self.guest_has_ended {
            self.guest_has_ended = true;
            let _ = rustix::net::shutdown(&self.socket, Shutdown::Write);
        }
    }

    fn pass_to_guest(&mut self) {
        let smol = self.sockets.get_mut::<Socket<'_>>(self.handle);
        while self.readable && !self.host_has_ended && smol.can_send() {
            let read = smol.send(|room| match rustix::io::read(&self.socket, &mut *room) {
                Ok(count) => (count, Ok(count)),
                Err(errno) => (0, Err(errno)),
            });
            match read {
                Ok(Ok(0)) => {
                    self.host_has_ended = true;
                    smol.close();
                }
                Ok(Ok(_)) => {}
                Ok(Err(errno)) if host::is_not_now(errno) => self.readable = false,
                _ => {
                    smol.abort();
                    return;
                }
            }
        }
    }

    fn fate(&self) -> Fate {
        match self.sockets.get::<Socket<'_>>(self.handle).state() {
            State::TimeWait => Fate::Over,
            State::Closed => {
                if !(self.host_has_ended && self.guest_has_ended) {
                    host::reset_on_close(&self.socket);
                }
                Fate::Over
            }
            _ => Fate::Lives,
        }
    }
}

/// Answers a packet that belongs to no connection as a closed port does.
pub(crate) fn refuse(remote: SocketAddr, packet: &[u8], tun: &mut Tun, now: Instant) {
    let mut interface = interface(remote, tun, now);
    let mut nobody = SocketSet::new(Vec::new());
    interface.poll_ingress_single(now, &mut tun.with(Some(packet)), &mut nobody);
}

/// An interface that has the remote end's address, for which all others are near.
fn interface(remote: SocketAddr, tun: &mut Tun, now: Instant) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    // Ports and sequence numbers of connections that we begin should not be guessed.
    let mut seed = [0; 8];
    if rustix_random(&mut seed) {
        config.random_seed = u64::from_ne_bytes(seed);
    }
    let mut interface = Interface::new(config, &mut tun.with(None), now);
    interface.update_ip_addrs(|addresses| {
        // There is room for two.
        let _ = addresses.push(IpCidr::new(remote.ip().into(), 0));
    });
    interface
}

fn rustix_random(bytes: &mut [u8; 8]) -> bool {
    rustix::rand::getrandom(bytes, rustix::rand::GetRandomFlags::empty()).is_ok()
}

/// Bytes on their way in one direction, at most.
const BUFFER_SIZE: usize = 512 << 10;
