//! Relaying what is sent to `[::1]`: the kernel sends no packet on that comes from there, so a
//! socket of ours takes it, and another one in the host's namespace goes on to the container.
//!
//! ```text
//!   client ── [::1]:8080 ── task of the connection ── bridge ── container (sees the bridge's address)
//! ```
//!
//! Which ports there are follows from the records alone ([`Book::relayed`](crate::book::Book::relayed)),
//! so that whoever takes over listens again. A port that several containers share goes to each in
//! turn. When a container ends, what it sent before is still handed on, for a moment.

mod datagrams;
mod streams;

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::rc::Rc;
use std::time::Duration;

use attach::{Process, Protocol};
use base::ContainerId;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// A port of `[::1]`.
pub(crate) type Key = (Protocol, u16);

/// Whom connections to a port go to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) id: ContainerId,
    pub(crate) process: Option<Process>,
    pub(crate) address: SocketAddr,
    /// By IPv4, where nobody answers a connection by IPv6.
    pub(crate) or: Option<SocketAddr>,
}

/// A port that could not be listened on.
pub(crate) struct Trouble {
    pub(crate) ids: Vec<ContainerId>,
    pub(crate) why: String,
}

/// All ports that are relayed.
pub(crate) struct Relays {
    open: BTreeMap<Key, Relay>,
    room: Rc<Room>,
    /// Connections of containers that have ended.
    lingering: JoinSet<()>,
}

/// A port that is listened on. Dropping it closes the socket.
struct Relay {
    targets: Rc<Targets>,
    _listener: JoinSet<()>,
}

/// What all ports have in common.
struct Room {
    /// Connections that there may be.
    connections: Semaphore,
    /// Sources of datagrams that there may be.
    sessions: Semaphore,
    /// Where a datagram is between two sockets.
    datagram: RefCell<Vec<u8>>,
}

/// Who takes what comes to a port, each in turn, with the tasks that go on with it.
#[derive(Default)]
struct Targets {
    all: RefCell<Vec<(Target, JoinSet<()>)>>,
    turn: Cell<usize>,
}

impl Relays {
    pub(crate) fn new() -> Self {
        let room = Room {
            connections: Semaphore::new(connections_max()),
            sessions: Semaphore::new(SESSIONS_MAX),
            datagram: RefCell::new(vec![0; DATAGRAM_MAX]),
        };
        Self { open: BTreeMap::new(), room: Rc::new(room), lingering: JoinSet::new() }
    }

    /// Listens on these ports and on no others; on which it cannot.
    pub(crate) fn settle(&mut self, wanted: BTreeMap<Key, Vec<Target>>) -> Vec<Trouble> {
        while self.lingering.try_join_next().is_some() {}
        let gone: Vec<Relay> =
            self.open.extract_if(.., |key, _| !wanted.contains_key(key)).map(|(_, r)| r).collect();
        gone.iter().for_each(|relay| self.linger(relay.targets.replace(&[])));
        drop(gone);
        let mut troubles = Vec::new();
        for (key, targets) in wanted {
            if let Some(relay) = self.open.get(&key) {
                let left = relay.targets.replace(&targets);
                self.linger(left);
                continue;
            }
            match Relay::open(key, &targets, &self.room) {
                Ok(relay) => drop(self.open.insert(key, relay)),
                Err(error) => {
                    let ids = targets.into_iter().map(|target| target.id).collect();
                    let why = format!("[::1]:{}/{} is not relayed to the container: {error}", key.1, key.0);
                    troubles.push(Trouble { ids, why });
                }
            }
        }
        troubles
    }

    /// What a container sent before it ended is handed on.
    fn linger(&mut self, left: Vec<JoinSet<()>>) {
        for mut tasks in left {
            while tasks.try_join_next().is_some() {}
            if !tasks.is_empty() {
                self.lingering.spawn_local(async move {
                    let _ = timeout(LINGER, async { while tasks.join_next().await.is_some() {} }).await;
                });
            }
        }
    }

    /// Whether connections of containers that have ended are left.
    pub(crate) fn is_lingering(&self) -> bool {
        !self.lingering.is_empty()
    }

    /// Returns when one of them is over.
    pub(crate) async fn lingered(&mut self) {
        if self.lingering.join_next().await.is_none() {
            std::future::pending::<()>().await;
        }
    }
}

