//! Sockets: datagrams in shards, streams, and health.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use names::{Code, InvalidName, InvalidQuery, Name, Transport};
use resolver::{read_message, write_message};
use rustix::net::{AddressFamily, SocketFlags, SocketType, sockopt};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::Config;
use crate::forward::Upstream;
use crate::plan::{Asker, Plan, plan};
use crate::watch::{Kind, follow};
use crate::zone::Zone;

/// The server cannot be.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// The address is not there, or somebody else has it.
    #[error("listen for names at {address}")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        #[source]
        errno: io::Error,
    },
    /// A domain that is none.
    #[error("domain {domain:?}")]
    Domain {
        /// Which.
        domain: String,
        /// Why.
        #[source]
        why: InvalidName,
    },
}

/// A server with its sockets, which does not answer yet.
#[derive(Debug)]
pub struct Server {
    datagrams: Vec<Arc<UdpSocket>>,
    streams: Vec<TcpListener>,
    health: Option<TcpListener>,
    shared: Arc<Shared>,
}

/// What all who answer look at.
#[derive(Debug)]
struct Shared {
    zone: Arc<RwLock<Zone>>,
    upstream: Upstream,
    search: Vec<Name>,
    /// How many kinds have been taken in once.
    seen: AtomicU8,
    pending: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// Answers until the signal says `true` or its sender is gone.
pub async fn run(config: Config, shutdown: watch::Receiver<bool>) -> Result<(), BindError> {
    let mirror = Arc::clone(&config.mirror);
    Server::bind(&config)?.run(mirror, shutdown).await;
    Ok(())
}

impl Server {
    /// Opens the sockets. Must be called within a runtime.
    pub fn bind(config: &Config) -> Result<Self, BindError> {
        let domain = |domain: &str| {
            let domain = domain.to_owned();
            move |why| BindError::Domain { domain, why }
        };
        let zone = Zone::new(&config.domain).map_err(domain(&config.domain))?;
        let mut search = Vec::new();
        for text in &config.search {
            search.push(Name::parse(text).map_err(domain(text))?);
        }
        // Asking oneself would go round in circles.
        let others = config.upstream.iter().filter(|server| !config.listen.contains(server));
        let upstream =
            Upstream::new(&config.stubs, others.copied().collect()).map_err(domain("a stub domain"))?;
        let (mut datagrams, mut streams) = (Vec::new(), Vec::new());
        for address in &config.listen {
            let failed = |address: SocketAddr| move |errno| BindError::Listen { address, errno };
            let stream = listener(*address).map_err(failed(*address))?;
            // Port 0 is any, but the same for all sockets of an address.
            let address = stream.local_addr().map_err(failed(*address))?;
            for _ in 0..config.shards.max(1) {
                datagrams.push(Arc::new(datagram(address).map_err(failed(address))?));
            }
            streams.push(stream);
        }
        let health = config
            .health
            .map(|address| listener(address).map_err(|errno| BindError::Listen { address, errno }));
        let shared = Shared {
            zone: Arc::new(RwLock::new(zone)),
            upstream,
            search,
            seen: AtomicU8::new(0),
            pending: Arc::new(Semaphore::new(PENDING_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        };
        Ok(Self { datagrams, streams, health: health.transpose()?, shared: Arc::new(shared) })
    }

    /// Where it listens.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.streams.iter().filter_map(|stream| stream.local_addr().ok()).collect()
    }

    /// Answers until the signal says `true` or its sender is gone.
    pub async fn run(self, mirror: Arc<dyn client::Mirror>, mut shutdown: watch::Receiver<bool>) {
        let mut tasks = JoinSet::new();
        for kind in Kind::ALL {
            let shared = Arc::clone(&self.shared);
            let zone = Arc::clone(&self.shared.zone);
            let seen = move || {
                shared.seen.fetch_add(1, Ordering::Release);
            };
            tasks.spawn(follow(kind, Arc::clone(&mirror), zone, seen));
        }
        for socket in self.datagrams {
            tasks.spawn(answer_datagrams(socket, Arc::clone(&self.shared)));
        }
        for listener in self.streams {
            tasks.spawn(accept(listener, Arc::clone(&self.shared)));
        }
        if let Some(listener) = self.health {
            tasks.spawn(tell_health(listener, Arc::clone(&self.shared)));
        }
        client::asked_to_end(&mut shutdown).await;
        tasks.shutdown().await;
    }
}

impl Shared {
    fn is_ready(&self) -> bool {
        usize::from(self.seen.load(Ordering::Acquire)) >= Kind::ALL.len()
    }

    /// An answer at once, or a question that others must answer; nothing for what is no query.
    fn begin(&self, message: &[u8], address: IpAddr, transport: Transport) -> Option<Step> {
        let query = match names::read(message) {
            Ok(query) => query,
            Err(InvalidQuery::Silent) => return None,
            Err(InvalidQuery::Form { .. }) => {
                return Some(Step::Reply(names::failure(message, None, Code::FormError, transport)));
            }
            Err(InvalidQuery::Operation { .. }) => {
                return Some(Step::Reply(names::failure(message, None, Code::NotImplemented, transport)));
            }
        };
        let asker = Asker { address, transport, search: &self.search };
        let zone = self.zone.read().unwrap_or_else(PoisonError::into_inner);
        let plan = plan(&query, asker, &zone);
        drop(zone);
        Some(match plan {
            // What is not known yet is not said not to be.
            Plan::Reply(_) | Plan::Chase { searched: true, .. } if !self.is_ready() => {
                Step::Reply(names::failure(message, Some(&query), Code::ServerFailure, transport))
            }
            Plan::Reply(reply) => Step::Reply(reply),
            Plan::Forward => match self.upstream.known(&query, transport) {
                Some(reply) => Step::Reply(reply),
                None => Step::Ask(Box::new((query, Plan::Forward))),
            },
            chase => Step::Ask(Box::new((query, chase))),
        })
    }

