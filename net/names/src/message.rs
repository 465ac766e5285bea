//! Reading messages.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::name::{InvalidName, Name};
use crate::record::{Data, Record};

/// A type of records, or of a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct QueryType(pub u16);

#[allow(missing_docs, reason = "names of the registry")]
impl QueryType {
    pub const A: Self = Self(1);
    pub const NS: Self = Self(2);
    pub const CNAME: Self = Self(5);
    pub const SOA: Self = Self(6);
    pub const PTR: Self = Self(12);
    pub const TXT: Self = Self(16);
    pub const AAAA: Self = Self(28);
    pub const SRV: Self = Self(33);
    pub const ANY: Self = Self(255);
    pub(crate) const OPT: Self = Self(41);
}

/// A query: one question.
#[derive(Clone, Copy, Debug)]
pub struct Query {
    /// The sender's number for it.
    pub id: u16,
    /// Whether it may be asked of others.
    pub recursive: bool,
    /// Whether the sender looks at signatures itself.
    pub checking_disabled: bool,
    /// The name, in the sender's letters.
    pub name: Name,
    /// What is asked for.
    pub kind: QueryType,
    /// The class: 1 is the Internet.
    pub class: u16,
    /// What the sender can take.
    pub edns: Option<Edns>,
}

/// What an OPT record says: RFC 6891.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Edns {
    /// Bytes that the sender takes by UDP.
    pub size: u16,
    /// Its version; 0 is the only one.
    pub version: u8,
    /// Whether signatures are wanted.
    pub signatures: bool,
}

/// What cannot be answered, and what can be said about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidQuery {
    /// Shorter than a head, or an answer: nothing is said.
    #[error("no query")]
    Silent,
    /// A head with a body that is no question.
    #[error("malformed query: {why}")]
    Form {
        /// Its number.
        id: u16,
        /// What is wrong.
        why: InvalidName,
    },
    /// Something else than a query, such as a transfer or an update.
    #[error("operation {operation} is not served")]
    Operation {
        /// Its number.
        id: u16,
        /// Which one.
        operation: u8,
    },
}

/// The number of a message.
pub fn transaction(message: &[u8]) -> Option<u16> {
    word(message, 0)
}

/// Reads a query.
pub fn read(message: &[u8]) -> Result<Query, InvalidQuery> {
    let head: &[u8; 12] = message.first_chunk().ok_or(InvalidQuery::Silent)?;
    let id = u16::from_be_bytes([head[0], head[1]]);
    if head[2] & 0x80 != 0 {
        return Err(InvalidQuery::Silent);
    }
    let operation = head[2] >> 3 & 15;
    if operation != 0 {
        return Err(InvalidQuery::Operation { id, operation });
    }
    let form = |why| InvalidQuery::Form { id, why };
    let counts = [4, 6, 8, 10].map(|at| word(message, at).unwrap_or(0));
    if counts[0] != 1 {
        return Err(form(InvalidName::Cut));
    }
    let (name, at) = Name::read(message, HEAD).map_err(form)?;
    let kind = word(message, at).ok_or(form(InvalidName::Cut))?;
    let class = word(message, at + 2).ok_or(form(InvalidName::Cut))?;
    let mut query = Query {
        id,
        recursive: head[2] & 1 != 0,
        checking_disabled: head[3] & 0x10 != 0,
        name,
        kind: QueryType(kind),
        class,
        edns: None,
    };
    let more: usize = counts[1..].iter().copied().map(usize::from).sum();
    let mut at = at + 4;
    for _ in 0..more {
        let Some(record) = Raw::read(message, at) else { return Err(form(InvalidName::Cut)) };
        at = record.end;
        if record.kind == QueryType::OPT {
            if query.edns.is_some() {
                return Err(form(InvalidName::Cut));
            }
            let [_, version, flags, _] = record.ttl.to_be_bytes();
            query.edns = Some(Edns { size: record.class, version, signatures: flags & 0x80 != 0 });
        }
    }
    Ok(query)
}

/// A record in a message.
pub(crate) struct Raw {
    pub(crate) name: Name,
    pub(crate) kind: QueryType,
    pub(crate) class: u16,
    pub(crate) ttl: u32,
    /// Where its time to live is.
    pub(crate) ttl_at: usize,
    /// Where its data begins.
    pub(crate) data: usize,
    pub(crate) end: usize,
}

impl Raw {
    pub(crate) fn read(message: &[u8], at: usize) -> Option<Self> {
        let (name, at) = Name::read(message, at).ok()?;
        let (kind, class) = (word(message, at)?, word(message, at + 2)?);
        let ttl = u32::from(word(message, at + 4)?) << 16 | u32::from(word(message, at + 6)?);
        let length = usize::from(word(message, at + 8)?);
        let (data, end) = (at + 10, at + 10 + length);
        (end <= message.len()).then_some(Self {
            name,
            kind: QueryType(kind),
            class,
            ttl,
            ttl_at: at + 4,
            data,
            end,
        })
    }

    fn decode(&self, message: &[u8]) -> Option<Record> {
        let bytes = message.get(self.data..self.end)?;
        let name = |at| Name::read(message, at).ok().map(|(name, _)| name);
        let data = match self.kind {
            QueryType::A => Data::A(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
            QueryType::AAAA => Data::Aaaa(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
            QueryType::CNAME => Data::Cname(name(self.data)?),
            QueryType::PTR => Data::Ptr(name(self.data)?),
            QueryType::SRV => Data::Srv {
                priority: word(message, self.data)?,
                weight: word(message, self.data + 2)?,
                port: word(message, self.data + 4)?,
                target: name(self.data + 6)?,
            },
            _ => return None,
        };
        Some(Record { name: self.name, ttl: self.ttl, data })
    }
}

/// A reader of a message's records behind its question, and which section each is in (1, 2, 3).
pub(crate) fn records(message: &[u8]) -> Option<Vec<(u8, Raw)>> {
    let counts = [word(message, 4)?, word(message, 6)?, word(message, 8)?, word(message, 10)?];
    let mut at = HEAD;
    for _ in 0..counts[0] {
        at = Name::read(message, at).ok()?.1 + 4;
    }
    let mut found = Vec::new();
    for (section, count) in (1u8..).zip(&counts[1..]) {
        for _ in 0..*count {
            let record = Raw::read(message, at)?;
            at = record.end;
            found.push((section, record));
        }
    }
    Some(found)
}

/// What an answer says, as far as it is about addresses, names and services; `None` if it is no whole answer.
pub fn answers(message: &[u8]) -> Option<Vec<Record>> {
    let all = records(message)?;
    let own = all.iter().filter(|(section, record)| *section == 1 && record.class == 1);
    Some(own.filter_map(|(_, record)| record.decode(message)).collect())
}

pub(crate) fn word(message: &[u8], at: usize) -> Option<u16> {
    let bytes = message.get(at..)?.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*bytes))
}

/// Bytes before the question.
pub(crate) const HEAD: usize = 12;
