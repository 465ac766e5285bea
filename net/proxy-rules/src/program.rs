//! The chains that read the maps, as nf_tables expressions.
//!
//! ```text
//!   hook         priority
//!   prerouting   -110  restrict     who may not ask a load balancer's address is dropped
//!                -100  arrive       pods → inside, others → outside ─┐
//!   output       -110  restrict-own                                  │
//!                -100  leave        the node itself → own ───────────┤
//!                                                                    ▼
//!                             services{address.transport.port} → pool, count, kind
//!                             picks{count.kind} → pick-COUNT-KIND: random index, endpoint, dnat
//!   input, forward, output  -90  refuse-*   what was not sent anywhere: reject, drop
//!   postrouting   100  masquerade   what is marked, and endpoints that meet themselves
//! ```
//!
//! The rules of a chain do not share registers, so that each loads what it needs: the kernel
//! refuses to read what the same rule has not written.

use netlink::nft::{
    Base, ChainKind, Compare, CtKey, Element, Expr, Hook, HookPoint, MetaKey, Register, RejectWith,
    SetOperation, SetType, Transaction, Verdict, ct_state, ct_status, fib_type,
};

use crate::elements::{Map, Value};
use crate::facts::{Facts, Range};

/// The name of our table.
pub const TABLE: &str = "strake-services";
/// The map of verdicts by number of endpoints and kind.
pub const PICKS: &str = "picks";
/// Which client is with which endpoint.
pub const AFFINITY: &str = "affinity";
/// Mark of packets that leave with the node's address; kube-proxy's, so that others know it.
pub const MASQUERADE_MARK: u32 = 0x4000;
/// Clients that are remembered at most.
const AFFINITY_CLIENTS_MAX: u32 = 1 << 20;
const PICK_PREFIX: &str = "pick-";
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const PORT_UNREACHABLE: u8 = 3;

/// What a pool's chain must know beside the number of endpoints: the fourth word of a value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Kind {
    /// Seconds that a client stays with its endpoint; 0 is not at all.
    pub affinity: u32,
    /// Endpoints see the node's address.
    pub masquerade: bool,
    /// The key has no address: it is a node port.
    pub at_node: bool,
    /// Not for connections from outside.
    pub inside_only: bool,
    /// The element is in the map for connections from outside.
    pub outside: bool,
}

const KIND_MASQUERADE: u32 = 1 << 24;
const KIND_AT_NODE: u32 = 1 << 25;
const KIND_INSIDE_ONLY: u32 = 1 << 26;
const KIND_OUTSIDE: u32 = 1 << 27;
const KIND_AFFINITY: u32 = KIND_MASQUERADE - 1;

impl Kind {
    /// As a word.
    pub fn word(self) -> u32 {
        let bit = |set: bool, bit: u32| if set { bit } else { 0 };
        (self.affinity & KIND_AFFINITY)
            | bit(self.masquerade, KIND_MASQUERADE)
            | bit(self.at_node, KIND_AT_NODE)
            | bit(self.inside_only, KIND_INSIDE_ONLY)
            | bit(self.outside, KIND_OUTSIDE)
    }

    fn of(word: u32) -> Self {
        Self {
            affinity: word & KIND_AFFINITY,
            masquerade: word & KIND_MASQUERADE != 0,
            at_node: word & KIND_AT_NODE != 0,
            inside_only: word & KIND_INSIDE_ONLY != 0,
            outside: word & KIND_OUTSIDE != 0,
        }
    }
}

/// A chain that picks one of `count` endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Pick {
    /// How many there are.
    pub count: u32,
    /// For what.
    pub kind: Kind,
}

impl Pick {
    /// The chain that a value of `services` or `services-outside` needs.
    pub fn of_value(map: Map, value: &Value) -> Option<Self> {
        let word = |at: usize| Some(u32::from_ne_bytes(value.get(at..at + 4)?.try_into().ok()?));
        matches!(map, Map::Services | Map::Outside)
            .then(|| Some(Self { count: word(8)?, kind: Kind::of(word(12)?) }))
            .flatten()
    }

    /// The chain's name.
    pub fn chain(&self) -> String {
        format!("{PICK_PREFIX}{}-{:x}", self.count, self.kind.word())
    }

    /// Reads a chain's name.
    pub fn parse(chain: &str) -> Option<Self> {
        let (count, kind) = chain.strip_prefix(PICK_PREFIX)?.split_once('-')?;
        Some(Self { count: count.parse().ok()?, kind: Kind::of(u32::from_str_radix(kind, 16).ok()?) })
    }

