//! Answers of others, kept for as long as they say. The time is the caller's.

use std::collections::HashMap;
use std::time::Duration;

use crate::message::{Query, QueryType, records, word};
use crate::name::Name;

/// Kept answers. Of two generations the older one goes when the newer one is full: what is asked for moves over.
#[derive(Debug, Default)]
pub struct Cache {
    young: HashMap<Key, Entry>,
    old: HashMap<Key, Entry>,
}

/// Which question: its name in small letters on the wire, its type, its class, and whether signatures are wanted.
type Key = (Box<[u8]>, QueryType, u16, bool);

#[derive(Clone, Debug)]
struct Entry {
    message: Box<[u8]>,
    /// Where the times to live are.
    ttls: Box<[u16]>,
    since: Duration,
    until: Duration,
}

/// A kept answer, as it is to be sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cached(pub Vec<u8>);

impl Cache {
    /// The answer to a query, with its number, its letters and the times that are left.
    pub fn find(&mut self, query: &Query, now: Duration) -> Option<Cached> {
        let key = key(query);
        if !self.young.contains_key(&key)
            && let Some(entry) = self.old.remove(&key)
            && entry.until > now
        {
            self.make_room();
            self.young.insert(key.clone(), entry);
        }
        let entry = self.young.get(&key)?;
        if entry.until <= now {
            self.young.remove(&key);
            return None;
        }
        let gone = u32::try_from(now.saturating_sub(entry.since).as_secs()).unwrap_or(u32::MAX);
        let mut message = entry.message.to_vec();
        for at in entry.ttls.iter().map(|at| usize::from(*at)) {
            if let Some(place) = message.get_mut(at..at + 4) {
                let left = place.first_chunk().map_or(0, |bytes| u32::from_be_bytes(*bytes));
                place.copy_from_slice(&left.saturating_sub(gone).to_be_bytes());
            }
        }
        Some(Cached(addressed(message, query)))
    }

    /// Keeps an answer, if it may be kept.
    pub fn keep(&mut self, query: &Query, message: &[u8], now: Duration) {
        let Some((ttl, ttls)) = lifetime(message) else { return };
        if ttl == 0 || message.len() > MESSAGE_MAX {
            return;
        }
        self.make_room();
        let until = now + Duration::from_secs(u64::from(ttl));
        let entry = Entry { message: message.into(), ttls, since: now, until };
        self.young.insert(key(query), entry);
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn make_room(&mut self) {
        if self.young.len() >= GENERATION_MAX {
            self.old = std::mem::take(&mut self.young);
        }
    }
}

fn key(query: &Query) -> Key {
    let signatures = query.edns.is_some_and(|edns| edns.signatures);
    (query.name.lowercase().wire().into(), query.kind, query.class, signatures)
}

/// The message with the query's number, and its name in the query's letters.
fn addressed(mut message: Vec<u8>, query: &Query) -> Vec<u8> {
    if let Some(id) = message.get_mut(..2) {
        id.copy_from_slice(&query.id.to_be_bytes());
    }
    let asked = query.name.wire();
    let place = Name::read(&message, 12).ok().map(|(name, _)| name.wire().len());
    if place == Some(asked.len())
        && let Some(place) = message.get_mut(12..12 + asked.len())
    {
        place.copy_from_slice(asked);
    }
    message
}

/// For how many seconds an answer may be kept, and where it says so. Truncated and failed ones are not kept.
fn lifetime(message: &[u8]) -> Option<(u32, Box<[u16]>)> {
    let flags = word(message, 2)?;
    let (truncated, code) = (flags & 0x0200 != 0, flags & 15);
    if truncated || !matches!(code, 0 | 3) {
        return None;
    }
    let all = records(message)?;
    let lasting = || all.iter().filter(|(_, record)| record.kind != QueryType::OPT);
    let ttls = lasting().filter_map(|(_, record)| u16::try_from(record.ttl_at).ok()).collect();
    let answered = lasting().any(|(section, _)| *section == 1) && code == 0;
    if answered {
        return Some((lasting().map(|(_, record)| record.ttl).min()?.min(TTL_MAX), ttls));
    }
    // RFC 2308, 5: that nothing is there holds as long as the zone's head says.
    let (_, soa) = all.iter().find(|(section, record)| *section == 2 && record.kind == QueryType::SOA)?;
    let minimum = message.get(soa.end.checked_sub(4)?..soa.end)?.first_chunk::<4>()?;
    Some((u32::from_be_bytes(*minimum).min(soa.ttl).min(NEGATIVE_TTL_MAX), ttls))
}

/// Answers of a generation.
const GENERATION_MAX: usize = 5_000;
/// Larger answers are rare, and would take the place of many.
const MESSAGE_MAX: usize = 4096;
/// Nothing is kept longer.
const TTL_MAX: u32 = 3600;
/// Nor that nothing is there: it may come to be.
const NEGATIVE_TTL_MAX: u32 = 30;
