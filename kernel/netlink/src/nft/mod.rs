//! nf_tables: tables, chains, sets, rules and expressions as netlink messages.
//!
//! [`Transaction`] collects changes and commits them in one batch, all or nothing,
//! optionally only if nobody changed the rule set since it was looked at
//! ([`generation`]). [`dump`] reads what the kernel holds. All integers are in network
//! byte order.

pub mod dump;
mod expr;
mod monitor;
mod object;

pub use dump::generation;
pub use expr::{
    Base, Compare, CtKey, Expr, MetaKey, RawExpr, Register, RejectWith, SetOperation, Verdict, ct_state,
    ct_status, fib_type,
};
pub use monitor::{Event, Monitor, Noticed, Subject};
pub use object::{
    Chain, ChainKind, Compat, Element, Hook, HookPoint, Rule, Set, SetOptions, SetType, comment_data, nested,
    rename_verdict,
};

use crate::error::Error;
use crate::socket::Socket;
use crate::wire::{self, Message};

const SUBSYSTEM: u16 = 10 << 8;
const NEW_TABLE: u16 = SUBSYSTEM;
const GET_TABLE: u16 = SUBSYSTEM | 1;
const DEL_TABLE: u16 = SUBSYSTEM | 2;
const NEW_CHAIN: u16 = SUBSYSTEM | 3;
const GET_CHAIN: u16 = SUBSYSTEM | 4;
const NEW_RULE: u16 = SUBSYSTEM | 6;
const GET_RULE: u16 = SUBSYSTEM | 7;
const NEW_SET: u16 = SUBSYSTEM | 9;
const GET_SET: u16 = SUBSYSTEM | 10;
const NEW_SET_ELEMENT: u16 = SUBSYSTEM | 12;
const GET_SET_ELEMENT: u16 = SUBSYSTEM | 13;
const DEL_SET_ELEMENT: u16 = SUBSYSTEM | 14;
const NEW_GENERATION: u16 = SUBSYSTEM | 15;
const GET_GENERATION: u16 = SUBSYSTEM | 16;
const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const BATCH_GENERATION: u16 = 1;
const HEADER_LEN: usize = 4;

/// An address family of nf_tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4 and IPv6 together.
    Inet,
    /// IPv4.
    Ip,
    /// IPv6.
    Ip6,
    /// Any other, by number.
    Other(u8),
}

impl Family {
    /// `NFPROTO_*`.
    pub const fn number(self) -> u8 {
        match self {
            Self::Inet => 1,
            Self::Ip => 2,
            Self::Ip6 => 10,
            Self::Other(number) => number,
        }
    }

    pub(crate) const fn from_number(number: u8) -> Self {
        match number {
            1 => Self::Inet,
            2 => Self::Ip,
            10 => Self::Ip6,
            other => Self::Other(other),
        }
    }
}

impl std::fmt::Display for Family {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Inet => f.write_str("inet"),
            Self::Ip => f.write_str("ip"),
            Self::Ip6 => f.write_str("ip6"),
            Self::Other(3) => f.write_str("arp"),
            Self::Other(5) => f.write_str("netdev"),
            Self::Other(7) => f.write_str("bridge"),
            Self::Other(number) => write!(f, "family {number}"),
        }
    }
}

/// A message with `struct nfgenmsg` of `family`.
pub(crate) fn message(kind: u16, flags: u16, family: Family) -> Message {
    Message::new(kind, flags).fixed(&[family.number(), 0, 0, 0])
}

/// Changes that are committed together.
#[derive(Clone, Debug)]
pub struct Transaction {
    family: Family,
    table: String,
    messages: Vec<Message>,
    sets: u32,
}

impl Transaction {
    /// No changes yet to `table` of `family`.
    pub fn on(family: Family, table: &str) -> Self {
        Self { family, table: table.to_owned(), messages: Vec::new(), sets: 0 }
    }