    /// The key in `picks`.
    pub fn key(&self) -> Vec<u8> {
        [self.count.to_ne_bytes(), self.kind.word().to_ne_bytes()].concat()
    }

    /// Its rules.
    pub fn rules(&self) -> Vec<Vec<Expr>> {
        if self.kind.affinity == 0 {
            let mut rule = self.pool(4);
            rule.extend(self.random(6));
            rule.push(lookup(Map::Endpoints, 4, Some(8)));
            rule.extend(self.mark(12));
            rule.push(nat(8));
            return vec![rule];
        }
        vec![self.remembered(), self.remember()]
    }

    /// Goes on with the endpoint that the client had, if that still serves.
    fn remembered(&self) -> Vec<Expr> {
        // Words 4…7: pool and endpoint; 8…10: pool and client.
        let mut rule = self.pool(4);
        rule.extend(self.client());
        rule.push(Expr::Lookup {
            set: AFFINITY.to_owned(),
            key: Register(8),
            to: Some(Register(6)),
            absent: false,
        });
        rule.push(lookup(Map::Sticky, 4, None));
        rule.push(self.dynamic(SetOperation::Update));
        rule.extend(self.mark(12));
        rule.push(nat(6));
        rule
    }

    /// Picks one and remembers it.
    fn remember(&self) -> Vec<Expr> {
        let mut rule = self.pool(4);
        rule.extend(self.client());
        rule.extend(self.random(6));
        rule.push(lookup(Map::Endpoints, 4, Some(6)));
        // An element that is there keeps its value.
        rule.push(self.dynamic(SetOperation::Delete));
        rule.push(self.dynamic(SetOperation::Update));
        rule.extend(self.mark(12));
        rule.push(nat(6));
        rule
    }

    fn map(&self) -> Map {
        if self.kind.outside { Map::Outside } else { Map::Services }
    }

    /// The pool's value in words `to`…`to + 3`; uses words 0…2.
    fn pool(&self, to: u8) -> Vec<Expr> {
        let mut rule = frontend(self.kind.at_node);
        rule.push(lookup(self.map(), 0, Some(to)));
        rule
    }

    /// Pool and client in words 8…10.
    fn client(&self) -> [Expr; 2] {
        [lookup(self.map(), 0, Some(8)), payload(SOURCE, 10)]
    }

    fn random(&self, to: u8) -> [Expr; 1] {
        let to = Register(to);
        [match self.count {
            0 | 1 => Expr::Load { value: vec![0; 4], to },
            below => Expr::Random { below, to },
        }]
    }

    fn dynamic(&self, operation: SetOperation) -> Expr {
        let deletes = operation == SetOperation::Delete;
        Expr::Dynamic {
            operation,
            set: AFFINITY.to_owned(),
            key: Register(8),
            // The kernel wants one also where it does not look at it.
            value: Some(Register(6)),
            timeout_ms: (!deletes).then_some(u64::from(self.kind.affinity) * 1000),
        }
    }

    fn mark(&self, at: u8) -> Vec<Expr> {
        if self.kind.masquerade { mark(at) } else { Vec::new() }
    }
}

/// A chain and its rules, each with a comment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: &'static str,
    /// Where it is hooked in.
    pub hook: Option<Hook>,
    /// Its rules in order.
    pub rules: Vec<(Vec<Expr>, &'static str)>,
}

/// A set or map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: &'static str,
    /// Its keys.
    pub key: SetType,
    /// Its values.
    pub value: Option<SetType>,
    /// The lengths of the parts of keys that are ranges.
    pub ranges: Option<&'static [u32]>,
    /// Rules change it, and its elements time out.
    pub dynamic: bool,
}

