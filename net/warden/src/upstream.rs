//! Names of others: whom to ask, and what they said before.
//!
//! The host's servers are asked from the host's namespace, so that one at 127.0.0.53 answers;
//! those of `--dns` from the container's, since they may be there only.

use std::cell::RefCell;
use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant, SystemTime};

use names::{Cache, Query, Resolv, Transport};
use resolver::Patience;

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
            let open = |server, kind| inside(namespace, || resolver::socket(server, kind));
            let message = resolver::first_answer(tries(servers), query, PATIENCE, open).await?;
            return Some(names::fit(message, query, transport));
        }
        let servers = self.servers();
        let known = self.host.borrow_mut().cache.find(query, self.started.elapsed());
        if let Some(known) = known {
            return Some(names::fit(known.0, query, transport));
        }
        let message = resolver::first_answer(tries(&servers), query, PATIENCE, resolver::socket).await?;
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

/// Each of them twice: a datagram may get lost.
fn tries(servers: &[IpAddr]) -> impl Iterator<Item = SocketAddr> {
    servers.iter().chain(servers).map(|server| SocketAddr::new(*server, PORT))
}

const RESOLV_CONF: &str = "/etc/resolv.conf";
const PORT: u16 = 53;
const PATIENCE: Patience = Patience {
    // A server that is there answers sooner.
    one: Duration::from_millis(1500),
    // The asker's resolver asks again after five seconds; it hears of a failure before.
    all: Duration::from_millis(4500),
};
