//! The chains that read the maps, as nf_tables expressions.
//!
//! ```text
//!   hook         priority
//!   prerouting   -110  restrict-arriving   who may not ask a load balancer's address is dropped
//!                -100  arrive              pods → inside, others → outside ─┐
//!   output       -110  restrict-own                                         │
//!                -100  leave               the node itself → own ───────────┤
//!                                                                           ▼
//!                   @services → for-all: recall, then one rule per number of endpoints:
//!                   dnat to frontend . random number map @to-all-N
//!   prerouting, output     -90  remember-*  which client got which endpoint, for sticky services
//!   input, forward, output -90  refuse-*    what was not sent anywhere: reject, drop
//!   postrouting            100  as-the-node what is marked, and endpoints that meet themselves
//! ```
//!
//! A service is an element and never a rule. Rules exist per number of endpoints, per time that
//! clients are remembered: a handful, which only the first packet of a connection to a service
//! meets. No rule takes a key from a map's value: nft(8) could not list the table.

use std::borrow::Cow;

use netlink::nft::{
    Base, ChainKind, Compare, CtKey, Expr, Hook, HookPoint, MetaKey, Register, RejectWith, SetOperation,
    SetType, Transaction, Verdict, ct_state, ct_status, fib_type,
};

use crate::elements::{Class, Map, Scope, Sticky};
use crate::facts::{Facts, Range};

/// The name of our table.
pub const TABLE: &str = "strake-services";
/// Which client is with which endpoint: frontend . client → address . port.
pub const AFFINITY: &str = "affinity";
/// Mark of packets that leave with the node's address; kube-proxy's, so that others know it.
pub const MASQUERADE_MARK: u32 = 0x4000;
/// Clients that are remembered at most.
const AFFINITY_CLIENTS_MAX: u32 = 1 << 20;
const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;
const PORT_UNREACHABLE: u8 = 3;

/// Where a map that is made on demand is read: chain and rule.
pub fn demanded_rules(map: Map) -> Vec<(&'static str, Vec<Expr>)> {
    match map {
        Map::To(class) => vec![(picks(class.scope, class.at_node), pick(&class))],
        Map::Sticky(sticky) => {
            let recall = if sticky.at_node { "recall-node-port" } else { "recall" };
            vec![(recall, recalled(&sticky)), ("remember", remembered(&sticky))]
        }
        _ => Vec::new(),
    }
}

/// The chain with the rules of a scope.
const fn picks(scope: Scope, at_node: bool) -> &'static str {
    match (scope, at_node) {
        (Scope::All, false) => "for-all",
        (Scope::Inside, false) => "only-inside",
        (Scope::Outside, false) => "only-outside",
        (Scope::All, true) => "node-for-all",
        (Scope::Inside, true) => "node-only-inside",
        (Scope::Outside, true) => "node-only-outside",
    }
}

/// One of the endpoints of a frontend that has so many.
fn pick(class: &Class) -> Vec<Expr> {
    let mut rule = frontend(class.at_node);
    if class.count > 1 {
        let next = u8::try_from(rule.len()).unwrap_or(3);
        rule.push(Expr::Random { below: class.count, to: Register(next) });
    }
    rule.push(lookup(Map::To(*class), 0, Some(4)));
    if class.masquerade {
        rule.extend(mark(8));
    }
    rule.push(nat(4));
    rule
}

/// The endpoint that the client had.
fn recalled(sticky: &Sticky) -> Vec<Expr> {
    let mut rule = frontend(sticky.at_node);
    rule.push(lookup(Map::Sticky(*sticky), 0, None));
    rule.extend(frontend(false));
    rule.push(payload(SOURCE, 3));
    rule.push(Expr::Lookup {
        set: AFFINITY.to_owned(),
        key: Register(0),
        to: Some(Register(4)),
        absent: false,
    });
    if sticky.masquerade {
        rule.extend(mark(8));
    }
    rule.push(nat(4));
    rule
}