/// All sets and maps.
pub fn sets() -> Vec<Set> {
    let frontend = SetType::IPV4.then(SetType::PROTOCOL).then(SetType::PORT);
    let pool = SetType::IPV4.then(SetType::MARK);
    let endpoint = SetType::IPV4.then(SetType::PORT);
    let plain = |name, key, value| Set { name, key, value, ranges: None, dynamic: false };
    let service = pool.then(SetType::MARK).then(SetType::MARK);
    let mut all: Vec<Set> = Map::ALL
        .iter()
        .map(|map| match map {
            Map::Endpoints => plain(map.name(), pool.then(SetType::MARK), Some(endpoint)),
            Map::Sticky => plain(map.name(), pool.then(endpoint), None),
            Map::Services | Map::Outside => plain(map.name(), frontend, Some(service)),
            Map::Reject | Map::Drop | Map::Restricted => plain(map.name(), frontend, None),
            Map::Allowed => {
                Set { ranges: Some(&[4, 1, 2, 4]), ..plain(map.name(), frontend.then(SetType::IPV4), None) }
            }
            Map::Loops => plain(map.name(), SetType::IPV4.then(SetType::IPV4), None),
            Map::ClusterIps => plain(map.name(), SetType::IPV4, None),
        })
        .collect();
    let picks = SetType::MARK.then(SetType::MARK);
    all.push(plain(PICKS, picks, Some(SetType::VERDICT)));
    all.push(Set { dynamic: true, ..plain(AFFINITY, pool.then(SetType::IPV4), Some(endpoint)) });
    all
}

/// All chains but those that pick.
pub fn chains(facts: &Facts) -> Vec<Chain> {
    let base = |kind, point, priority| Some(Hook { kind, point, priority });
    let (filter, nat) = (ChainKind::Filter, ChainKind::Nat);
    let chain = |name, hook, rules| Chain { name, hook, rules };
    let jump = |name: &str| Expr::Verdict(Verdict::Jump(name.to_owned()));
    let mut all = vec![
        chain("restrict", None, restrict()),
        chain("inside", None, lead(facts, Lead::Inside)),
        chain("outside", None, lead(facts, Lead::Outside)),
        chain("own", None, lead(facts, Lead::Own)),
        chain("refuse", None, refuse()),
        chain("unknown", None, unknown(facts)),
    ];
    for (name, point) in [("restrict-arriving", HookPoint::Prerouting), ("restrict-own", HookPoint::Output)] {
        let rules = vec![(new_only(jump("restrict")), "")];
        all.push(chain(name, base(filter, point, PRIORITY_RESTRICT), rules));
    }
    all.push(chain("arrive", base(nat, HookPoint::Prerouting, PRIORITY_DSTNAT), arrive(facts)));
    let leave = vec![(vec![jump("own")], "")];
    all.push(chain("leave", base(nat, HookPoint::Output, PRIORITY_DSTNAT), leave));
    for (name, point) in [
        ("refuse-input", HookPoint::Input),
        ("refuse-forward", HookPoint::Forward),
        ("refuse-output", HookPoint::Output),
    ] {
        let mut rules = vec![(new_only(jump("refuse")), "")];
        if point != HookPoint::Input {
            rules.push((new_only(jump("unknown")), ""));
        }
        all.push(chain(name, base(filter, point, PRIORITY_REFUSE), rules));
    }
    all.push(chain("masquerade", base(nat, HookPoint::Postrouting, PRIORITY_SRCNAT), masquerade()));
    all
}

/// Writes one picking chain and its element.
pub fn write_pick(pick: &Pick, t: &mut Transaction) {
    let name = pick.chain();
    t.add_chain(&netlink::nft::Chain { name: &name, hook: None });
    for expressions in pick.rules() {
        t.add_rule(&netlink::nft::Rule {
            chain: &name,
            expressions: &expressions,
            comment: None,
            compat: None,
        });
    }
    let verdict = Verdict::Goto(name);
    t.add_elements(PICKS, &[Element::Verdict { key: pick.key(), verdict }]);
}

/// Writes sets, chains and rules into a table that is empty.
pub fn write(facts: &Facts, t: &mut Transaction) {
    for set in sets() {
        let options = netlink::nft::SetOptions {
            ranges: set.ranges,
            dynamic_ms: set.dynamic.then_some(0),
            size: set.dynamic.then_some(AFFINITY_CLIENTS_MAX),
        };
        t.add_set(&netlink::nft::Set { name: set.name, key: set.key, value: set.value, options });
    }
    let chains = chains(facts);
    for chain in &chains {
        t.add_chain(&netlink::nft::Chain { name: chain.name, hook: chain.hook });
    }
    for chain in &chains {
        for (expressions, comment) in &chain.rules {
            let comment = (!comment.is_empty()).then_some(*comment);
            t.add_rule(&netlink::nft::Rule { chain: chain.name, expressions, comment, compat: None });
        }
    }
}

