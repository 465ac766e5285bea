//! The kernel's part: expressions, registers, sets, hooks.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::Ipv4Addr;

use netlink::nft::{
    Base, Compare, CtKey, Expr, HookPoint, MetaKey, Register, Verdict, ct_state, ct_status, fib_type,
};

use crate::elements::{Map, endpoint_of, remembered_frontend};
use crate::facts::Facts;
use crate::plan::Endpoint;
use crate::program::{self, AFFINITY};
use crate::ruleset::Changes;
use crate::service::Protocol;

/// The first packet of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packet {
    pub(super) source: Ipv4Addr,
    pub(super) destination: Ipv4Addr,
    pub(super) protocol: Protocol,
    pub(super) port: u16,
    pub(super) mark: u32,
    /// What it was for before it was translated.
    pub(super) original: Option<(Ipv4Addr, u16)>,
}

/// What became of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Sent {
        to: Endpoint,
        masqueraded: bool,
    },
    Rejected,
    Dropped,
    /// Nobody looked after it.
    Passed,
}

/// Registers, by byte; what a rule has not written may not be read.
struct Registers {
    bytes: [u8; 64],
    written: [bool; 16],
}

impl Registers {
    fn new() -> Self {
        Self { bytes: [0xee; 64], written: [false; 16] }
    }

    fn write(&mut self, to: Register, data: &[u8]) {
        let words = data.len().div_ceil(4);
        let start = usize::from(to.0);
        self.bytes[start * 4..(start + words) * 4].fill(0);
        self.bytes[start * 4..start * 4 + data.len()].copy_from_slice(data);
        self.written[start..start + words].fill(true);
    }

    fn read(&self, from: Register, length: usize) -> Vec<u8> {
        let start = usize::from(from.0);
        let words = start..start + length.div_ceil(4);
        assert!(
            self.written[words.clone()].iter().all(|w| *w),
            "reads words {words:?}, which this rule has not written"
        );
        self.bytes[start * 4..start * 4 + length].to_vec()
    }
}

enum Step {
    NextRule,
    NextChain,
    Done(Fate),
}

/// A table, held as the kernel holds it.
pub(super) struct Kernel {
    facts: Facts,
    chains: HashMap<String, Vec<Vec<Expr>>>,
    hooks: BTreeMap<(HookPoint, i32), Vec<String>>,
    pub(super) maps: HashMap<String, HashMap<Vec<u8>, Vec<u8>>>,
    pub(super) affinity: HashMap<Vec<u8>, Vec<u8>>,
    /// The next random number.
    pub(super) dice: u32,
    demanded: BTreeSet<Map>,
}

impl Kernel {
    pub(super) fn new(facts: &Facts) -> Self {
        let mut hooks: BTreeMap<_, Vec<String>> = BTreeMap::new();
        let mut chains = HashMap::new();
        for chain in program::chains(facts) {
            if let Some(hook) = chain.hook {
                hooks.entry((hook.point, hook.priority)).or_default().push(chain.name.to_owned());
            }
            chains.insert(chain.name.to_owned(), chain.rules.into_iter().map(|(rule, _)| rule).collect());
        }
        let (maps, affinity) = (HashMap::new(), HashMap::new());
        Self { facts: facts.clone(), chains, hooks, maps, affinity, dice: 0, demanded: BTreeSet::new() }
    }

    pub(super) fn apply(&mut self, changes: &Changes) {
        for (key, value) in &changes.remove {
            let held = self.maps.entry(key.map.name().into()).or_default().remove(&key.bytes[..]);
            assert_eq!(held.as_deref(), Some(&value[..]), "removed what was not there: {key:?}");
        }
        self.forget(changes);
        for map in &changes.demanded {
            if self.demanded.insert(*map) {
                for (chain, rule) in program::demanded_rules(*map) {
                    self.chains.get_mut(chain).expect("a chain").push(rule);
                }
            }
        }
        for (key, value) in &changes.add {
            let held = self
                .maps
                .entry(key.map.name().into())
                .or_default()
                .insert(key.bytes.to_vec(), value.to_vec());
            assert_eq!(held, None, "added what was there: {key:?}");
        }
    }

