//! Tables' contents: chains, sets and maps, elements, rules.

use crate::wire::{Message, NESTED};

use super::expr::{Expr, Verdict};

pub(super) const TABLE_NAME: u16 = 1;
pub(super) const TABLE_FLAGS: u16 = 2;
pub(super) const TABLE_USERDATA: u16 = 6;
pub(super) const CHAIN_TABLE: u16 = 1;
pub(super) const CHAIN_NAME: u16 = 3;
pub(super) const CHAIN_HOOK: u16 = 4;
pub(super) const CHAIN_POLICY: u16 = 5;
pub(super) const CHAIN_TYPE: u16 = 7;
pub(super) const HOOK_NUMBER: u16 = 1;
pub(super) const HOOK_PRIORITY: u16 = 2;
pub(super) const RULE_TABLE: u16 = 1;
pub(super) const RULE_CHAIN: u16 = 2;
pub(super) const RULE_HANDLE: u16 = 3;
pub(super) const RULE_EXPRESSIONS: u16 = 4;
const RULE_COMPAT: u16 = 5;
pub(super) const RULE_USERDATA: u16 = 7;
const RULE_COMPAT_PROTO: u16 = 1;
const RULE_COMPAT_FLAGS: u16 = 2;
pub(super) const LIST_ELEMENT: u16 = 1;
pub(super) const SET_TABLE: u16 = 1;
pub(super) const SET_NAME: u16 = 2;
pub(super) const SET_FLAGS: u16 = 3;
const SET_KEY_TYPE: u16 = 4;
const SET_KEY_LEN: u16 = 5;
const SET_DATA_TYPE: u16 = 6;
const SET_DATA_LEN: u16 = 7;
const SET_DESCRIPTION: u16 = 9;
const SET_ID: u16 = 10;
const SET_TIMEOUT: u16 = 11;
const SET_USERDATA: u16 = 13;
const USERDATA_KEY_BYTEORDER: u8 = 0;
const BYTEORDER_HOST: u32 = 1;
pub(super) const ELEMENTS_TABLE: u16 = 1;
pub(super) const ELEMENTS_SET: u16 = 2;
pub(super) const ELEMENTS_LIST: u16 = 3;
pub(super) const ELEMENT_KEY: u16 = 1;
pub(super) const ELEMENT_DATA: u16 = 2;
pub(super) const ELEMENT_KEY_END: u16 = 10;
pub(super) const DATA_VALUE: u16 = 1;
const SET_FLAG_INTERVAL: u32 = 0x4;
const SET_FLAG_MAP: u32 = 0x8;
const SET_FLAG_TIMEOUT: u32 = 0x10;
const SET_FLAG_DYNAMIC: u32 = 0x20;
const SET_FLAG_CONCATENATION: u32 = 0x80;
const DESCRIPTION_SIZE: u16 = 1;
const DESCRIPTION_PARTS: u16 = 2;
const PART_LENGTH: u16 = 1;
/// `struct nft_userdata`: the type of a comment, of tables and rules alike.
pub(super) const USERDATA_COMMENT: u8 = 0;

/// A point of the packet's way through the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum HookPoint {
    /// Everything that comes in.
    Prerouting,
    /// What is for the host itself.
    Input,
    /// What is passed on.
    Forward,
    /// What the host itself sends.
    Output,
    /// Everything that goes out.
    Postrouting,
}

impl HookPoint {
    pub(super) const fn number(self) -> u32 {
        match self {
            Self::Prerouting => 0,
            Self::Input => 1,
            Self::Forward => 2,
            Self::Output => 3,
            Self::Postrouting => 4,
        }
    }

    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Prerouting),
            1 => Some(Self::Input),
            2 => Some(Self::Forward),
            3 => Some(Self::Output),
            4 => Some(Self::Postrouting),
            _ => None,
        }
    }
}

/// What a base chain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ChainKind {
    /// Accept and drop.
    Filter,
    /// Translate addresses of the first packet of a connection.
    Nat,
}

/// Where a base chain is hooked in; its policy is accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Hook {
    /// What it may do.
    pub kind: ChainKind,
    /// Where.
    pub point: HookPoint,
    /// Order among chains there; lower is earlier.
    pub priority: i32,
}

/// A chain to be made.
#[derive(Clone, Copy, Debug)]
pub struct Chain<'a> {
    /// Its name.
    pub name: &'a str,
    /// With a hook it is a base chain; without, others jump to it.
    pub hook: Option<Hook>,
}

impl Chain<'_> {
    pub(super) fn write(&self, table: &str, message: &mut Message) {
        message.str(CHAIN_TABLE, table).str(CHAIN_NAME, self.name);
        let Some(hook) = self.hook else { return };
        message.nest(CHAIN_HOOK, |nest| {
            nest.be32(HOOK_NUMBER, hook.point.number());
            nest.be32(HOOK_PRIORITY, hook.priority.cast_unsigned());
        });
        message.be32(CHAIN_POLICY, 1);
        message.str(CHAIN_TYPE, if hook.kind == ChainKind::Nat { "nat" } else { "filter" });
    }
}