    /// Makes the table, or leaves it; with a comment that lists show.
    pub fn add_table(&mut self, comment: Option<&str>) -> &mut Self {
        let mut message = message(NEW_TABLE, wire::F_CREATE, self.family);
        message.str(object::TABLE_NAME, &self.table).be32(object::TABLE_FLAGS, 0);
        if let Some(comment) = comment {
            message.bytes(object::TABLE_USERDATA, &comment_data(comment));
        }
        self.push(message)
    }

    /// Deletes the table with all that is in it. Fails when it does not exist.
    pub fn delete_table(&mut self) -> &mut Self {
        let mut message = message(DEL_TABLE, 0, self.family);
        message.str(object::TABLE_NAME, &self.table);
        self.push(message)
    }

    /// Makes a chain.
    pub fn add_chain(&mut self, chain: &Chain<'_>) -> &mut Self {
        let mut message = message(NEW_CHAIN, wire::F_CREATE, self.family);
        chain.write(&self.table, &mut message);
        self.push(message)
    }

    /// Makes a set or map.
    pub fn add_set(&mut self, set: &Set<'_>) -> &mut Self {
        self.sets += 1;
        let mut message = message(NEW_SET, wire::F_CREATE, self.family);
        set.write(&self.table, self.sets, &mut message);
        self.push(message)
    }

    /// Makes a set from the attributes of a dumped one, under a new name.
    pub fn add_set_copy(&mut self, name: &str, attributes: &[(u16, Vec<u8>)]) -> &mut Self {
        self.sets += 1;
        let mut message = message(NEW_SET, wire::F_CREATE, self.family);
        object::write_set_copy(&self.table, name, self.sets, attributes, &mut message);
        self.push(message)
    }

    /// Appends a rule to its chain.
    pub fn add_rule(&mut self, rule: &Rule<'_>) -> &mut Self {
        let mut message = message(NEW_RULE, wire::F_CREATE | wire::F_APPEND, self.family);
        rule.write(&self.table, &mut message);
        self.push(message)
    }

    /// Adds elements to a set or map; those that are there stay.
    pub fn add_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        self.elements(NEW_SET_ELEMENT, wire::F_CREATE, set, elements)
    }

    /// Removes elements from a set or map. Fails when one is not there.
    pub fn delete_elements(&mut self, set: &str, elements: &[Element]) -> &mut Self {
        self.elements(DEL_SET_ELEMENT, 0, set, elements)
    }

    fn elements(&mut self, kind: u16, flags: u16, set: &str, elements: &[Element]) -> &mut Self {
        // A list is an attribute of at most 64 KiB.
        let mut rest = elements;
        while !rest.is_empty() {
            let mut size = 0;
            let fitting = rest.iter().take_while(|element| {
                size += element.size_max();
                size < ELEMENT_LIST_BYTES_MAX
            });
            let count = fitting.count().max(1);
            let mut message = message(kind, flags, self.family);
            object::write_elements(&self.table, set, &rest[..count], &mut message);
            self.push(message);
            rest = &rest[count..];
        }
        self
    }

    fn push(&mut self, message: Message) -> &mut Self {
        self.messages.push(message);
        self
    }

    /// How many messages it has; the next one's index in a refusal.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// How many rules it appends.
    pub fn rules(&self) -> usize {
        self.messages.iter().filter(|message| message.kind() == NEW_RULE).count()
    }

    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// The messages, for a fingerprint of what they say.
    pub fn messages(&self) -> &[Message] {
        &self.messages
    }

    /// Commits. With `generation`, only if the rule set is still of that generation:
    /// otherwise the refusal is `ERESTART` and nothing is changed.
    pub fn commit(&self, socket: &mut Socket, generation: Option<u32>) -> Result<(), Error> {
        let marker = [0, 0, 0, 10]; // nfgenmsg with res_id = NFNL_SUBSYS_NFTABLES
        let mut begin = Message::new(BATCH_BEGIN, 0).fixed(&marker);
        if let Some(generation) = generation {
            begin.be32(BATCH_GENERATION, generation);
        }
        let end = Message::new(BATCH_END, 0).fixed(&marker);
        socket.commit(&begin, &self.messages, &end)
    }
}

/// Below the 65535 of an attribute, with room for the nest around it.
const ELEMENT_LIST_BYTES_MAX: usize = 60_000;
