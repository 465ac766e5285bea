//! Expressions: what a rule is made of.
//!
//! A rule loads values into registers, compares them or looks them up, and ends with a
//! verdict or a translation. Registers are named by four-byte words, as concatenations
//! need them.

use crate::wire::{Attributes, Message};

const NAME: u16 = 1;
const DATA: u16 = 2;
const DATA_VALUE: u16 = 1;
const DATA_VERDICT: u16 = 2;
const VERDICT_CODE: u16 = 1;
const VERDICT_CHAIN: u16 = 2;
const FAMILY_IPV4: u32 = 2;
const FAMILY_IPV6: u32 = 10;

/// A four-byte register, from 0 to 15.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Register(pub u8);

impl Register {
    const fn number(self) -> u32 {
        // NFT_REG32_00 is 8. Word 0, 4, 8 and 12 are the heads of the four long
        // registers, which the kernel reports by their own numbers.
        8 + (self.0 & 15) as u32
    }

    fn from_number(number: u32) -> Option<Self> {
        match number {
            1..=4 => u8::try_from((number - 1) * 4).ok().map(Self),
            8..=23 => u8::try_from(number - 8).ok().map(Self),
            _ => None,
        }
    }
}

/// What the packet carries beside its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetaKey {
    /// Name of the link it came in by.
    InputName,
    /// Name of the link it goes out by.
    OutputName,
    /// The transport.
    Transport,
    /// The packet's mark, in host byte order.
    Mark,
}

impl MetaKey {
    const fn number(self) -> u32 {
        match self {
            Self::Mark => 3,
            Self::InputName => 6,
            Self::OutputName => 7,
            Self::Transport => 16,
        }
    }

    const fn from_number(number: u32) -> Option<Self> {
        match number {
            3 => Some(Self::Mark),
            6 => Some(Self::InputName),
            7 => Some(Self::OutputName),
            16 => Some(Self::Transport),
            _ => None,
        }
    }
}

/// What connection tracking knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CtKey {
    /// New, established…: see [`ct_state`].
    State,
    /// Translated…: see [`ct_status`].
    Status,
    /// The IPv4 address that its first packet was for, before translation.
    OriginalDestination,
    /// The port that its first packet was for, before translation.
    OriginalDestinationPort,
}

impl CtKey {
    /// The key, and the direction where it has one.
    const fn numbers(self) -> (u32, Option<u8>) {
        match self {
            Self::State => (0, None),
            Self::Status => (2, None),
            Self::OriginalDestination => (20, Some(0)),
            Self::OriginalDestinationPort => (12, Some(0)),
        }
    }
}

/// Bits of `ct state`.
pub mod ct_state {
    /// Belongs to no connection that could be.
    pub const INVALID: u32 = 1;
    /// Part of a connection that was seen in both directions.
    pub const ESTABLISHED: u32 = 2;
    /// Belongs to another connection.
    pub const RELATED: u32 = 4;
    /// The first packet of a connection.
    pub const NEW: u32 = 8;
}

/// Bits of `ct status`.
pub mod ct_status {
    /// Its destination was translated.
    pub const DESTINATION_NAT: u32 = 0x20;
}

/// Results of a lookup of the kind of an address.
pub mod fib_type {
    /// `RTN_LOCAL`: an address of this host.
    pub const LOCAL: u32 = 2;
}

/// A header of the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// The IP header.
    Network,
    /// The TCP, UDP or SCTP header.
    Transport,
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// Equal.
    Equal,
    /// Not equal.
    Differs,
}

/// What a rule does to a set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetOperation {
    /// Adds the element if it is not there.
    Add,
    /// The same, and its time begins anew.
    Update,
    /// Takes the element out.
    Delete,
}

impl SetOperation {
    const fn number(self) -> u32 {
        match self {
            Self::Add => 0,
            Self::Update => 1,
            Self::Delete => 2,
        }
    }
}

/// How a packet is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectWith {
    /// ICMP destination unreachable with this code.
    Icmp(u8),
    /// A TCP reset.
    TcpReset,
}

/// Where evaluation goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Let it pass this base chain.
    Accept,
    /// Throw it away.
    Drop,
    /// Back to the chain that jumped here.
    Return,
    /// To a chain and back.
    Jump(String),
    /// To a chain and not back.
    Goto(String),
    /// Any other code.
    Other(i32),
}