/// The type of a key or a value, by the numbers that nft(8) shows them with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetType {
    number: u32,
    length: u32,
    /// How many parts it has, each with six bits of the number.
    parts: u32,
}

impl SetType {
    /// `ipv4_addr`.
    pub const IPV4: Self = Self { number: 7, length: 4, parts: 1 };
    /// `ipv6_addr`.
    pub const IPV6: Self = Self { number: 8, length: 16, parts: 1 };
    /// `inet_proto`.
    pub const PROTOCOL: Self = Self { number: 12, length: 4, parts: 1 };
    /// `inet_service`.
    pub const PORT: Self = Self { number: 13, length: 4, parts: 1 };
    /// `mark`: a number in host byte order.
    pub const MARK: Self = Self { number: 19, length: 4, parts: 1 };
    /// A verdict, as the value of a map.
    pub const VERDICT: Self = Self { number: 0xffff_ff00, length: 0, parts: 1 };
    /// `ifname`.
    pub const LINK_NAME: Self = Self { number: 41, length: 16, parts: 1 };

    /// `self . other`: each part takes whole words of four bytes.
    #[must_use]
    pub const fn then(self, other: Self) -> Self {
        Self {
            number: (self.number << (6 * other.parts)) | other.number,
            length: self.length + other.length,
            parts: self.parts + other.parts,
        }
    }
}

/// A set, or a map when it has a value.
#[derive(Clone, Copy, Debug)]
pub struct Set<'a> {
    /// Its name.
    pub name: &'a str,
    /// The type of its keys.
    pub key: SetType,
    /// The type of its values.
    pub value: Option<SetType>,
    /// What else it is.
    pub options: SetOptions<'a>,
}

/// What a set is beside keys and values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetOptions<'a> {
    /// Its keys are ranges; the lengths of their parts in bytes.
    pub ranges: Option<&'a [u32]>,
    /// Rules change it; its elements go after so many milliseconds unless a rule says another
    /// time.
    pub dynamic_ms: Option<u64>,
    /// The most elements it may have.
    pub size: Option<u32>,
}

impl Set<'_> {
    pub(super) fn write(&self, table: &str, id: u32, message: &mut Message) {
        let mut flags = if self.value.is_some() { SET_FLAG_MAP } else { 0 };
        if self.options.ranges.is_some() {
            flags |= SET_FLAG_INTERVAL | SET_FLAG_CONCATENATION;
        }
        if self.options.dynamic_ms.is_some() {
            flags |= SET_FLAG_DYNAMIC | SET_FLAG_TIMEOUT;
        }
        message.str(SET_TABLE, table).str(SET_NAME, self.name).be32(SET_FLAGS, flags);
        message.be32(SET_KEY_TYPE, self.key.number).be32(SET_KEY_LEN, self.key.length);
        if let Some(value) = self.value {
            message.be32(SET_DATA_TYPE, value.number);
            if value != SetType::VERDICT {
                message.be32(SET_DATA_LEN, value.length);
            }
        }
        self.options.write(message);
        message.be32(SET_ID, id);
        if self.key == SetType::LINK_NAME {
            // nft(8) would show the names byte by byte from the wrong end.
            let mut data = vec![USERDATA_KEY_BYTEORDER, 4];
            data.extend_from_slice(&BYTEORDER_HOST.to_ne_bytes());
            message.bytes(SET_USERDATA, &data);
        }
    }
}

impl SetOptions<'_> {
    fn write(&self, message: &mut Message) {
        if self.ranges.is_some() || self.size.is_some() {
            message.nest(SET_DESCRIPTION, |nest| {
                if let Some(size) = self.size {
                    nest.be32(DESCRIPTION_SIZE, size);
                }
                let Some(parts) = self.ranges else { return };
                nest.nest(DESCRIPTION_PARTS, |list| {
                    for length in parts {
                        list.nest(LIST_ELEMENT, |part| {
                            part.be32(PART_LENGTH, *length);
                        });
                    }
                });
            });
        }
        if let Some(timeout) = self.dynamic_ms.filter(|timeout| *timeout > 0) {
            message.be64(SET_TIMEOUT, timeout);
        }
    }
}

pub(super) fn write_set_copy(
    table: &str,
    name: &str,
    id: u32,
    attributes: &[(u16, Vec<u8>)],
    message: &mut Message,
) {
    message.str(SET_TABLE, table).str(SET_NAME, name).be32(SET_ID, id);
    for (kind, data) in attributes {
        message.bytes(*kind, data);
    }
}

/// One element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Element {
    /// A key, and a value in a map.
    Value {
        /// The key's bytes.
        key: Vec<u8>,
        /// The value's.
        value: Option<Vec<u8>>,
    },
    /// An element of a map of verdicts.
    Verdict {
        /// The key's bytes.
        key: Vec<u8>,
        /// Where it leads.
        verdict: Verdict,
    },
    /// An element of a set of ranges: both ends are inside.
    Range {
        /// The lowest key's bytes.
        first: Vec<u8>,
        /// The highest's.
        last: Vec<u8>,
    },
    /// The attributes of a dumped element.
    Copy(Vec<(u16, Vec<u8>)>),
}

