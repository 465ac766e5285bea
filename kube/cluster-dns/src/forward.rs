//! Names of others: whom to ask, and what they said before.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use names::{Cache, Code, Data, InvalidName, Name, Query, Record, Transport};
use resolver::Patience;
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::plan::ALIAS_TTL;

/// Servers for all names that are not the cluster's.
#[derive(Debug)]
pub(crate) struct Upstream {
    /// Domains and their servers, the most specific first.
    stubs: Vec<(Name, Vec<SocketAddr>)>,
    servers: Vec<SocketAddr>,
    cache: Mutex<Cache>,
    started: Instant,
    permits: Arc<Semaphore>,
}

impl Upstream {
    pub(crate) fn new<'a>(
        stubs: impl IntoIterator<Item = (&'a String, &'a Vec<SocketAddr>)>,
        servers: Vec<SocketAddr>,
    ) -> Result<Self, InvalidName> {
        let mut known = Vec::new();
        for (domain, servers) in stubs {
            known.push((Name::parse(domain)?.lowercase(), servers.clone()));
        }
        known.sort_by_key(|(domain, _)| std::cmp::Reverse(domain.wire().len()));
        Ok(Self {
            stubs: known,
            servers,
            cache: Mutex::default(),
            started: Instant::now(),
            permits: Arc::new(Semaphore::new(ASKED_MAX)),
        })
    }

    /// What was said before, as an answer to this query.
    pub(crate) fn known(&self, query: &Query, transport: Transport) -> Option<Vec<u8>> {
        let message = self.cache().find(query, self.started.elapsed())?.0;
        Some(names::fit(message, query, transport))
    }

    /// The answer to the query as it is.
    pub(crate) async fn forward(&self, query: &Query, transport: Transport) -> Vec<u8> {
        match self.ask(query).await {
            Some(message) => names::fit(message, query, transport),
            None => names::failure(&[], Some(query), Code::ServerFailure, transport),
        }
    }

    /// The first of some names that exists, behind aliases.
    pub(crate) async fn chase(
        &self,
        query: &Query,
        aliases: Vec<Record>,
        names: (Vec<Name>, bool),
        otherwise: Vec<u8>,
        transport: Transport,
    ) -> Vec<u8> {
        let failure = || names::failure(&[], Some(query), Code::ServerFailure, transport);
        let all = self.first_of(query, aliases, names, otherwise, transport);
        // Many names must not take longer than one.
        timeout(ANSWER_WITHIN, all).await.unwrap_or_else(|_| failure())
    }

    async fn first_of(
        &self,
        query: &Query,
        mut aliases: Vec<Record>,
        (candidates, searched): (Vec<Name>, bool),
        otherwise: Vec<u8>,
        transport: Transport,
    ) -> Vec<u8> {
        let mut failed = false;
        for name in candidates {
            let Some(message) = self.ask(&Query { name, ..*query }).await else {
                failed = true;
                continue;
            };
            let code = message.get(3).map_or(2, |flags| flags & 15);
            let Some(found) = names::answers(&message).filter(|_| code == 0) else { continue };
            if searched {
                aliases.push(Record { name: query.name, ttl: ALIAS_TTL, data: Data::Cname(name) });
            }
            aliases.extend(found);
            return names::forwarded(query, Code::NoError, &aliases, transport);
        }
        match (searched, failed) {
            // That it does not exist is not known.
            (_, true) => names::failure(&[], Some(query), Code::ServerFailure, transport),
            (true, false) => otherwise,
            // The alias is there, and what it names is not.
            (false, false) => names::forwarded(query, Code::NoName, &aliases, transport),
        }
    }

    async fn ask(&self, query: &Query) -> Option<Vec<u8>> {
        if let Some(known) = self.cache().find(query, self.started.elapsed()) {
            return Some(known.0);
        }
        // Who would wait longer than its asker does is told at once.
        let _permit = self.permits.try_acquire().ok()?;
        let name = query.name.lowercase();
        let stub = self.stubs.iter().find(|(domain, _)| name.strip(domain).is_some());
        let servers = stub.map_or(&self.servers, |(_, servers)| servers);
        let tries = servers.iter().cycle().take(servers.len().max(TRIES_MIN).min(servers.len() * TRIES_MIN));
        let message = resolver::first_answer(tries.copied(), query, PATIENCE, resolver::socket).await?;
        self.cache().keep(query, &message, self.started.elapsed());
        Some(message)
    }

    fn cache(&self) -> std::sync::MutexGuard<'_, Cache> {
        self.cache.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Questions on their way at a time.
const ASKED_MAX: usize = 1024;
/// A datagram may get lost.
const TRIES_MIN: usize = 2;
/// The asker's resolver asks again after five seconds; it hears of a failure before.
const ANSWER_WITHIN: Duration = Duration::from_millis(1900);
/// A server that is there answers sooner.
const PATIENCE: Patience = Patience { one: Duration::from_millis(800), all: ANSWER_WITHIN };
