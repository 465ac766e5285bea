//! One rule against one packet: registers whose bytes may be unknown.

use std::net::{IpAddr, SocketAddr};

use netlink::Attributes;
use netlink::nft::{
    Base, Compare, CtKey, Expr, MetaKey, RawExpr, Register, Verdict, ct_state, ct_status, fib_type,
};

use super::ruleset::{ChainKey, Found, Rule, Ruleset};

/// A byte of a register: known, or not.
type Byte = Option<u8>;

/// What is known of a packet at some point of its way.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) source: Option<IpAddr>,
    pub(super) destination: SocketAddr,
    pub(super) protocol: u8,
    pub(super) input: Option<String>,
    pub(super) output: Option<String>,
    /// The host's numbers of these links.
    pub(super) indices: (Option<u32>, Option<u32>),
    /// What it was for before it was translated.
    pub(super) original: Option<SocketAddr>,
    /// Its destination is an address of this host.
    pub(super) local: bool,
}

/// What a rule does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Counts, logs, marks: the packet goes on.
    None,
    Verdict(Verdict),
    /// To another address, or another port, if known.
    Translate(Option<SocketAddr>),
    /// To a port of this host.
    Redirect(Option<u16>),
    Masquerade,
    Reject,
    /// Something that is not understood.
    Other(String),
}

/// How a rule meets a packet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Met {
    Not,
    Yes(Effect),
    /// It depends on more than is known.
    Maybe(Effect),
}

struct Machine<'a> {
    registers: [Byte; 64],
    seen: &'a Seen,
    sure: bool,
}

/// Runs one rule of `table`.
pub(super) fn run(rule: &Rule, chain: &ChainKey, rules: &Ruleset, seen: &Seen) -> Met {
    let mut machine = Machine { registers: [None; 64], seen, sure: true };
    for expression in &rule.expressions {
        match machine.step(expression, chain, rules) {
            Step::Next => {}
            Step::Fails => return Met::Not,
            Step::Does(effect) if machine.sure => return Met::Yes(effect),
            Step::Does(effect) => return Met::Maybe(effect),
        }
    }
    if machine.sure { Met::Yes(Effect::None) } else { Met::Maybe(Effect::None) }
}

enum Step {
    Next,
    Fails,
    Does(Effect),
}