impl Relay {
    fn open((protocol, port): Key, to: &[Target], room: &Rc<Room>) -> io::Result<Self> {
        let targets = Rc::new(Targets::default());
        targets.replace(to);
        let (mut listener, address) = (JoinSet::new(), (Ipv6Addr::LOCALHOST, port));
        if protocol == Protocol::Udp {
            let socket = UdpSocket::bind(address)?;
            socket.set_nonblocking(true)?;
            let socket = tokio::net::UdpSocket::from_std(socket)?;
            listener.spawn_local(datagrams::relay(socket, Rc::clone(&targets), Rc::clone(room)));
        } else {
            let socket = TcpListener::bind(address)?;
            socket.set_nonblocking(true)?;
            let socket = tokio::net::TcpListener::from_std(socket)?;
            listener.spawn_local(streams::relay(socket, Rc::clone(&targets), Rc::clone(room)));
        }
        Ok(Self { targets, _listener: listener })
    }
}

impl Targets {
    /// These from now on; the tasks of those that are none any more.
    fn replace(&self, wanted: &[Target]) -> Vec<JoinSet<()>> {
        let mut all = self.all.borrow_mut();
        let gone =
            all.extract_if(.., |(target, _)| !wanted.contains(target)).map(|(_, tasks)| tasks).collect();
        for target in wanted {
            if !all.iter().any(|(known, _)| known == target) {
                all.push((target.clone(), JoinSet::new()));
            }
        }
        gone
    }

    /// The next one.
    fn next(&self) -> Option<Target> {
        let all = self.all.borrow();
        let turn = self.turn.get();
        self.turn.set(turn.wrapping_add(1));
        let at = turn.checked_rem(all.len())?;
        all.get(at).map(|(target, _)| target.clone())
    }

    fn count(&self) -> usize {
        self.all.borrow().len()
    }

    fn has(&self, target: &Target) -> bool {
        self.all.borrow().iter().any(|(known, _)| known == target)
    }

    /// Goes on with `work` as long as there is the target.
    fn spawn(&self, target: &Target, work: impl Future<Output = ()> + 'static) {
        let mut all = self.all.borrow_mut();
        if let Some((_, tasks)) = all.iter_mut().find(|(known, _)| known == target) {
            while tasks.try_join_next().is_some() {}
            tasks.spawn_local(work);
        }
    }
}

/// Asks for as many descriptors as are allowed; how many connections these are enough for.
fn connections_max() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    // Fewer do for most.
    let raised = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum });
    let allowed = if raised.is_ok() { limit.maximum } else { limit.current };
    let allowed = allowed.map_or(CONNECTIONS_MAX, |allowed| usize::try_from(allowed).unwrap_or(usize::MAX));
    // Two each, and half of all for those who listen and ask.
    (allowed / 4).clamp(1, CONNECTIONS_MAX)
}

/// Connections at a time, over all ports: a client cannot fill our memory, at 32 KiB each.
const CONNECTIONS_MAX: usize = 4096;
/// Sources of datagrams at a time, over all ports; what comes from more is lost.
const SESSIONS_MAX: usize = 1024;
/// The largest datagram.
const DATAGRAM_MAX: usize = 65_535;
/// What a container sent before it ended has arrived by then.
const LINGER: Duration = Duration::from_secs(2);
/// Until the next try when a socket cannot be taken.
const BREATH: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn target(id: &str, port: u16) -> Target {
        let id = ContainerId::parse(id).expect("id");
        Target { id, process: None, address: ([127, 0, 0, 1], port).into(), or: None }
    }

    #[test]
    fn each_in_turn_and_those_who_are_gone_no_more() {
        let targets = Targets::default();
        assert_eq!(targets.next(), None);
        targets.replace(&[target("a", 1), target("b", 2)]);
        let ids = |count| -> Vec<u16> {
            (0..count).filter_map(|_| targets.next()).map(|target| target.address.port()).collect()
        };
        let mut seen = ids(4);
        seen.sort_unstable();
        assert_eq!(seen, [1, 1, 2, 2]);
        assert_eq!(targets.replace(&[target("b", 2)]).len(), 1);
        assert_eq!(ids(2), [2, 2]);
        assert!(targets.has(&target("b", 2)) && !targets.has(&target("a", 1)));
    }
}