/// Notes which endpoint a client got, or that it came again. Behind the translation: the packet
/// has the endpoint, and its connection remembers what it was for.
fn remembered(sticky: &Sticky) -> Vec<Expr> {
    let ct = |key, to: u8| Expr::Ct { key, to: Register(to) };
    let transport = |to: u8| Expr::Meta { key: MetaKey::Transport, to: Register(to) };
    let mut rule = if sticky.at_node {
        vec![transport(0), ct(CtKey::OriginalDestinationPort, 1)]
    } else {
        vec![ct(CtKey::OriginalDestination, 0), transport(1), ct(CtKey::OriginalDestinationPort, 2)]
    };
    rule.push(lookup(Map::Sticky(*sticky), 0, None));
    rule.extend([ct(CtKey::OriginalDestination, 0), transport(1), ct(CtKey::OriginalDestinationPort, 2)]);
    rule.extend([payload(SOURCE, 3), payload(DESTINATION, 4), port(5)]);
    rule.push(Expr::Dynamic {
        operation: SetOperation::Update,
        set: AFFINITY.to_owned(),
        key: Register(0),
        value: Some(Register(4)),
        timeout_ms: Some(u64::from(sticky.seconds) * 1000),
    });
    rule
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: Cow<'static, str>,
    /// Its keys.
    pub key: SetType,
    /// Its values.
    pub value: Option<SetType>,
    /// The lengths of the parts of keys that are ranges.
    pub ranges: Option<&'static [u32]>,
    /// Rules change it, and its elements time out.
    pub dynamic: bool,
}

/// What a map is.
pub fn set(map: Map) -> Set {
    let at_node = SetType::PROTOCOL.then(SetType::PORT);
    let at_address = SetType::IPV4.then(at_node);
    let endpoint = SetType::IPV4.then(SetType::PORT);
    let frontend = |node: bool| if node { at_node } else { at_address };
    let (key, value) = match map {
        Map::To(Class { at_node, count, .. }) => {
            let key = frontend(at_node);
            (if count > 1 { key.then(SetType::MARK) } else { key }, Some(endpoint))
        }
        Map::Sticky(sticky) => (frontend(sticky.at_node), None),
        Map::Services(_) | Map::Reject | Map::Drop | Map::Restricted => (at_address, None),
        Map::NodePorts(_) | Map::NodeReject | Map::NodeDrop => (at_node, None),
        Map::Allowed => (at_address.then(SetType::IPV4), None),
        Map::Loops => (SetType::IPV4.then(SetType::IPV4), None),
        Map::ClusterIps => (SetType::IPV4, None),
    };
    let ranges: Option<&'static [u32]> = if map.has_ranges() { Some(&[4, 1, 2, 4]) } else { None };
    Set { name: map.name(), key, value, ranges, dynamic: false }
}

/// The sets and maps that are always there.
pub fn sets() -> Vec<Set> {
    let mut all: Vec<Set> = Map::FIXED.into_iter().map(set).collect();
    let endpoint = SetType::IPV4.then(SetType::PORT);
    let client = SetType::IPV4.then(SetType::PROTOCOL).then(SetType::PORT).then(SetType::IPV4);
    let (name, value) = (Cow::Borrowed(AFFINITY), Some(endpoint));
    all.push(Set { name, key: client, value, ranges: None, dynamic: true });
    all
}

/// All chains, with the rules that are always there.
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
        chain("recall", None, Vec::new()),
        chain("recall-node-port", None, Vec::new()),
        chain("remember", None, Vec::new()),
        chain("refuse", None, refuse()),
        chain("unknown", None, unknown(facts)),
    ];
    for scope in Scope::ALL {
        for (at_node, recall) in [(false, "recall"), (true, "recall-node-port")] {
            all.push(chain(picks(scope, at_node), None, vec![(vec![jump(recall)], "")]));
        }
    }
    for (name, point) in [("remember-arriving", HookPoint::Prerouting), ("remember-own", HookPoint::Output)] {
        let mut rule = ct_has(CtKey::State, ct_state::NEW);
        rule.extend(ct_has(CtKey::Status, ct_status::DESTINATION_NAT));
        rule.push(jump("remember"));
        all.push(chain(name, base(filter, point, PRIORITY_REMEMBER), vec![(rule, "")]));
    }
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
    all.push(chain("as-the-node", base(nat, HookPoint::Postrouting, PRIORITY_SRCNAT), masquerade()));
    all
}

/// Writes a map that is made on demand, and its rules.
pub fn write_demanded(map: Map, t: &mut Transaction) {
    write_set(&set(map), t);
    for (chain, expressions) in demanded_rules(map) {
        t.add_rule(&netlink::nft::Rule { chain, expressions: &expressions, comment: None, compat: None });
    }
}

