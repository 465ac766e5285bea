//! A container's side: sockets at 127.0.0.11 in its network namespace, and the redirect of
//! port 53 to them.
//!
//! Port 53 itself stays the container's: it may be a name server. So the sockets have ports
//! that the kernel chooses, and a table of that namespace leads questions to 127.0.0.11 there,
//! as docker does it.

use std::fs::File;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use attach::Attachment;
use netlink::nft::{
    Base, Chain, ChainKind, Compare, Expr, Family, Hook, HookPoint, MetaKey, Register, Rule, Transaction,
};
use netlink::{Protocol, Socket};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// Where containers ask.
pub(crate) const RESOLVER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 11);
/// The table in the container's namespace.
const TABLE: &str = "strake-names";
const CHAIN: &str = "ask";
const PRIORITY_DSTNAT: i32 = -100;
const DNS: u16 = 53;
const UDP: u8 = 17;
const TCP: u8 = 6;
const DESTINATION: u32 = 16;

/// What answers in one namespace.
#[derive(Debug)]
pub(crate) struct Ears {
    pub(crate) datagrams: UdpSocket,
    pub(crate) streams: TcpListener,
}

/// The network namespace of a container, if it is still the one that was recorded.
pub(crate) fn open(attachment: &Attachment) -> io::Result<File> {
    let gone = || io::Error::new(io::ErrorKind::NotFound, "the container has ended");
    let process = attachment.process.ok_or_else(gone)?;
    let file = File::open(format!("/proc/{}/ns/net", process.pid)).map_err(|_| gone())?;
    // The id may be a stranger's by now; its namespace is another one.
    let is_it = sys::namespace::id(&file).is_ok_and(|id| id.ino == attachment.namespace);
    if is_it { Ok(file) } else { Err(gone()) }
}

/// Opens the sockets in the namespace and leads port 53 to them.
pub(crate) fn listen(namespace: BorrowedFd<'_>) -> io::Result<Ears> {
    let any = SocketAddrV4::new(RESOLVER, 0);
    let ears = inside(namespace, || {
        let (datagrams, streams) = (UdpSocket::bind(any)?, TcpListener::bind(any)?);
        datagrams.set_nonblocking(true)?;
        streams.set_nonblocking(true)?;
        Ok(Ears { datagrams, streams })
    })?;
    let ports = [(UDP, ears.datagrams.local_addr()?), (TCP, ears.streams.local_addr()?)];
    redirect(namespace, ports).map_err(io::Error::other)?;
    Ok(ears)
}

/// Writes the table in the namespace anew.
fn redirect(namespace: BorrowedFd<'_>, ports: [(u8, SocketAddr); 2]) -> Result<(), netlink::Error> {
    let mut socket = Socket::open_in(namespace, Protocol::Netfilter)?;
    let mut t = Transaction::on(Family::Ip, TABLE);
    // One that a former warden left goes; made first, so that there is one to go.
    t.add_table(None);
    t.delete_table();
    t.add_table(Some("made by strake: 127.0.0.11 answers for container names"));
    let hook = Hook { kind: ChainKind::Nat, point: HookPoint::Output, priority: PRIORITY_DSTNAT };
    t.add_chain(&Chain { name: CHAIN, hook: Some(hook) });
    for (transport, to) in ports {
        let [high, low] = to.port().to_be_bytes();
        let register = Register(0);
        let is = |value: Vec<u8>| Expr::Compare { register, how: Compare::Equal, value };
        let expressions = [
            Expr::Payload { base: Base::Network, offset: DESTINATION, length: 4, to: register },
            is(RESOLVER.octets().to_vec()),
            Expr::Meta { key: MetaKey::Transport, to: register },
            is(vec![transport]),
            Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: register },
            is(DNS.to_be_bytes().to_vec()),
            Expr::Load { value: RESOLVER.octets().to_vec(), to: Register(0) },
            Expr::Load { value: vec![high, low], to: Register(1) },
            Expr::DestinationNat { address: Register(0), port: Register(1) },
        ];
        t.add_rule(&Rule { chain: CHAIN, expressions: &expressions, comment: None, compat: None });
    }
    t.commit(&mut socket, None)
}

/// Does `work` in a network namespace and comes back.
///
/// Should the way back fail the process is aborted: going on in a container's network would
/// be worse, and another warden takes over.
pub(crate) fn inside<T>(namespace: BorrowedFd<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    let kind = Some(LinkNameSpaceType::Network);
    let own = File::open("/proc/thread-self/ns/net")?;
    move_into_link_name_space(namespace, kind)?;
    let done = work();
    if move_into_link_name_space(own.as_fd(), kind).is_err() {
        std::process::abort();
    }
    done
}