const PRIORITY_RESTRICT: i32 = -110;
const PRIORITY_DSTNAT: i32 = -100;
/// Behind the translation, before the host's own filters.
const PRIORITY_REFUSE: i32 = -90;
const PRIORITY_SRCNAT: i32 = 100;

/// Whose connections a chain leads.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lead {
    /// Pods'.
    Inside,
    /// The node's own.
    Own,
    /// All others'.
    Outside,
}

fn arrive(facts: &Facts) -> Vec<(Vec<Expr>, &'static str)> {
    let goto = |name: &str| Expr::Verdict(Verdict::Goto(name.to_owned()));
    let mut rules = Vec::new();
    for range in &facts.cluster {
        let mut pods = in_range(SOURCE, range, Compare::Equal);
        pods.push(goto("inside"));
        rules.push((pods, "pods"));
    }
    rules.push((vec![goto("outside")], ""));
    rules
}

/// By address, then by node port.
fn lead(facts: &Facts, who: Lead) -> Vec<(Vec<Expr>, &'static str)> {
    let mut rules = by_frontend(facts, who, false, &[], "");
    let node_ports: Vec<Vec<Expr>> = if facts.node_ports.is_empty() {
        vec![in_range(DESTINATION, &LOOPBACK, Compare::Differs)]
    } else {
        facts.node_ports.iter().map(|range| in_range(DESTINATION, range, Compare::Equal)).collect()
    };
    for at in node_ports {
        let at = [local(), at].concat();
        rules.extend(by_frontend(facts, who, true, &at, "node ports"));
    }
    rules
}

fn by_frontend(
    facts: &Facts,
    who: Lead,
    at_node: bool,
    when: &[Expr],
    comment: &'static str,
) -> Vec<(Vec<Expr>, &'static str)> {
    let picks = || Expr::Dispatch { map: PICKS.to_owned(), key: Register(6) };
    let mut rules = Vec::new();
    if who == Lead::Outside {
        let mut first = when.to_vec();
        first.extend(frontend(at_node));
        first.extend([lookup(Map::Outside, 0, Some(4)), picks()]);
        rules.push((first, comment));
    }
    let mut rule = when.to_vec();
    rule.extend(frontend(at_node));
    rule.push(lookup(Map::Services, 0, Some(4)));
    if who == Lead::Outside {
        let kept = KIND_INSIDE_ONLY.to_ne_bytes().to_vec();
        rule.push(Expr::Bits { from: Register(7), to: Register(8), mask: kept, flip: vec![0; 4] });
        rule.push(Expr::Compare { register: Register(8), how: Compare::Equal, value: vec![0; 4] });
    }
    // Nobody outside is known where pods are not: then only what its own kind says is done.
    if who == Lead::Own || (who == Lead::Outside && !facts.cluster.is_empty()) {
        rule.extend(mark(8));
    }
    rule.push(picks());
    rules.push((rule, comment));
    rules
}

fn restrict() -> Vec<(Vec<Expr>, &'static str)> {
    let mut rule = frontend(false);
    rule.push(payload(SOURCE, 3));
    rule.push(lookup(Map::Restricted, 0, None));
    rule.push(Expr::Lookup { set: Map::Allowed.name().to_owned(), key: Register(0), to: None, absent: true });
    rule.push(Expr::Verdict(Verdict::Drop));
    vec![(rule, "loadBalancerSourceRanges")]
}

fn refuse() -> Vec<(Vec<Expr>, &'static str)> {
    let mut rules = Vec::new();
    for at_node in [false, true] {
        for (map, end, comment) in [
            (Map::Drop, Expr::Verdict(Verdict::Drop), "no endpoints on this node"),
            (Map::Reject, Expr::Reject(RejectWith::Icmp(PORT_UNREACHABLE)), "no endpoints"),
        ] {
            let mut rule = if at_node { local() } else { Vec::new() };
            rule.extend(frontend(at_node));
            rule.push(lookup(map, 0, None));
            rule.push(end);
            rules.push((rule, comment));
        }
    }
    rules
}

/// What is for a service's address on a port that it does not have.
fn unknown(facts: &Facts) -> Vec<(Vec<Expr>, &'static str)> {
    let reject = Expr::Reject(RejectWith::Icmp(PORT_UNREACHABLE));
    let known = vec![payload(DESTINATION, 0), lookup(Map::ClusterIps, 0, None), reject];
    let mut rules = vec![(known, "a port that the service does not have")];
    for range in &facts.services {
        let mut rule = in_range(DESTINATION, range, Compare::Equal);
        rule.push(Expr::Verdict(Verdict::Drop));
        rules.push((rule, "no service has this address"));
    }
    rules
}