impl Verdict {
    /// The code, and the chain where there is one.
    pub(super) fn parts(&self) -> (i32, Option<&str>) {
        match self {
            Self::Drop => (0, None),
            Self::Accept => (1, None),
            Self::Jump(chain) => (-3, Some(chain)),
            Self::Goto(chain) => (-4, Some(chain)),
            Self::Return => (-5, None),
            Self::Other(code) => (*code, None),
        }
    }

    /// Writes it as the contents of a data attribute.
    pub(super) fn write_data(&self, message: &mut Message) {
        let (code, chain) = self.parts();
        message.nest(DATA_VERDICT, |verdict| {
            verdict.be32(VERDICT_CODE, code.cast_unsigned());
            if let Some(chain) = chain {
                verdict.str(VERDICT_CHAIN, chain);
            }
        });
    }

    /// Reads it from the contents of a data attribute.
    pub fn from_data(data: &[u8]) -> Option<Self> {
        let verdict = Attributes::new(data).find(DATA_VERDICT)?.nested();
        let code = verdict.find(VERDICT_CODE)?.be32()?.cast_signed();
        let chain = || verdict.find(VERDICT_CHAIN).map(|a| a.text());
        Some(match code {
            0 => Self::Drop,
            1 => Self::Accept,
            -3 => Self::Jump(chain()?),
            -4 => Self::Goto(chain()?),
            -5 => Self::Return,
            other => Self::Other(other),
        })
    }
}

/// An expression as the kernel dumps it: its name and the bytes of its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawExpr {
    /// `cmp`, `lookup`, `match`…
    pub name: String,
    /// Its attributes, unread.
    pub data: Vec<u8>,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expr {
    /// Load what goes with the packet.
    Meta {
        /// What.
        key: MetaKey,
        /// Where to.
        to: Register,
    },
    /// Load what connection tracking knows.
    Ct {
        /// What.
        key: CtKey,
        /// Where to.
        to: Register,
    },
    /// Load these bytes.
    Load {
        /// Which.
        value: Vec<u8>,
        /// Where to.
        to: Register,
    },
    /// Give the packet the mark in a register.
    SetMark {
        /// Where it is.
        from: Register,
    },
    /// Load a random number below `below`, in host byte order.
    Random {
        /// How many there are.
        below: u32,
        /// Where to.
        to: Register,
    },
    /// Load the kind of the destination address: see [`fib_type`].
    DestinationType {
        /// Where to.
        to: Register,
    },
    /// Load bytes of the packet.
    Payload {
        /// Of which header.
        base: Base,
        /// From its start.
        offset: u32,
        /// How many.
        length: u32,
        /// Where to.
        to: Register,
    },
    /// Keep only some bits.
    Mask {
        /// Of this register.
        register: Register,
        /// These.
        mask: Vec<u8>,
    },
    /// `to = (from & mask) ^ flip`.
    Bits {
        /// From this register.
        from: Register,
        /// Into this one.
        to: Register,
        /// These bits are kept.
        mask: Vec<u8>,
        /// Then these are flipped.
        flip: Vec<u8>,
    },
    /// Go on only if it holds.
    Compare {
        /// This register.
        register: Register,
        /// Is so.
        how: Compare,
        /// To this.
        value: Vec<u8>,
    },
    /// Go on only if the key is in a set (or is not); from a map, load its value.
    Lookup {
        /// The set's name.
        set: String,
        /// Where the key is.
        key: Register,
        /// Where a map's value goes to.
        to: Option<Register>,
        /// Go on only if it is not in it.
        absent: bool,
    },
    /// Go where a map of verdicts says; go on if the key is not in it.
    Dispatch {
        /// The map's name.
        map: String,
        /// Where the key is.
        key: Register,
    },
    /// Change a set that rules may change.
    Dynamic {
        /// How.
        operation: SetOperation,
        /// The set's name.
        set: String,
        /// Where the key is.
        key: Register,
        /// Where a map's value is.
        value: Option<Register>,
        /// How long the element stays, in milliseconds.
        timeout_ms: Option<u64>,
    },
    /// Send the connection to the address and port in these registers.
    DestinationNat {
        /// Where the address is.
        address: Register,
        /// Where the port is.
        port: Register,
    },
    /// The same for IPv6.
    DestinationNat6 {
        /// Where the address is.
        address: Register,
        /// Where the port is.
        port: Register,
    },
    /// Send the connection out with the address of the link it leaves by.
    Masquerade,
    /// Refuse the packet with an answer.
    Reject(RejectWith),
    /// End here.
    Verdict(Verdict),
    /// An expression that was read from the kernel.
    Raw(RawExpr),
}

