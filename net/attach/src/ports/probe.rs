//! Whether a host port is free: by trying to bind it.

use std::net::{IpAddr, SocketAddr};
use std::path::Path;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::error::Error;
use crate::publish::Protocol;

/// Linux's ephemeral range where `/proc` does not tell.
const EPHEMERAL_DEFAULT: (u16, u16) = (32768, 60999);

/// The outcome of a trial.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Probed {
    /// It could be bound.
    Free,
    /// Somebody has it.
    Taken,
}

/// Binds the port and lets it go again.
pub(crate) fn probe(protocol: Protocol, host_ip: IpAddr, port: u16) -> Result<Probed, Error> {
    let failed = |errno: Errno| Error::PortTest { protocol, host_ip, port, source: errno.into() };
    let (kind, number) = match protocol {
        Protocol::Tcp => (SocketType::STREAM, ipproto::TCP),
        Protocol::Udp => (SocketType::DGRAM, ipproto::UDP),
        Protocol::Sctp => (SocketType::STREAM, ipproto::SCTP),
    };
    let family = if host_ip.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let socket = rustix::net::socket_with(family, kind, SocketFlags::CLOEXEC, Some(number));
    let socket = match socket {
        Ok(socket) => socket,
        // A kernel without the transport or the family has no listener on it either.
        Err(Errno::PROTONOSUPPORT | Errno::SOCKTNOSUPPORT | Errno::AFNOSUPPORT) => return Ok(Probed::Free),
        Err(errno) => return Err(failed(errno)),
    };
    if host_ip.is_ipv6() {
        sockopt::set_ipv6_v6only(&socket, true).map_err(failed)?;
    }
    if protocol == Protocol::Tcp {
        // As a server does: connections in TIME_WAIT are not in the way, listeners are.
        sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    }
    match rustix::net::bind(&socket, &SocketAddr::new(host_ip, port)) {
        Ok(()) => Ok(Probed::Free),
        Err(Errno::ADDRINUSE) => Ok(Probed::Taken),
        Err(Errno::ADDRNOTAVAIL) => Err(Error::NotOurAddress { address: host_ip }),
        Err(errno) => Err(failed(errno)),
    }
}

/// Whether the kernel can lead SCTP packets elsewhere. It does not tell before connections are
/// tracked at all; later kernels have it built in.
pub(crate) fn tracks_sctp() -> bool {
    let known = |name: &str| Path::new("/proc/sys/net/netfilter").join(name).exists();
    known("nf_conntrack_sctp_timeout_established") || !known("nf_conntrack_tcp_timeout_established")
}

/// The ports that the kernel gives to those without a wish.
pub(crate) fn ephemeral_range() -> (u16, u16) {
    let text = std::fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").unwrap_or_default();
    let mut words = text.split_whitespace().map(str::parse::<u16>);
    match (words.next(), words.next()) {
        (Some(Ok(first)), Some(Ok(last))) if first > 0 && first <= last => (first, last),
        _ => EPHEMERAL_DEFAULT,
    }
}