impl Element {
    /// An element of a set.
    pub fn key(key: impl Into<Vec<u8>>) -> Self {
        Self::Value { key: key.into(), value: None }
    }

    /// An element of a map.
    pub fn pair(key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) -> Self {
        Self::Value { key: key.into(), value: Some(value.into()) }
    }

    pub(super) fn size_max(&self) -> usize {
        match self {
            Self::Value { key, value } => 32 + key.len() + value.as_ref().map_or(0, Vec::len),
            Self::Verdict { key, verdict } => {
                let (_, chain) = verdict.parts();
                56 + key.len() + chain.map_or(0, str::len)
            }
            Self::Range { first, last } => 32 + first.len() + last.len(),
            Self::Copy(attributes) => 8 + attributes.iter().map(|(_, data)| data.len() + 8).sum::<usize>(),
        }
    }

    fn write(&self, message: &mut Message) {
        match self {
            Self::Value { key, value } => {
                message.nest(ELEMENT_KEY, |nest| {
                    nest.bytes(DATA_VALUE, key);
                });
                if let Some(value) = value {
                    message.nest(ELEMENT_DATA, |nest| {
                        nest.bytes(DATA_VALUE, value);
                    });
                }
            }
            Self::Verdict { key, verdict } => {
                message.nest(ELEMENT_KEY, |nest| {
                    nest.bytes(DATA_VALUE, key);
                });
                message.nest(ELEMENT_DATA, |nest| verdict.write_data(nest));
            }
            Self::Range { first, last } => {
                for (kind, key) in [(ELEMENT_KEY, first), (ELEMENT_KEY_END, last)] {
                    message.nest(kind, |nest| {
                        nest.bytes(DATA_VALUE, key);
                    });
                }
            }
            Self::Copy(attributes) => {
                for (kind, data) in attributes {
                    message.bytes(*kind, data);
                }
            }
        }
    }
}

pub(super) fn write_elements(table: &str, set: &str, elements: &[Element], message: &mut Message) {
    message.str(ELEMENTS_TABLE, table).str(ELEMENTS_SET, set);
    message.nest(ELEMENTS_LIST, |list| {
        for element in elements {
            list.nest(LIST_ELEMENT, |nest| element.write(nest));
        }
    });
}

/// A rule to be appended.
#[derive(Clone, Copy, Debug)]
pub struct Rule<'a> {
    /// The chain it goes to.
    pub chain: &'a str,
    /// What it does, in order.
    pub expressions: &'a [Expr],
    /// A comment that lists show.
    pub comment: Option<&'a str>,
    /// The transport that x_tables matches in it are told of.
    pub compat: Option<Compat>,
}

/// What x_tables extensions must know of their rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Compat {
    /// `IPPROTO_*`.
    pub protocol: u32,
    /// The rule is about all other transports.
    pub inverted: bool,
}

impl Rule<'_> {
    pub(super) fn write(&self, table: &str, message: &mut Message) {
        message.str(RULE_TABLE, table).str(RULE_CHAIN, self.chain);
        message.nest(RULE_EXPRESSIONS, |list| {
            for expression in self.expressions {
                list.nest(LIST_ELEMENT, |nest| expression.write(nest));
            }
        });
        if let Some(compat) = self.compat {
            message.nest(RULE_COMPAT, |nest| {
                nest.be32(RULE_COMPAT_PROTO, compat.protocol);
                nest.be32(RULE_COMPAT_FLAGS, if compat.inverted { 2 } else { 0 });
            });
        }
        if let Some(comment) = self.comment {
            message.bytes(RULE_USERDATA, &comment_data(comment));
        }
    }
}

/// A comment as nft(8) stores it in user data: type, length, text, zero byte.
pub fn comment_data(comment: &str) -> Vec<u8> {
    let mut end = comment.len().min(COMMENT_BYTES_MAX);
    while !comment.is_char_boundary(end) {
        end -= 1;
    }
    let text = &comment.as_bytes()[..end];
    let length = u8::try_from(text.len() + 1).unwrap_or(u8::MAX);
    let mut data = vec![USERDATA_COMMENT, length];
    data.extend_from_slice(text);
    data.push(0);
    data
}

/// nft(8) takes comments of at most 128 bytes.
const COMMENT_BYTES_MAX: usize = 127;

/// Replaces the chain that a verdict data attribute jumps to, by `rename`.
pub fn rename_verdict(data: &[u8], rename: impl Fn(&str) -> String) -> Option<Vec<u8>> {
    let verdict = Verdict::from_data(data)?;
    let renamed = match verdict {
        Verdict::Jump(chain) => Verdict::Jump(rename(&chain)),
        Verdict::Goto(chain) => Verdict::Goto(rename(&chain)),
        other => other,
    };
    let mut message = Message::new(0, 0);
    renamed.write_data(&mut message);
    Some(message.body().to_vec())
}

/// The type of a nested attribute to be copied with its flag.
pub const fn nested(kind: u16) -> u16 {
    kind | NESTED
}
