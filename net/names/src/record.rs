//! Records.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::message::QueryType;
use crate::name::Name;

/// One record of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Whose it is.
    pub name: Name,
    /// For how many seconds it may be kept.
    pub ttl: u32,
    /// What it says.
    pub data: Data,
}

/// What a record says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Data {
    /// An IPv4 address.
    A(Ipv4Addr),
    /// An IPv6 address.
    Aaaa(Ipv6Addr),
    /// The name is another's.
    Cname(Name),
    /// The name of an address.
    Ptr(Name),
    /// The server of a zone.
    Ns(Name),
    /// A service: RFC 2782.
    Srv {
        /// Lower comes first.
        priority: u16,
        /// Higher comes more often.
        weight: u16,
        /// The port.
        port: u16,
        /// The host.
        target: Name,
    },
    /// Words, each at most 255 bytes.
    Txt(Vec<u8>),
    /// The head of a zone.
    Soa(Box<Soa>),
}

/// The head of a zone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Soa {
    /// Its server.
    pub server: Name,
    /// Who looks after it.
    pub mailbox: Name,
    /// Its revision.
    pub serial: u32,
    /// For how many seconds it may be kept that something is not there.
    pub minimum: u32,
}

impl Data {
    /// Its type.
    pub fn kind(&self) -> QueryType {
        match self {
            Self::A(_) => QueryType::A,
            Self::Aaaa(_) => QueryType::AAAA,
            Self::Cname(_) => QueryType::CNAME,
            Self::Ptr(_) => QueryType::PTR,
            Self::Ns(_) => QueryType::NS,
            Self::Srv { .. } => QueryType::SRV,
            Self::Txt(_) => QueryType::TXT,
            Self::Soa(_) => QueryType::SOA,
        }
    }
}