impl Machine<'_> {
    fn step(&mut self, expression: &Expr, chain: &ChainKey, rules: &Ruleset) -> Step {
        match expression {
            Expr::Meta { key, to } => self.load_meta(*key, *to),
            Expr::Ct { key, to } => self.load_ct(*key, *to),
            Expr::Load { value, to } => self.write(*to, &known(value)),
            // A throw of the die: any other would do.
            Expr::Random { to, .. } => self.write(*to, &known(&[0; 4])),
            Expr::DestinationType { to } => {
                let kind = self.seen.local.then_some(fib_type::LOCAL);
                // What is not local may be anything else.
                let bytes =
                    kind.map_or(vec![Some(1), Some(0), Some(0), Some(0)], |k| known(&k.to_ne_bytes()));
                self.write(*to, &bytes);
            }
            Expr::Payload { base, offset, length, to } => {
                let bytes = self.payload(*base, *offset as usize, *length as usize);
                self.write(*to, &bytes);
            }
            Expr::Mask { register, mask } => self.bits(*register, *register, mask, &vec![0; mask.len()]),
            Expr::Bits { from, to, mask, flip } => self.bits(*from, *to, mask, flip),
            Expr::Compare { register, how, value } => return self.compare(*register, *how, value),
            Expr::Lookup { set, key, to, absent } => {
                return self.look_up((set, *key, *to, *absent), chain, rules);
            }
            Expr::Dispatch { map, key } => return self.dispatch(map, *key, chain, rules),
            Expr::SetMark { .. } | Expr::Dynamic { .. } => {}
            Expr::DestinationNat { address, port } | Expr::DestinationNat6 { address, port } => {
                return Step::Does(Effect::Translate(self.endpoint(Some(*address), Some(*port))));
            }
            Expr::Masquerade => return Step::Does(Effect::Masquerade),
            Expr::Reject(_) => return Step::Does(Effect::Reject),
            Expr::Verdict(verdict) => return Step::Does(Effect::Verdict(verdict.clone())),
            Expr::Raw(raw) => return self.raw(raw),
        }
        Step::Next
    }

    fn write(&mut self, to: Register, bytes: &[Byte]) {
        let start = usize::from(to.0) * 4;
        // The rest of the last word is zero.
        let padded = bytes.len().div_ceil(4) * 4;
        for at in 0..padded {
            if let Some(byte) = self.registers.get_mut(start + at) {
                *byte = bytes.get(at).copied().unwrap_or(Some(0));
            }
        }
    }

    fn read(&self, from: Register, length: usize) -> Vec<Byte> {
        let start = usize::from(from.0) * 4;
        (start..start + length).map(|at| self.registers.get(at).copied().flatten()).collect()
    }

    fn load_meta(&mut self, key: MetaKey, to: Register) {
        let name = |name: &Option<String>| -> Vec<Byte> {
            let Some(name) = name else { return vec![None; 16] };
            let mut bytes = [0u8; 16];
            bytes.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from);
            known(&bytes)
        };
        let bytes = match key {
            MetaKey::InputName => name(&self.seen.input),
            MetaKey::OutputName => name(&self.seen.output),
            MetaKey::Transport => known(&[self.seen.protocol]),
            // Nobody has marked it that we could know of.
            MetaKey::Mark => known(&[0; 4]),
        };
        self.write(to, &bytes);
    }

    fn load_ct(&mut self, key: CtKey, to: Register) {
        let original = self.seen.original.unwrap_or(self.seen.destination);
        let bytes = match key {
            CtKey::State => known(&ct_state::NEW.to_ne_bytes()),
            CtKey::Status => {
                let translated = if self.seen.original.is_some() { ct_status::DESTINATION_NAT } else { 0 };
                known(&translated.to_ne_bytes())
            }
            CtKey::OriginalDestination => known(&octets(original.ip())),
            CtKey::OriginalDestinationPort => known(&original.port().to_be_bytes()),
        };
        self.write(to, &bytes);
    }

    fn payload(&self, base: Base, offset: usize, length: usize) -> Vec<Byte> {
        const SYN: u8 = 2;
        let mut header: Vec<Byte> = vec![None; 64];
        let mut put = |at: usize, bytes: &[u8]| {
            header.iter_mut().skip(at).zip(bytes).for_each(|(to, from)| *to = Some(*from));
        };
        match base {
            Base::Network => {
                let ipv4 = self.seen.destination.is_ipv4();
                let (protocol, source, destination) = if ipv4 { (9, 12, 16) } else { (6, 8, 24) };
                put(protocol, &[self.seen.protocol]);
                if let Some(address) = self.seen.source {
                    put(source, &octets(address));
                }
                put(destination, &octets(self.seen.destination.ip()));
            }
            Base::Transport => {
                put(2, &self.seen.destination.port().to_be_bytes());
                if self.seen.protocol == 6 {
                    put(13, &[SYN]);
                }
            }
        }
        (offset..offset.saturating_add(length).min(offset + 64))
            .map(|at| header.get(at).copied().flatten())
            .collect()
    }

    fn bits(&mut self, from: Register, to: Register, mask: &[u8], flip: &[u8]) {
        let bytes: Vec<Byte> = self
            .read(from, mask.len())
            .into_iter()
            .zip(mask.iter().zip(flip))
            .map(|(byte, (mask, flip))| match (byte, mask) {
                (_, 0) => Some(*flip),
                (byte, mask) => byte.map(|byte| (byte & mask) ^ flip),
            })
            .collect();
        self.write(to, &bytes);
    }

    fn compare(&mut self, register: Register, how: Compare, value: &[u8]) -> Step {
        let bytes = self.read(register, value.len());
        let differs = bytes.iter().zip(value).any(|(byte, value)| byte.is_some_and(|byte| byte != *value));
        let unknown = bytes.iter().any(Option::is_none);
        match (how, differs, unknown) {
            (Compare::Equal, true, _) | (Compare::Differs, false, false) => Step::Fails,
            (Compare::Equal, false, false) | (Compare::Differs, true, _) => Step::Next,
            (_, false, true) => self.perhaps(),
        }
    }

    fn perhaps(&mut self) -> Step {
        self.sure = false;
        Step::Next
    }

    fn look_up(
        &mut self,
        (set, key, to, absent): (&str, Register, Option<Register>, bool),
        chain: &ChainKey,
        rules: &Ruleset,
    ) -> Step {
        let found = self.found(set, key, chain, rules);
        match (found, absent) {
            (None, false) | (Some((_, true)), true) => Step::Fails,
            (None, true) => Step::Next,
            (Some((_, false)), true) => self.perhaps(),
            (Some((found, sure)), false) => {
                self.sure &= sure;
                if let (Found::Value(value), Some(to)) = (found, to) {
                    self.write(to, &known(&value));
                }
                Step::Next
            }
        }
    }

    fn dispatch(&mut self, map: &str, key: Register, chain: &ChainKey, rules: &Ruleset) -> Step {
        match self.found(map, key, chain, rules) {
            Some((Found::Verdict(verdict), sure)) => {
                self.sure &= sure;
                Step::Does(Effect::Verdict(verdict))
            }
            // The packet goes on: with nothing after it in the rule, that is no match.
            _ => Step::Fails,
        }
    }

    fn found(&self, set: &str, key: Register, chain: &ChainKey, rules: &Ruleset) -> Option<(Found, bool)> {
        let contents = rules.sets.get(&(chain.0, chain.1.clone(), set.to_owned()))?;
        let length = contents.key_length()?;
        contents.look_up(&self.read(key, length))
    }

    /// What the crate has no expression for.
    fn raw(&mut self, raw: &RawExpr) -> Step {
        let attributes = Attributes::new(&raw.data);
        let int = |kind| attributes.find(kind).and_then(|a| a.be32());
        let register = |kind| int(kind).and_then(register);
        match raw.name.as_str() {
            "counter" | "log" | "notrack" | "objref" | "last" => Step::Next,
            "masq" => Step::Does(Effect::Masquerade),
            "redir" => {
                let port = register(1).map(|r| self.read(r, 2)).and_then(|bytes| port(&bytes));
                Step::Does(Effect::Redirect(port))
            }
            "nat" if int(1) == Some(1) => {
                Step::Does(Effect::Translate(self.endpoint(register(3), register(5))))
            }
            "nat" => Step::Does(Effect::Other("snat".to_owned())),
            "target" => Step::Does(target(attributes.find(1).map(|a| a.text()).unwrap_or_default())),
            "queue" | "tproxy" | "synproxy" => Step::Does(Effect::Other(raw.name.clone())),
            "meta" if attributes.find(3).is_some() => Step::Next,
            "ct" if attributes.find(4).is_some() => Step::Next,
            "meta" => self.raw_meta(int(2), register(1)),
            "cmp" => self.raw_compare(int(2), register(1), &attributes),
            "range" => self.raw_range(int(2), register(1), &attributes),
            _ => {
                if let Some(to) = register(1) {
                    self.write(to, &[None; 16]);
                }
                self.perhaps()
            }
        }
    }

    fn raw_meta(&mut self, key: Option<u32>, to: Option<Register>) -> Step {
        let Some(to) = to else { return self.perhaps() };
        let ipv4 = self.seen.destination.is_ipv4();
        let index = |index: Option<u32>| index.map_or(vec![None; 4], |index| known(&index.to_ne_bytes()));
        let bytes = match key {
            // The protocol as Ethernet knows it, and as netfilter does.
            Some(1) => known(if ipv4 { &[8, 0] } else { &[0x86, 0xdd] }),
            Some(15) => known(&[if ipv4 { 2 } else { 10 }]),
            Some(4) => index(self.seen.indices.0),
            Some(5) => index(self.seen.indices.1),
            _ => vec![None; 16],
        };
        self.write(to, &bytes);
        Step::Next
    }

    /// Less, not greater, greater, not less.
    fn raw_compare(&mut self, how: Option<u32>, from: Option<Register>, attributes: &Attributes<'_>) -> Step {
        let value = value(attributes, 3);
        let (Some(how), Some(from), Some(value)) = (how, from, value) else { return self.perhaps() };
        let read: Option<Vec<u8>> = self.read(from, value.len()).into_iter().collect();
        let Some(read) = read else { return self.perhaps() };
        let holds = match how {
            2 => read < value,
            3 => read <= value,
            4 => read > value,
            5 => read >= value,
            _ => return self.perhaps(),
        };
        if holds { Step::Next } else { Step::Fails }
    }

    fn raw_range(&mut self, how: Option<u32>, from: Option<Register>, attributes: &Attributes<'_>) -> Step {
        let (Some(first), Some(last)) = (value(attributes, 3), value(attributes, 4)) else {
            return self.perhaps();
        };
        let Some(from) = from else { return self.perhaps() };
        let read: Option<Vec<u8>> = self.read(from, first.len()).into_iter().collect();
        let Some(read) = read else { return self.perhaps() };
        let inside = first <= read && read <= last;
        if inside == (how == Some(0)) { Step::Next } else { Step::Fails }
    }

    fn endpoint(&self, address: Option<Register>, to_port: Option<Register>) -> Option<SocketAddr> {
        let length = if self.seen.destination.is_ipv4() { 4 } else { 16 };
        let address = match address {
            None => self.seen.destination.ip(),
            Some(at) => {
                let bytes: Option<Vec<u8>> = self.read(at, length).into_iter().collect();
                let bytes = bytes?;
                match <[u8; 4]>::try_from(bytes.as_slice()) {
                    Ok(bytes) => IpAddr::from(bytes),
                    Err(_) => IpAddr::from(<[u8; 16]>::try_from(bytes.as_slice()).ok()?),
                }
            }
        };
        let to_port = match to_port {
            None => self.seen.destination.port(),
            Some(at) => port(&self.read(at, 2))?,
        };
        Some(SocketAddr::new(address, to_port))
    }
}

fn known(bytes: &[u8]) -> Vec<Byte> {
    bytes.iter().copied().map(Some).collect()
}

fn port(bytes: &[Byte]) -> Option<u16> {
    match bytes {
        [Some(high), Some(low)] => Some(u16::from_be_bytes([*high, *low])),
        _ => None,
    }
}

pub(super) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

fn register(number: u32) -> Option<Register> {
    match number {
        1..=4 => u8::try_from((number - 1) * 4).ok().map(Register),
        8..=23 => u8::try_from(number - 8).ok().map(Register),
        _ => None,
    }
}

fn value(attributes: &Attributes<'_>, kind: u16) -> Option<Vec<u8>> {
    Some(attributes.find(kind)?.nested().find(1)?.data.to_vec())
}

/// The targets of x_tables that end a packet's way through a chain.
fn target(name: String) -> Effect {
    match name.as_str() {
        "REJECT" => Effect::Reject,
        "MASQUERADE" => Effect::Masquerade,
        "DNAT" => Effect::Translate(None),
        "REDIRECT" => Effect::Redirect(None),
        "SNAT" | "TPROXY" | "SYNPROXY" | "NFQUEUE" => Effect::Other(name),
        _ => Effect::None,
    }
}
