//! Writing messages.

use crate::message::{HEAD, Query, QueryType, word};
use crate::name::Name;
use crate::record::{Data, Record, Soa};
use crate::zones::Found;

/// How a query ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Well.
    NoError = 0,
    /// The query is malformed.
    FormError = 1,
    /// It could not be found out.
    ServerFailure = 2,
    /// There is no such name.
    NoName = 3,
    /// Such queries are not served.
    NotImplemented = 4,
    /// The sender may not ask this.
    Refused = 5,
}

/// By what an answer goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Datagrams, which must be small.
    Udp,
    /// A stream.
    Tcp,
}

/// Answers a query with what was found; `None` if it must be asked of somebody else.
pub fn respond(query: &Query, found: &Found, transport: Transport) -> Option<Vec<u8>> {
    if query.edns.is_some_and(|edns| edns.version != 0) {
        let mut writer = Writer::new(query, Code::NoError, true, transport);
        // BADVERS has its upper bits in the OPT record: RFC 6891, 9.
        writer.upper_code = 1;
        return Some(writer.end());
    }
    let (code, answer, more, soa) = match found {
        Found::NotOurs | Found::Elsewhere { .. } => return None,
        Found::Records { answer, more } => (Code::NoError, answer.as_slice(), more.as_slice(), None),
        Found::NoRecord(soa, zone) => (Code::NoError, &[][..], &[][..], Some((soa, zone))),
        Found::NoName(soa, zone) => (Code::NoName, &[][..], &[][..], Some((soa, zone))),
    };
    let mut writer = Writer::new(query, code, true, transport);
    answer.iter().for_each(|record| writer.record(Section::Answer, record));
    if let Some((soa, zone)) = soa {
        let record = Record { name: *zone, ttl: soa.minimum, data: Data::Soa(soa.clone()) };
        writer.record(Section::Authority, &record);
    }
    more.iter().for_each(|record| writer.record(Section::Additional, record));
    Some(writer.end())
}

/// Answers a query with records that were put together from several sources.
pub fn forwarded(query: &Query, code: Code, answer: &[Record], transport: Transport) -> Vec<u8> {
    let mut writer = Writer::new(query, code, false, transport);
    answer.iter().for_each(|record| writer.record(Section::Answer, record));
    writer.end()
}