impl Expr {
    fn name(&self) -> &str {
        match self {
            Self::Meta { .. } | Self::SetMark { .. } => "meta",
            Self::Random { .. } => "numgen",
            Self::Dynamic { .. } => "dynset",
            Self::Ct { .. } => "ct",
            Self::DestinationType { .. } => "fib",
            Self::Payload { .. } => "payload",
            Self::Mask { .. } | Self::Bits { .. } => "bitwise",
            Self::Compare { .. } => "cmp",
            Self::Lookup { .. } | Self::Dispatch { .. } => "lookup",
            Self::DestinationNat { .. } | Self::DestinationNat6 { .. } => "nat",
            Self::Masquerade => "masq",
            Self::Reject(_) => "reject",
            Self::Verdict(_) | Self::Load { .. } => "immediate",
            Self::Raw(raw) => &raw.name,
        }
    }

    pub(super) fn write(&self, message: &mut Message) {
        message.str(NAME, self.name());
        message.nest(DATA, |data| self.write_attributes(data));
    }

    fn write_attributes(&self, data: &mut Message) {
        match self {
            Self::Meta { key, to } => {
                data.be32(1, to.number()).be32(2, key.number());
            }
            Self::Ct { key, to } => {
                let (number, direction) = key.numbers();
                data.be32(1, to.number()).be32(2, number);
                if let Some(direction) = direction {
                    data.u8(3, direction);
                }
            }
            Self::DestinationType { to } => {
                // NFTA_FIB_F_DADDR, NFT_FIB_RESULT_ADDRTYPE
                data.be32(1, to.number()).be32(3, 2).be32(2, 3);
            }
            Self::Payload { base, offset, length, to } => {
                data.be32(1, to.number()).be32(2, if *base == Base::Network { 1 } else { 2 });
                data.be32(3, *offset).be32(4, *length);
            }
            Self::Load { value, to } => {
                data.be32(1, to.number());
                write_value(data, 2, value);
            }
            Self::SetMark { from } => {
                data.be32(2, MetaKey::Mark.number()).be32(3, from.number());
            }
            Self::Random { below, to } => {
                data.be32(1, to.number()).be32(2, *below).be32(3, NUMGEN_RANDOM).be32(4, 0);
            }
            Self::Mask { register, mask } => {
                write_bits(data, (*register, *register), mask, &vec![0; mask.len()]);
            }
            Self::Bits { from, to, mask, flip } => write_bits(data, (*from, *to), mask, flip),
            Self::Compare { register, how, value } => {
                data.be32(1, register.number()).be32(2, u32::from(*how == Compare::Differs));
                write_value(data, 3, value);
            }
            Self::Lookup { set, key, to, absent } => {
                data.str(1, set).be32(2, key.number());
                if let Some(to) = to {
                    data.be32(3, to.number());
                }
                if *absent {
                    data.be32(5, 1);
                }
            }
            Self::Dispatch { map, key } => {
                data.str(1, map).be32(2, key.number()).be32(3, REGISTER_VERDICT);
            }
            Self::Dynamic { operation, set, key, value, timeout_ms } => {
                data.str(1, set).be32(3, operation.number()).be32(4, key.number());
                if let Some(value) = value {
                    data.be32(5, value.number());
                }
                if let Some(timeout) = timeout_ms {
                    data.be64(6, *timeout);
                }
            }
            Self::Raw(raw) => {
                data.raw(&raw.data);
            }
            end => end.write_end(data),
        }
    }

    /// Those that end a rule.
    fn write_end(&self, data: &mut Message) {
        match self {
            Self::DestinationNat { address, port } => {
                data.be32(1, 1).be32(2, FAMILY_IPV4).be32(3, address.number()).be32(5, port.number());
            }
            Self::DestinationNat6 { address, port } => {
                data.be32(1, 1).be32(2, FAMILY_IPV6).be32(3, address.number()).be32(5, port.number());
            }
            Self::Masquerade => {}
            Self::Reject(RejectWith::Icmp(code)) => {
                data.be32(1, 0).u8(2, *code);
            }
            Self::Reject(RejectWith::TcpReset) => {
                data.be32(1, 1).u8(2, 0);
            }
            Self::Verdict(verdict) => {
                data.be32(1, 0);
                data.nest(2, |m| verdict.write_data(m));
            }
            _ => {}
        }
    }

    /// Understands a dumped expression; what has no variant of its own stays
    /// [`Raw`](Self::Raw).
    pub fn understand(raw: RawExpr) -> Self {
        typed(&raw).unwrap_or(Self::Raw(raw))
    }
}

