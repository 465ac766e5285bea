//! Names of others: whom to ask, by datagram and if need be by stream, and what they said.
//!
//! The host's servers are asked from the host's namespace, so that one at 127.0.0.53 answers;
//! those of `--dns` from the container's, since they may be there only.

use std::cell::RefCell;
use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant, SystemTime};

use names::{Cache, Query, Resolv, Transport};
use rustix::net::{AddressFamily, SocketFlags, SocketType};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream, UdpSocket};
use tokio::time::timeout;

use crate::namespace::inside;

/// What is known of the host's servers, and what they said before.
#[derive(Debug)]
pub(crate) struct Upstream {
    host: RefCell<Host>,
    started: Instant,
}

#[derive(Debug, Default)]
struct Host {
    /// When the file was written that was read.
    read: Option<SystemTime>,
    servers: Vec<IpAddr>,
    cache: Cache,
}

impl Upstream {
    pub(crate) fn new() -> Self {
        Self { host: RefCell::default(), started: Instant::now() }
    }

    /// Asks the host's servers, or `own` from within `namespace`. `None` when nobody knows.
    pub(crate) async fn ask(
        &self,
        query: &Query,
        transport: Transport,
        own: Option<(&[IpAddr], BorrowedFd<'_>)>,
    ) -> Option<Vec<u8>> {
        if let Some((servers, namespace)) = own {
            let message = first_answer(servers, query, Some(namespace)).await?;
            return Some(names::fit(message, query, transport));
        }
        let servers = self.servers();
        let known = self.host.borrow_mut().cache.find(query, self.started.elapsed());
        if let Some(known) = known {
            return Some(names::fit(known.0, query, transport));
        }
        let message = first_answer(&servers, query, None).await?;
        self.host.borrow_mut().cache.keep(query, &message, self.started.elapsed());
        Some(names::fit(message, query, transport))
    }

    /// The host's servers as its file has them now.
    fn servers(&self) -> Vec<IpAddr> {
        let mut host = self.host.borrow_mut();
        let written = fs::metadata(RESOLV_CONF).and_then(|metadata| metadata.modified()).ok();
        if written.is_none() || written != host.read {
            let text = fs::read_to_string(RESOLV_CONF).unwrap_or_default();
            *host = Host { read: written, servers: Resolv::parse(&text).servers, cache: Cache::default() };
        }
        host.servers.clone()
    }
}

async fn first_answer(
    servers: &[IpAddr],
    query: &Query,
    namespace: Option<BorrowedFd<'_>>,
) -> Option<Vec<u8>> {
    let tries = servers.iter().cycle().take(servers.len() * TRIES);
    let all = async {
        for server in tries {
            let asked = exchange(SocketAddr::new(*server, PORT), query, namespace);
            if let Ok(Ok(message)) = timeout(TRY_WITHIN, asked).await {
                let code = message.get(3).map_or(2, |flags| flags & 15);
                // Who refuses or fails may have a better neighbour.
                if matches!(code, 0 | 3) {
                    return Some(message);
                }
            }
        }
        None
    };
    timeout(ANSWER_WITHIN, all).await.ok().flatten()
}

/// Asks one server, from a port and with a number that nobody can guess.
async fn exchange(
    server: SocketAddr,
    query: &Query,
    namespace: Option<BorrowedFd<'_>>,
) -> io::Result<Vec<u8>> {
    let mut random = [0; 2];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let id = u16::from_be_bytes(random);
    let question = names::question(query, id);
    let socket = in_namespace(namespace, || {
        let any: IpAddr =
            if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        let socket = std::net::UdpSocket::bind((any, 0))?;
        socket.set_nonblocking(true)?;
        Ok(socket)
    })?;
    let socket = UdpSocket::from_std(socket)?;
    socket.connect(server).await?;
    socket.send(&question).await?;
    let mut buffer = vec![0; MESSAGE_MAX];
    loop {
        let length = socket.recv(&mut buffer).await?;
        let message = buffer.get(..length).unwrap_or_default();
        if !names::is_answer(message, query, id) {
            continue;
        }
        let truncated = message.get(2).is_some_and(|flags| flags & 2 != 0);
        if truncated {
            return by_stream(server, &question, (query, id), namespace).await;
        }
        return Ok(message.to_vec());
    }
}

async fn by_stream(
    server: SocketAddr,
    question: &[u8],
    (query, id): (&Query, u16),
    namespace: Option<BorrowedFd<'_>>,
) -> io::Result<Vec<u8>> {
    let socket = in_namespace(namespace, || {
        let family = if server.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        Ok(rustix::net::socket_with(family, SocketType::STREAM, flags, None)?)
    })?;
    let socket = TcpSocket::from_std_stream(std::net::TcpStream::from(socket));
    let mut stream = socket.connect(server).await?;
    write_message(&mut stream, question).await?;
    let message = read_message(&mut stream).await?;
    let fits = names::is_answer(&message, query, id);
    if fits { Ok(message) } else { Err(io::ErrorKind::InvalidData.into()) }
}

/// One message of a stream: two bytes of length before it.
pub(crate) async fn read_message(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = stream.read_u16().await?;
    let mut message = vec![0; usize::from(length)];
    stream.read_exact(&mut message).await?;
    Ok(message)
}

pub(crate) async fn write_message(stream: &mut TcpStream, message: &[u8]) -> io::Result<()> {
    let length = u16::try_from(message.len()).map_err(|_| io::ErrorKind::InvalidData)?;
    stream.write_all(&[&length.to_be_bytes(), message].concat()).await
}

fn in_namespace<T>(namespace: Option<BorrowedFd<'_>>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    match namespace {
        Some(namespace) => inside(namespace, work),
        None => work(),
    }
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
/// A server that is there answers sooner.
const TRY_WITHIN: Duration = Duration::from_millis(1500);
/// The asker's resolver asks again after five seconds; it hears of a failure before.
const ANSWER_WITHIN: Duration = Duration::from_millis(4500);
/// A datagram may get lost.
const TRIES: usize = 2;
/// More than we say that we take.
const MESSAGE_MAX: usize = 4096;