fn masquerade() -> Vec<(Vec<Expr>, &'static str)> {
    let register = Register(0);
    let bit = MASQUERADE_MARK.to_ne_bytes().to_vec();
    let marked = vec![
        Expr::Meta { key: MetaKey::Mark, to: register },
        Expr::Bits { from: register, to: Register(1), mask: bit, flip: vec![0; 4] },
        Expr::Compare { register: Register(1), how: Compare::Differs, value: vec![0; 4] },
        // The outer packet of a tunnel inherits the mark, and must leave as it is.
        Expr::Mask { register, mask: (!MASQUERADE_MARK).to_ne_bytes().to_vec() },
        Expr::SetMark { from: register },
        Expr::Masquerade,
    ];
    let mut looped = ct_has(CtKey::Status, ct_status::DESTINATION_NAT);
    looped.extend([payload(SOURCE, 0), payload(DESTINATION, 1)]);
    looped.extend([lookup(Map::Loops, 0, None), Expr::Masquerade]);
    vec![(marked, "by the node's address"), (looped, "an endpoint that asks itself")]
}

/// Address, or none, transport and port of the destination in words 0…2.
fn frontend(at_node: bool) -> Vec<Expr> {
    let address =
        if at_node { Expr::Load { value: vec![0; 4], to: Register(0) } } else { payload(DESTINATION, 0) };
    vec![
        address,
        Expr::Meta { key: MetaKey::Transport, to: Register(1) },
        Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(2) },
    ]
}

fn payload(offset: u32, to: u8) -> Expr {
    Expr::Payload { base: Base::Network, offset, length: 4, to: Register(to) }
}

fn lookup(map: Map, key: u8, to: Option<u8>) -> Expr {
    Expr::Lookup { set: map.name().to_owned(), key: Register(key), to: to.map(Register), absent: false }
}

fn nat(at: u8) -> Expr {
    Expr::DestinationNat { address: Register(at), port: Register(at + 1) }
}

fn mark(at: u8) -> Vec<Expr> {
    let register = Register(at);
    vec![
        Expr::Meta { key: MetaKey::Mark, to: register },
        Expr::Bits {
            from: register,
            to: register,
            mask: (!MASQUERADE_MARK).to_ne_bytes().to_vec(),
            flip: MASQUERADE_MARK.to_ne_bytes().to_vec(),
        },
        Expr::SetMark { from: register },
    ]
}

fn in_range(offset: u32, range: &Range, how: Compare) -> Vec<Expr> {
    let register = Register(0);
    vec![
        payload(offset, 0),
        Expr::Mask { register, mask: range.mask().to_be_bytes().to_vec() },
        Expr::Compare { register, how, value: range.first.octets().to_vec() },
    ]
}

fn local() -> Vec<Expr> {
    let register = Register(0);
    vec![
        Expr::DestinationType { to: register },
        Expr::Compare { register, how: Compare::Equal, value: fib_type::LOCAL.to_ne_bytes().to_vec() },
    ]
}

fn ct_has(key: CtKey, bits: u32) -> Vec<Expr> {
    let register = Register(0);
    vec![
        Expr::Ct { key, to: register },
        Expr::Mask { register, mask: bits.to_ne_bytes().to_vec() },
        Expr::Compare { register, how: Compare::Differs, value: vec![0; 4] },
    ]
}

fn new_only(then: Expr) -> Vec<Expr> {
    let mut rule = ct_has(CtKey::State, ct_state::NEW);
    rule.push(then);
    rule
}

const LOOPBACK: Range =
    Range { first: std::net::Ipv4Addr::new(127, 0, 0, 0), last: std::net::Ipv4Addr::new(127, 255, 255, 255) };

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pick_is_known_by_its_chain() {
        let kind =
            Kind { affinity: 10_800, masquerade: true, at_node: true, inside_only: false, outside: true };
        let pick = Pick { count: 7, kind };
        assert_eq!(Pick::parse(&pick.chain()), Some(pick));
        assert!(pick.chain().len() < 32);
        for other in ["pick", "pick-", "pick-x-0", "inside", "pick-1-zz"] {
            assert_eq!(Pick::parse(other), None, "{other}");
        }
    }
}