    /// As the service proxy does behind a commit.
    fn forget(&mut self, changes: &Changes) {
        let mut allowed: HashMap<_, BTreeSet<Endpoint>> = HashMap::new();
        for leads in &changes.sticky {
            for (address, protocol, port) in &leads.frontends {
                allowed.entry((*address, protocol.number(), *port)).or_default().extend(&leads.endpoints);
            }
        }
        self.affinity.retain(|key, endpoint| {
            let (address, protocol, port) = remembered_frontend(key).expect("a frontend");
            let exact = allowed.get(&(Some(address), protocol, port));
            let endpoint = endpoint_of(endpoint).expect("an endpoint");
            exact
                .or_else(|| allowed.get(&(None, protocol, port)))
                .is_none_or(|allowed| allowed.contains(&endpoint))
        });
    }

    fn find(&self, set: &str, key: &[u8]) -> Option<Vec<u8>> {
        if set == AFFINITY {
            return self.affinity.get(key).cloned();
        }
        let map = self.maps.get(set)?;
        if set == Map::Allowed.name() {
            let inside = |(first, last): (&Vec<u8>, &Vec<u8>)| first[..] <= *key && *key <= last[..];
            return map.iter().find(|(f, l)| f[..12] == key[..12] && inside((f, l))).map(|_| Vec::new());
        }
        map.get(key).cloned()
    }

    fn key_length(set: &str) -> usize {
        if set == AFFINITY {
            return 16;
        }
        let map = Map::parse(set).unwrap_or_else(|| panic!("{set}"));
        let words = |at_node: bool| if at_node { 2 } else { 3 };
        4 * match map {
            Map::To(class) => words(class.at_node) + usize::from(class.count > 1),
            Map::Sticky(sticky) => words(sticky.at_node),
            Map::Services(_) | Map::Reject | Map::Drop | Map::Restricted => 3,
            Map::NodePorts(_) | Map::NodeReject | Map::NodeDrop | Map::Loops => 2,
            Map::Allowed => 4,
            Map::ClusterIps => 1,
        }
    }

    fn is_local(&self, address: Ipv4Addr) -> bool {
        address.is_loopback() || self.facts.addresses.contains(&address)
    }

    /// From the first hook to the last.
    pub(super) fn walk(&mut self, mut packet: Packet) -> Fate {
        let own = self.is_local(packet.source);
        let mut points = vec![if own { HookPoint::Output } else { HookPoint::Prerouting }];
        let mut sent = None;
        let mut masqueraded = false;
        let mut at = 0;
        while let Some(point) = points.get(at).copied() {
            at += 1;
            let hooked: Vec<String> = self
                .hooks
                .iter()
                .filter(|((p, _), _)| *p == point)
                .flat_map(|(_, names)| names.clone())
                .collect();
            for chain in hooked {
                match self.run(&chain, &mut packet) {
                    Some(Fate::Sent { masqueraded: true, .. }) => masqueraded = true,
                    Some(Fate::Sent { to, .. }) => {
                        sent = Some(to);
                        packet.original = Some((packet.destination, packet.port));
                        (packet.destination, packet.port) = (to.address, to.port);
                    }
                    Some(Fate::Passed) | None => {}
                    Some(end) => return end,
                }
            }
            let next = match point {
                HookPoint::Prerouting if self.is_local(packet.destination) => Some(HookPoint::Input),
                HookPoint::Prerouting => Some(HookPoint::Forward),
                HookPoint::Output | HookPoint::Forward => Some(HookPoint::Postrouting),
                HookPoint::Input | HookPoint::Postrouting => None,
            };
            points.extend(next);
        }
        sent.map_or(Fate::Passed, |to| Fate::Sent { to, masqueraded })
    }

    fn run(&mut self, chain: &str, packet: &mut Packet) -> Option<Fate> {
        let rules = self.chains.get(chain).unwrap_or_else(|| panic!("no chain {chain}")).clone();
        for rule in rules {
            let mut registers = Registers::new();
            for expression in &rule {
                match self.step(expression, &mut registers, packet) {
                    None => {}
                    Some(Step::NextRule) => break,
                    Some(Step::NextChain) => return None,
                    Some(Step::Done(fate)) => return Some(fate),
                }
            }
        }
        None
    }