fn write_set(set: &Set, t: &mut Transaction) {
    let options = netlink::nft::SetOptions {
        ranges: set.ranges,
        dynamic_ms: set.dynamic.then_some(0),
        size: set.dynamic.then_some(AFFINITY_CLIENTS_MAX),
    };
    t.add_set(&netlink::nft::Set { name: &set.name, key: set.key, value: set.value, options });
}

/// Writes sets, chains and rules into a table that is empty.
pub fn write(facts: &Facts, t: &mut Transaction) {
    for set in sets() {
        write_set(&set, t);
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
/// Behind the translation as well.
const PRIORITY_REMEMBER: i32 = -90;
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
    let other = if who == Lead::Outside { Scope::Outside } else { Scope::Inside };
    // Nobody outside is known where pods are not: then only what the frontend wants is done.
    let marks = who == Lead::Own || (who == Lead::Outside && !facts.cluster.is_empty());
    let lead = |scope: Scope| {
        let mut rule = when.to_vec();
        rule.extend(frontend(at_node));
        let set = if at_node { Map::NodePorts(scope) } else { Map::Services(scope) };
        rule.push(lookup(set, 0, None));
        // From outside to endpoints of this node only, the source stays.
        if marks && scope != Scope::Outside {
            rule.extend(mark(8));
        }
        rule.push(Expr::Verdict(Verdict::Goto(picks(scope, at_node).to_owned())));
        (rule, comment)
    };
    vec![lead(Scope::All), lead(other)]
}

fn restrict() -> Vec<(Vec<Expr>, &'static str)> {
    let mut rule = frontend(false);
    rule.push(payload(SOURCE, 3));
    rule.push(lookup(Map::Restricted, 0, None));
    rule.push(Expr::Lookup {
        set: Map::Allowed.name().into_owned(),
        key: Register(0),
        to: None,
        absent: true,
    });
    rule.push(Expr::Verdict(Verdict::Drop));
    vec![(rule, "loadBalancerSourceRanges")]
}

fn refuse() -> Vec<(Vec<Expr>, &'static str)> {
    let drop = || (Expr::Verdict(Verdict::Drop), "no endpoints on this node");
    let reject = || (Expr::Reject(RejectWith::Icmp(PORT_UNREACHABLE)), "no endpoints");
    let mut rules = Vec::new();
    for (map, at_node, (end, comment)) in [
        (Map::Drop, false, drop()),
        (Map::Reject, false, reject()),
        (Map::NodeDrop, true, drop()),
        (Map::NodeReject, true, reject()),
    ] {
        let mut rule = if at_node { local() } else { Vec::new() };
        rule.extend(frontend(at_node));
        rule.push(lookup(map, 0, None));
        rule.push(end);
        rules.push((rule, comment));
    }
    rules
}

/// What is for a service's address on a port that it does not have.
fn unknown(facts: &Facts) -> Vec<(Vec<Expr>, &'static str)> {
    let reject = Expr::Reject(RejectWith::Icmp(PORT_UNREACHABLE));
    let known = vec![payload(DESTINATION, 0), lookup(Map::ClusterIps, 0, None), reject];
    let mut rules = vec![(known, "a port that the service does not have")];
    for range in &facts.services {
        // An address that the node has itself is served by the node: its DNS server.
        let mut rule = destination_type(Compare::Differs);
        rule.extend(in_range(DESTINATION, range, Compare::Equal));
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

/// Address (not at node ports), transport and port of the destination, from word 0.
fn frontend(at_node: bool) -> Vec<Expr> {
    let transport = |to: u8| Expr::Meta { key: MetaKey::Transport, to: Register(to) };
    match at_node {
        true => vec![transport(0), port(1)],
        false => vec![payload(DESTINATION, 0), transport(1), port(2)],
    }
}

fn port(to: u8) -> Expr {
    Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(to) }
}

fn payload(offset: u32, to: u8) -> Expr {
    Expr::Payload { base: Base::Network, offset, length: 4, to: Register(to) }
}

fn lookup(map: Map, key: u8, to: Option<u8>) -> Expr {
    Expr::Lookup { set: map.name().into_owned(), key: Register(key), to: to.map(Register), absent: false }
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
    destination_type(Compare::Equal)
}

/// The destination is an address of the node, or is none.
fn destination_type(how: Compare) -> Vec<Expr> {
    let register = Register(0);
    vec![
        Expr::DestinationType { to: register },
        Expr::Compare { register, how, value: fib_type::LOCAL.to_ne_bytes().to_vec() },
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