/// Says no to a message of which only the number and perhaps the question are known.
pub fn failure(message: &[u8], query: Option<&Query>, code: Code, transport: Transport) -> Vec<u8> {
    match query {
        Some(query) => Writer::new(query, code, false, transport).end(),
        None => {
            let id = word(message, 0).unwrap_or(0).to_be_bytes();
            let operation = message.get(2).copied().unwrap_or(0) & 0x79;
            vec![id[0], id[1], 0x80 | operation, code as u8, 0, 0, 0, 0, 0, 0, 0, 0]
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Section {
    Answer = 6,
    Authority = 8,
    Additional = 10,
}

/// A message being written, in the order of its sections.
struct Writer<'a> {
    query: &'a Query,
    bytes: Vec<u8>,
    limit: usize,
    /// Names that were written, as places of their labels.
    places: Vec<usize>,
    truncated: bool,
    upper_code: u8,
}

impl<'a> Writer<'a> {
    fn new(query: &'a Query, code: Code, authoritative: bool, transport: Transport) -> Self {
        let mut bytes = Vec::with_capacity(512);
        bytes.extend(query.id.to_be_bytes());
        bytes.push(0x80 | u8::from(authoritative) << 2 | u8::from(query.recursive));
        bytes.push(0x80 | u8::from(query.checking_disabled) << 4 | code as u8);
        bytes.extend([0, 1, 0, 0, 0, 0, 0, 0]);
        bytes.extend(query.name.wire());
        bytes.extend(query.kind.0.to_be_bytes());
        bytes.extend(query.class.to_be_bytes());
        let limit = limit(query, transport) - if query.edns.is_some() { OPT_BYTES } else { 0 };
        let mut writer = Self { query, bytes, limit, places: Vec::new(), truncated: false, upper_code: 0 };
        writer.remember(HEAD);
        writer
    }

    /// Adds a record, if it fits. What is only additional may be missing without a word.
    fn record(&mut self, section: Section, record: &Record) {
        if self.truncated {
            return;
        }
        let (start, known) = (self.bytes.len(), self.places.len());
        self.name(&record.name);
        self.word(record.data.kind().0);
        self.word(1);
        self.bytes.extend(record.ttl.to_be_bytes());
        let length_at = self.bytes.len();
        self.word(0);
        self.data(&record.data);
        let length = u16::try_from(self.bytes.len() - length_at - 2).unwrap_or(u16::MAX);
        if self.bytes.len() > self.limit {
            self.bytes.truncate(start);
            self.places.truncate(known);
            self.truncated = section != Section::Additional;
            return;
        }
        self.put_word(length_at, length);
        let at = section as usize;
        self.put_word(at, word(&self.bytes, at).unwrap_or(0).saturating_add(1));
    }

    fn data(&mut self, data: &Data) {
        match data {
            Data::A(address) => self.bytes.extend(address.octets()),
            Data::Aaaa(address) => self.bytes.extend(address.octets()),
            Data::Cname(name) | Data::Ptr(name) | Data::Ns(name) => self.name(name),
            Data::Srv { priority, weight, port, target } => {
                [*priority, *weight, *port].into_iter().for_each(|number| self.word(number));
                // RFC 2782: the target is not compressed.
                self.bytes.extend(target.wire());
            }
            Data::Txt(text) => {
                for part in text.chunks(usize::from(u8::MAX)) {
                    self.bytes.push(u8::try_from(part.len()).unwrap_or(u8::MAX));
                    self.bytes.extend(part);
                }
            }
            Data::Soa(soa) => self.soa(soa),
        }
    }

    fn soa(&mut self, soa: &Soa) {
        self.name(&soa.server);
        self.name(&soa.mailbox);
        for number in [soa.serial, REFRESH, RETRY, EXPIRE, soa.minimum] {
            self.bytes.extend(number.to_be_bytes());
        }
    }

    /// Writes a name, as a pointer from where it has been written before.
    fn name(&mut self, name: &Name) {
        let mut rest = name.wire();
        while let Some((&len, behind)) = rest.split_first().filter(|(len, _)| **len > 0) {
            if let Some(at) = self.places.iter().find(|at| self.is_at(**at, rest)) {
                let pointer = u16::try_from(*at).unwrap_or(0) | 0xC000;
                return self.word(pointer);
            }
            let at = self.bytes.len();
            if at < POINTER_MAX && self.places.len() < PLACES_MAX {
                self.places.push(at);
            }
            let (label, behind) = behind.split_at_checked(usize::from(len)).unwrap_or_default();
            self.bytes.push(len);
            self.bytes.extend(label);
            rest = behind;
        }
        self.bytes.push(0);
    }

    /// Whether the name that was written at a place is this one, to its letters.
    fn is_at(&self, at: usize, wire: &[u8]) -> bool {
        Name::read(&self.bytes, at).is_ok_and(|(name, _)| name.wire().eq_ignore_ascii_case(wire))
    }

    /// The labels of the question's name may be pointed to.
    fn remember(&mut self, mut at: usize) {
        while let Some(len) = self.bytes.get(at).copied().filter(|len| *len > 0) {
            self.places.push(at);
            at += 1 + usize::from(len);
        }
    }

    fn word(&mut self, number: u16) {
        self.bytes.extend(number.to_be_bytes());
    }

    fn put_word(&mut self, at: usize, number: u16) {
        if let Some(place) = self.bytes.get_mut(at..at + 2) {
            place.copy_from_slice(&number.to_be_bytes());
        }
    }

    fn end(mut self) -> Vec<u8> {
        if self.truncated
            && let Some(flags) = self.bytes.get_mut(2)
        {
            *flags |= 2;
        }
        if let Some(edns) = self.query.edns {
            self.bytes.extend(option(self.upper_code, edns.signatures));
            let more = Section::Additional as usize;
            self.put_word(more, word(&self.bytes, more).unwrap_or(0).saturating_add(1));
        }
        self.bytes
    }
}

/// How large an answer may be.
pub(crate) fn limit(query: &Query, transport: Transport) -> usize {
    match transport {
        Transport::Tcp => usize::from(u16::MAX),
        Transport::Udp => {
            query.edns.map_or(UDP_PLAIN, |edns| usize::from(edns.size).clamp(UDP_PLAIN, UDP_MAX))
        }
    }
}

/// An OPT record: what we take, and the upper bits of the code.
pub(crate) fn option(upper_code: u8, signatures: bool) -> [u8; OPT_BYTES] {
    let [kind, size] = [QueryType::OPT.0, UDP_MAX as u16].map(u16::to_be_bytes);
    [0, kind[0], kind[1], size[0], size[1], upper_code, 0, u8::from(signatures) << 7, 0, 0, 0]
}

/// What everybody takes by UDP.
const UDP_PLAIN: usize = 512;
/// What goes through every network in one piece: DNS flag day 2020.
const UDP_MAX: usize = 1232;
/// An OPT record without options.
pub(crate) const OPT_BYTES: usize = 11;
/// Pointers have fourteen bits.
const POINTER_MAX: usize = 1 << 14;
/// Labels that names may point to: looking for them takes time.
const PLACES_MAX: usize = 64;

/// Nobody transfers our zones, so these are only shown.
const REFRESH: u32 = 7200;
const RETRY: u32 = 1800;
const EXPIRE: u32 = 86_400;