    /// Those that only load or mark; whether it was one.
    fn load(&self, expression: &Expr, r: &mut Registers, packet: &mut Packet) -> bool {
        match expression {
            Expr::Meta { key: MetaKey::Transport, to } => r.write(*to, &[packet.protocol.number()]),
            Expr::Meta { key: MetaKey::Mark, to } => r.write(*to, &packet.mark.to_ne_bytes()),
            Expr::SetMark { from } => {
                packet.mark = u32::from_ne_bytes(r.read(*from, 4).try_into().expect("a word"));
            }
            Expr::Ct { key: CtKey::State, to } => r.write(*to, &ct_state::NEW.to_ne_bytes()),
            Expr::Ct { key: CtKey::Status, to } => {
                let status = if packet.original.is_some() { ct_status::DESTINATION_NAT } else { 0 };
                r.write(*to, &status.to_ne_bytes());
            }
            Expr::Ct { key: CtKey::OriginalDestination, to } => {
                r.write(*to, &packet.original.map_or(packet.destination, |(address, _)| address).octets());
            }
            Expr::Ct { key: CtKey::OriginalDestinationPort, to } => {
                r.write(*to, &packet.original.map_or(packet.port, |(_, port)| port).to_be_bytes());
            }
            Expr::DestinationType { to } => {
                let kind = if self.is_local(packet.destination) { fib_type::LOCAL } else { 1 };
                r.write(*to, &kind.to_ne_bytes());
            }
            Expr::Payload { offset: 12, to, .. } => r.write(*to, &packet.source.octets()),
            Expr::Payload { offset: 16, to, .. } => r.write(*to, &packet.destination.octets()),
            Expr::Payload { base: Base::Transport, offset: 2, to, .. } => {
                r.write(*to, &packet.port.to_be_bytes());
            }
            Expr::Load { value, to } => r.write(*to, value),
            _ => return false,
        }
        true
    }

    fn step(&mut self, expression: &Expr, r: &mut Registers, packet: &mut Packet) -> Option<Step> {
        match expression {
            load if self.load(load, r, packet) => {}
            Expr::Mask { register, mask } => {
                let masked: Vec<u8> =
                    r.read(*register, mask.len()).iter().zip(mask).map(|(a, b)| a & b).collect();
                r.write(*register, &masked);
            }
            Expr::Bits { from, to, mask, flip } => {
                let read = r.read(*from, mask.len());
                let bits: Vec<u8> = read.iter().zip(mask).zip(flip).map(|((a, b), c)| (a & b) ^ c).collect();
                r.write(*to, &bits);
            }
            Expr::Compare { register, how, value } => {
                let equal = r.read(*register, value.len()) == *value;
                return (equal != (*how == Compare::Equal)).then_some(Step::NextRule);
            }
            Expr::Random { below, to } => r.write(*to, &(self.dice % below).to_ne_bytes()),
            Expr::Lookup { set, key, to, absent } => {
                let found = self.find(set, &r.read(*key, Self::key_length(set)));
                if found.is_some() == *absent {
                    return Some(Step::NextRule);
                }
                if let (Some(value), Some(to)) = (found, to) {
                    r.write(*to, &value);
                }
            }
            Expr::Dynamic { key, value, timeout_ms, .. } => {
                assert!(timeout_ms.is_some_and(|timeout| timeout >= 1000));
                let value = r.read(value.expect("a map"), 8);
                self.affinity.entry(r.read(*key, 16)).or_insert(value);
            }
            Expr::DestinationNat { address, port } => {
                assert_eq!(port.0, address.0 + 1);
                let to = endpoint_of(&r.read(*address, 8)).expect("an endpoint");
                return Some(Step::Done(Fate::Sent { to, masqueraded: false }));
            }
            Expr::Masquerade => {
                let to = Endpoint { address: packet.destination, port: packet.port };
                return Some(Step::Done(Fate::Sent { to, masqueraded: true }));
            }
            Expr::Reject(_) => return Some(Step::Done(Fate::Rejected)),
            Expr::Verdict(Verdict::Drop) => return Some(Step::Done(Fate::Dropped)),
            Expr::Verdict(Verdict::Jump(chain)) => return self.run(chain, packet).map(Step::Done),
            Expr::Verdict(Verdict::Goto(chain)) => {
                return Some(self.run(chain, packet).map_or(Step::NextChain, Step::Done));
            }
            other => panic!("{other:?}"),
        }
        None
    }
}