impl RawExpr {
    /// Reads one element of a rule's expression list.
    pub(super) fn parse(element: Attributes<'_>) -> Option<Self> {
        let name = element.find(NAME)?.text();
        let data = element.find(DATA).map(|a| a.data.to_vec()).unwrap_or_default();
        Some(Self { name, data })
    }
}

fn write_value(message: &mut Message, kind: u16, value: &[u8]) {
    message.nest(kind, |data| {
        data.bytes(DATA_VALUE, value);
    });
}

fn write_bits(data: &mut Message, (from, to): (Register, Register), mask: &[u8], flip: &[u8]) {
    data.be32(1, from.number()).be32(2, to.number());
    data.be32(3, u32::try_from(mask.len()).unwrap_or(0));
    write_value(data, 4, mask);
    write_value(data, 5, flip);
}

fn typed(raw: &RawExpr) -> Option<Expr> {
    let attributes = Attributes::new(&raw.data);
    let int = |kind| attributes.find(kind)?.be32();
    let register = |kind| int(kind).and_then(Register::from_number);
    let value = |kind| Some(attributes.find(kind)?.nested().find(DATA_VALUE)?.data.to_vec());
    match raw.name.as_str() {
        "meta" => match (MetaKey::from_number(int(2)?)?, attributes.find(3)) {
            (MetaKey::Mark, Some(_)) => Some(Expr::SetMark { from: register(3)? }),
            (_, Some(_)) => None,
            (key, None) => Some(Expr::Meta { key, to: register(1)? }),
        },
        "numgen" if int(3)? == NUMGEN_RANDOM && int(4).unwrap_or(0) == 0 => {
            Some(Expr::Random { below: int(2)?, to: register(1)? })
        }
        "ct" => {
            let direction = attributes.find(3).and_then(|a| a.data.first().copied());
            let key = match (int(2)?, direction) {
                (0, None) => CtKey::State,
                (2, None) => CtKey::Status,
                (20, Some(0)) => CtKey::OriginalDestination,
                (12, Some(0)) => CtKey::OriginalDestinationPort,
                _ => return None,
            };
            Some(Expr::Ct { key, to: register(1)? })
        }
        "fib" if int(2)? == 3 && int(3)? == 2 => Some(Expr::DestinationType { to: register(1)? }),
        "payload" => {
            let base = match int(2)? {
                1 => Base::Network,
                2 => Base::Transport,
                _ => return None,
            };
            Some(Expr::Payload { base, offset: int(3)?, length: int(4)?, to: register(1)? })
        }
        "bitwise" => {
            let (from, to, mask, flip) = (register(1)?, register(2)?, value(4)?, value(5)?);
            if int(3)? as usize != mask.len() || int(6).unwrap_or(0) != 0 {
                return None;
            }
            let plain = from == to && flip.iter().all(|b| *b == 0);
            Some(if plain { Expr::Mask { register: to, mask } } else { Expr::Bits { from, to, mask, flip } })
        }
        "cmp" => {
            let how = match int(2)? {
                0 => Compare::Equal,
                1 => Compare::Differs,
                _ => return None,
            };
            Some(Expr::Compare { register: register(1)?, how, value: value(3)? })
        }
        "lookup" => typed_lookup(attributes),
        "reject" => match int(1)? {
            0 => Some(Expr::Reject(RejectWith::Icmp(*attributes.find(2)?.data.first()?))),
            1 => Some(Expr::Reject(RejectWith::TcpReset)),
            _ => None,
        },
        "dynset" => typed_dynamic(attributes),
        "immediate" if int(1)? == REGISTER_VERDICT => {
            Verdict::from_data(attributes.find(2)?.data).map(Expr::Verdict)
        }
        "immediate" => Some(Expr::Load { value: value(2)?, to: register(1)? }),
        _ => None,
    }
}

fn typed_lookup(attributes: Attributes<'_>) -> Option<Expr> {
    let int = |kind| attributes.find(kind)?.be32();
    let register = |kind| int(kind).and_then(Register::from_number);
    let to = match attributes.find(3) {
        Some(_) if int(3)? == REGISTER_VERDICT => {
            return Some(Expr::Dispatch { map: attributes.find(1)?.text(), key: register(2)? });
        }
        Some(_) => Some(register(3)?),
        None => None,
    };
    let absent = int(5).unwrap_or(0) & 1 != 0;
    Some(Expr::Lookup { set: attributes.find(1)?.text(), key: register(2)?, to, absent })
}

