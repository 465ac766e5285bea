//! Sockets of the host, none of which blocks.

use std::io;
use std::net::{Ipv6Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, sockopt};

use crate::error::Error;
use crate::plan::{Port, Transport};

fn socket(address: SocketAddr, kind: SocketType) -> rustix::io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    rustix::net::socket_with(family, kind, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC, None)
}

/// Begins a connection.
pub(crate) fn connect_tcp(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(to, SocketType::STREAM)?;
    // Bytes are handed on as they come: waiting for more was the sender's to decide.
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    match rustix::net::connect(&socket, &to) {
        Ok(()) | Err(rustix::io::Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno),
    }
}

/// A socket for datagrams to one place.
pub(crate) fn connect_udp(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let socket = socket(to, SocketType::DGRAM)?;
    rustix::net::connect(&socket, &to)?;
    Ok(socket)
}

/// A socket for echo requests to one place, where `net.ipv4.ping_group_range` allows the user one.
pub(crate) fn connect_echo(to: SocketAddr) -> rustix::io::Result<OwnedFd> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let protocol = Some(ipproto::ICMP);
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, protocol)?;
    rustix::net::connect(&socket, &SocketAddr::new(to.ip(), 0))?;
    Ok(socket)
}

/// Opens a port.
pub(crate) fn listen(port: &Port) -> Result<OwnedFd, Error> {
    let failed = |errno: rustix::io::Errno| Error::Bind { address: port.address, source: errno.into() };
    let kind = match port.transport {
        Transport::Tcp => SocketType::STREAM,
        Transport::Udp => SocketType::DGRAM,
    };
    let socket = socket(port.address, kind).map_err(failed)?;
    if port.address.is_ipv6() {
        // The other family is published for itself.
        sockopt::set_ipv6_v6only(&socket, true).map_err(failed)?;
    }
    if port.transport == Transport::Tcp {
        sockopt::set_socket_reuseaddr(&socket, true).map_err(failed)?;
    }
    rustix::net::bind(&socket, &port.address).map_err(failed)?;
    if port.transport == Transport::Tcp {
        rustix::net::listen(&socket, BACKLOG).map_err(failed)?;
    }
    Ok(socket)
}

/// Whether a port that cannot be had may be left out: that of `[::1]` on a host without IPv6, where all
/// of IPv4 have it.
pub(crate) fn is_dispensable(port: &Port, all: &[Port], error: &Error) -> bool {
    let missing = matches!(error, Error::Bind { source, .. }
        if matches!(source.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported));
    let same = |other: &Port| {
        let everywhere = other.address.is_ipv4() && other.address.ip().is_unspecified();
        everywhere && (other.transport, other.address.port()) == (port.transport, port.address.port())
    };
    missing && port.address.ip() == Ipv6Addr::LOCALHOST && all.iter().any(same)
}

/// The next connection that waits.
pub(crate) fn accept(listener: &OwnedFd) -> rustix::io::Result<(OwnedFd, Option<SocketAddr>)> {
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let (socket, address) = rustix::net::acceptfrom_with(listener, flags)?;
    let _ = sockopt::set_tcp_nodelay(&socket, true);
    Ok((socket, address.and_then(|address| SocketAddr::try_from(address).ok())))
}

/// What became of a connection that was begun.
pub(crate) fn connected(socket: &OwnedFd) -> Result<(), rustix::io::Errno> {
    sockopt::socket_error(socket)?
}

/// Lets the peer know of a connection that broke: closing the socket resets it.
pub(crate) fn reset_on_close(socket: &OwnedFd) {
    let _ = sockopt::set_socket_linger(socket, Some(Duration::ZERO));
}

/// Whether an error is only "not now".
pub(crate) fn is_not_now(errno: rustix::io::Errno) -> bool {
    matches!(errno, rustix::io::Errno::AGAIN | rustix::io::Errno::INTR)
}

/// Asks for as many descriptors as are allowed: each connection takes one.
pub(crate) fn raise_descriptor_limit() {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, maximum: limit.maximum };
    // Fewer do for most.
    let _: Result<(), io::Error> =
        rustix::process::setrlimit(rustix::process::Resource::Nofile, raised).map_err(Into::into);
}

const BACKLOG: i32 = 1024;