    async fn finish(&self, query: &names::Query, plan: Plan, transport: Transport) -> Vec<u8> {
        match plan {
            Plan::Reply(reply) => reply,
            Plan::Forward => self.upstream.forward(query, transport).await,
            Plan::Chase { aliases, names, searched, otherwise } => {
                self.upstream.chase(query, aliases, (names, searched), otherwise, transport).await
            }
        }
    }
}

enum Step {
    Reply(Vec<u8>),
    Ask(Box<(names::Query, Plan)>),
}

/// One shard: what is known is answered right here, the rest by a task each.
async fn answer_datagrams(socket: Arc<UdpSocket>, shared: Arc<Shared>) {
    let mut buffer = vec![0; QUERY_MAX];
    let mut asking = JoinSet::new();
    loop {
        while asking.try_join_next().is_some() {}
        if socket.readable().await.is_err() {
            return;
        }
        for _ in 0..BATCH {
            let Ok((length, from)) = socket.try_recv_from(&mut buffer) else { break };
            let message = buffer.get(..length).unwrap_or_default();
            match shared.begin(message, from.ip().to_canonical(), Transport::Udp) {
                None => {}
                // A full buffer loses it, as any network may.
                Some(Step::Reply(reply)) => drop(socket.try_send_to(&reply, from)),
                Some(Step::Ask(question)) => {
                    let Ok(permit) = Arc::clone(&shared.pending).try_acquire_owned() else {
                        let busy =
                            names::failure(message, Some(&question.0), Code::ServerFailure, Transport::Udp);
                        drop(socket.try_send_to(&busy, from));
                        continue;
                    };
                    let (socket, shared) = (Arc::clone(&socket), Arc::clone(&shared));
                    asking.spawn(async move {
                        let (query, plan) = *question;
                        let reply = shared.finish(&query, plan, Transport::Udp).await;
                        drop(socket.send_to(&reply, from).await);
                        drop(permit);
                    });
                }
            }
        }
        // A shard that is never idle must let the others run.
        tokio::task::yield_now().await;
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut streams = JoinSet::new();
    loop {
        while streams.try_join_next().is_some() {}
        let Ok(permit) = Arc::clone(&shared.streams).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((stream, from)) => {
                let shared = Arc::clone(&shared);
                streams.spawn(async move {
                    // Whatever ends the stream, its end is all there is to do.
                    drop(answer_stream(stream, from.ip().to_canonical(), &shared).await);
                    drop(permit);
                });
            }
            // Out of descriptors: some stream will end.
            Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
        }
    }
}

async fn answer_stream(mut stream: TcpStream, address: IpAddr, shared: &Shared) -> io::Result<()> {
    stream.set_nodelay(true)?;
    loop {
        let Ok(message) = timeout(STREAM_IDLE_MAX, read_message(&mut stream)).await else { return Ok(()) };
        let message = message?;
        let reply = match shared.begin(&message, address, Transport::Tcp) {
            None => return Ok(()),
            Some(Step::Reply(reply)) => reply,
            Some(Step::Ask(question)) => {
                let (query, plan) = *question;
                shared.finish(&query, plan, Transport::Tcp).await
            }
        };
        match timeout(STREAM_IDLE_MAX, write_message(&mut stream, &reply)).await {
            Ok(written) => written?,
            Err(_) => return Ok(()),
        }
    }
}

/// `GET /health`: that it runs. `GET /ready`: that it knows the cluster.
async fn tell_health(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((mut stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_AGAIN).await;
            continue;
        };
        let mut head = [0; 256];
        let Ok(Ok(length)) = timeout(HEALTH_WITHIN, stream.read(&mut head)).await else { continue };
        let asks_ready = head.get(..length).is_some_and(|head| head.starts_with(b"GET /ready"));
        let answer: &[u8] = if asks_ready && !shared.is_ready() {
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        } else {
            b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nOK"
        };
        drop(timeout(HEALTH_WITHIN, stream.write_all(answer)).await);
    }
}

/// One of several sockets of an address.
fn datagram(address: SocketAddr) -> io::Result<UdpSocket> {
    let socket = open(address, SocketType::DGRAM)?;
    sockopt::set_socket_reuseport(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    UdpSocket::from_std(std::net::UdpSocket::from(socket))
}

fn listener(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = open(address, SocketType::STREAM)?;
    // A server that starts again finds connections of its predecessor.
    sockopt::set_socket_reuseaddr(&socket, true)?;
    rustix::net::bind(&socket, &address)?;
    rustix::net::listen(&socket, LISTEN_BACKLOG)?;
    TcpListener::from_std(std::net::TcpListener::from(socket))
}

fn open(address: SocketAddr, kind: SocketType) -> io::Result<std::os::fd::OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    Ok(rustix::net::socket_with(family, kind, flags, None)?)
}

/// Queries are small; what is longer by datagram is cut, and then malformed.
const QUERY_MAX: usize = 4096;
/// Datagrams answered before others run.
const BATCH: usize = 64;
/// Queries that wait for others' answers.
const PENDING_MAX: usize = 2048;
/// Connections at a time.
const STREAMS_MAX: usize = 256;
/// How long a connection may be silent: RFC 7766 says seconds.
const STREAM_IDLE_MAX: Duration = Duration::from_secs(10);
const HEALTH_WITHIN: Duration = Duration::from_secs(1);
const ACCEPT_AGAIN: Duration = Duration::from_millis(100);
const LISTEN_BACKLOG: i32 = 128;