fn typed_dynamic(attributes: Attributes<'_>) -> Option<Expr> {
    let int = |kind| attributes.find(kind)?.be32();
    let register = |kind| int(kind).and_then(Register::from_number);
    // An element with expressions of its own says more than we do.
    if attributes.find(7).is_some() || attributes.find(10).is_some() {
        return None;
    }
    let operation = match int(3)? {
        0 => SetOperation::Add,
        1 => SetOperation::Update,
        2 => SetOperation::Delete,
        _ => return None,
    };
    Some(Expr::Dynamic {
        operation,
        set: attributes.find(1)?.text(),
        key: register(4)?,
        value: register(5),
        timeout_ms: attributes.find(6).and_then(|a| a.be64()).filter(|timeout| *timeout > 0),
    })
}

/// `NFT_REG_VERDICT`.
const REGISTER_VERDICT: u32 = 0;
/// `NFT_NG_RANDOM`.
const NUMGEN_RANDOM: u32 = 1;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round(expression: &Expr) -> Expr {
        let mut message = Message::new(0, 0);
        expression.write(&mut message);
        let raw = RawExpr::parse(Attributes::new(message.body())).expect("just written");
        Expr::understand(raw)
    }

    fn any_expression() -> impl Strategy<Value = Expr> {
        let register = || (0u8..16).prop_map(Register);
        let bytes = || proptest::collection::vec(any::<u8>(), 1..17);
        let verdict = prop_oneof![
            Just(Verdict::Accept),
            Just(Verdict::Drop),
            Just(Verdict::Return),
            "[a-z-]{1,20}".prop_map(Verdict::Jump),
            "[a-z-]{1,20}".prop_map(Verdict::Goto),
        ];
        prop_oneof![
            register().prop_map(|to| Expr::Meta { key: MetaKey::OutputName, to }),
            register().prop_map(|to| Expr::Ct { key: CtKey::Status, to }),
            register().prop_map(|to| Expr::Ct { key: CtKey::OriginalDestination, to }),
            register().prop_map(|to| Expr::DestinationType { to }),
            register().prop_map(|from| Expr::SetMark { from }),
            (register(), any::<u32>()).prop_map(|(to, below)| Expr::Random { below, to }),
            (register(), bytes()).prop_map(|(to, value)| Expr::Load { value, to }),
            (register(), bytes()).prop_map(|(from, mask)| Expr::Bits {
                from,
                to: Register((from.0 + 1) % 16),
                flip: mask.clone(),
                mask
            }),
            ("[a-z_]{1,20}", register()).prop_map(|(map, key)| Expr::Dispatch { map, key }),
            (
                "[a-z_]{1,20}",
                register(),
                proptest::option::of(register()),
                proptest::option::of(1u64..u64::MAX)
            )
                .prop_map(|(set, key, value, timeout_ms)| Expr::Dynamic {
                    operation: SetOperation::Update,
                    set,
                    key,
                    value,
                    timeout_ms
                }),
            (register(), any::<u32>(), any::<u32>()).prop_map(|(to, offset, length)| Expr::Payload {
                base: Base::Transport,
                offset,
                length,
                to
            }),
            (register(), bytes()).prop_map(|(register, mask)| Expr::Mask { register, mask }),
            (register(), bytes()).prop_map(|(register, value)| Expr::Compare {
                register,
                how: Compare::Differs,
                value
            }),
            ("[a-z_]{1,20}", register(), proptest::option::of(register()), any::<bool>())
                .prop_map(|(set, key, to, absent)| Expr::Lookup { set, key, to, absent }),
            any::<u8>().prop_map(|code| Expr::Reject(RejectWith::Icmp(code))),
            Just(Expr::Reject(RejectWith::TcpReset)),
            verdict.prop_map(Expr::Verdict),
        ]
    }

    proptest! {
        #[test]
        fn expressions_come_back_as_written(expression in any_expression()) {
            prop_assert_eq!(round(&expression), expression);
        }

        #[test]
        fn foreign_expressions_never_panic(
            name in prop_oneof![Just("meta"), Just("cmp"), Just("lookup"), Just("bitwise"), Just("immediate"), Just("reject"), Just("fib"), Just("payload"), Just("ct"), Just("dynset"), Just("numgen")],
            data in proptest::collection::vec(any::<u8>(), 0..80),
        ) {
            let _ = Expr::understand(RawExpr { name: name.to_owned(), data });
        }
    }
}
