//! The rules of our table, from what is wanted. Pure.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink::nft::{
    Base, Chain, ChainKind, Compare, CtKey, Element, Expr, Family, Hook, HookPoint, MetaKey, Register, Rule,
    Set, SetOptions, SetType, Transaction, Verdict, ct_state, ct_status, fib_type,
};

use crate::cidr::Cidr;
use crate::cidr6::Cidr6;

use super::elements::{OPEN, OPEN_AT, PUBLISHED, PUBLISHED_AT, SETS, SLOTS, SPREAD, SPREAD_AT, types};
use super::mirror::{Expirations, Mirror, RuleKey};

/// The set of our bridges' names.
pub(super) const BRIDGES: &str = "bridges";
const PUBLISH: &str = "publish";
const PRIORITY_RAW: i32 = -300;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SRCNAT: i32 = 100;
/// Between the host's marking at -150 and our redirection at -100.
const PRIORITY_GATES: i32 = -120;
/// What the names of all our bridges and tunnels begin with.
const OUR_LINKS: &str = "strake";
/// What those of the pod network begin with.
const POD_LINKS: &str = "strake-";
const MULTICAST: Range = Range::V4(Cidr::of(Ipv4Addr::new(224, 0, 0, 0), 4));
/// Mark of a packet of a pod to a host port of its own node; the kubelet's and the service
/// proxy's marks are below.
const LOOPED: u32 = 0x1_0000;

/// A range of addresses of either family.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Range {
    V4(Cidr),
    V6(Cidr6),
}

impl Range {
    /// That of the host's own addresses that no other machine can have.
    const fn loopback(family: Family) -> Self {
        match family {
            Family::Ip6 => Self::V6(Cidr6::of(Ipv6Addr::LOCALHOST, 128)),
            _ => Self::V4(Cidr::of(Ipv4Addr::LOCALHOST, 8)),
        }
    }

    /// Its lowest address and its mask.
    fn bytes(self) -> (Vec<u8>, Vec<u8>) {
        match self {
            Self::V4(range) => {
                let mask = u32::MAX.checked_shl(32 - u32::from(range.prefix())).unwrap_or(0);
                (range.network().octets().to_vec(), mask.to_be_bytes().to_vec())
            }
            Self::V6(range) => {
                let mask = u128::MAX.checked_shl(128 - u32::from(range.prefix())).unwrap_or(0);
                (range.network().octets().to_vec(), mask.to_be_bytes().to_vec())
            }
        }
    }
}

impl std::fmt::Display for Range {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::V4(range) => range.fmt(f),
            Self::V6(range) => range.fmt(f),
        }
    }
}

/// What the rules need to know of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkView {
    pub(crate) bridge: String,
    pub(crate) subnet: Range,
    /// Nothing leads out of it.
    pub(crate) internal: bool,
    /// Its members leave with the host's address.
    pub(crate) masquerade: bool,
    /// It is a node's part of a cluster's pod network.
    pub(crate) pods: Option<PodView>,
}

/// What is different in a pod network: its members are reached by everybody, and leave
/// with their own address inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodView {
    /// The addresses of all pods of all nodes.
    pub(crate) cluster: Range,
    /// Pods leave the cluster with the node's address.
    pub(crate) masquerade: bool,
    /// The link to other nodes' pods.
    pub(crate) tunnel: Option<String>,
}

/// All that decides the rules, except the published ports.
pub(super) struct Program<'a> {
    /// Of the table and of all addresses: `Ip` or `Ip6`.
    pub(super) family: Family,
    pub(super) networks: &'a [NetworkView],
    /// We turned packet forwarding on: pass nothing that is not ours.
    pub(super) closed_transit: bool,
    pub(super) mirror: &'a Mirror,
}

impl Program<'_> {
    /// Writes everything below the table itself.
    pub(super) fn write(&self, t: &mut Transaction, expirations: Expirations) {
        self.write_and_locate(t, expirations, |_, _| {});
    }

    /// Writes, and says which message holds the copy of which rule of the host.
    pub(super) fn write_and_locate(
        &self,
        t: &mut Transaction,
        expirations: Expirations,
        located: impl FnMut(usize, &RuleKey),
    ) {
        self.sets(t);
        self.chains(t);
        self.guard_loopback(t);
        self.mirror.write_chains(t, expirations);
        self.gates(t);
        self.mirror.write_rules(t, located);
        self.publish(t);
        if self.pods() {
            self.pass_pods(t);
            self.silence_redirects(t);
        } else {
            self.isolate(t);
        }
        self.masquerade(t);
    }

    /// Whether this is the table of a pod network.
    fn pods(&self) -> bool {
        self.networks.iter().any(|network| network.pods.is_some())
    }

    fn is_ipv6(&self) -> bool {
        self.family == Family::Ip6
    }

    fn sets(&self, t: &mut Transaction) {
        let options = SetOptions::default();
        t.add_set(&Set { name: BRIDGES, key: SetType::LINK_NAME, value: None, options });
        for name in SETS {
            let (key, value) = types(name, if self.is_ipv6() { SetType::IPV6 } else { SetType::IPV4 });
            t.add_set(&Set { name, key, value, options });
        }
        let tunnels = self.networks.iter().filter_map(|n| n.pods.as_ref()?.tunnel.as_ref());
        let names = self.networks.iter().map(|n| &n.bridge).chain(tunnels);
        let names: Vec<Element> = names.map(|name| Element::key(link_name(name))).collect();
        t.add_elements(BRIDGES, &names);
    }

    fn chains(&self, t: &mut Transaction) {
        let hook = |kind, point, priority| Some(Hook { kind, point, priority });
        let (filter, nat) = (ChainKind::Filter, ChainKind::Nat);
        for (name, hook) in [
            ("no-loopback", hook(filter, HookPoint::Prerouting, PRIORITY_RAW)),
            (PUBLISH, None),
            ("publish-from-outside", hook(nat, HookPoint::Prerouting, PRIORITY_DSTNAT)),
            ("publish-from-host", hook(nat, HookPoint::Output, PRIORITY_DSTNAT)),
            ("isolate", hook(filter, HookPoint::Forward, PRIORITY_FILTER)),
            ("masquerade", hook(nat, HookPoint::Postrouting, PRIORITY_SRCNAT)),
        ] {
            t.add_chain(&Chain { name, hook });
        }
        if self.pods() {
            let hook = hook(filter, HookPoint::Output, PRIORITY_FILTER);
            t.add_chain(&Chain { name: "no-redirects", hook });
        }
    }

    /// `route_localnet` on our bridges lets the host reach published ports by
    /// 127.0.0.1; this is what keeps containers from the host's loopback all the same.
    fn guard_loopback(&self, t: &mut Transaction) {
        for side in [Side::Destination, Side::Source] {
            let mut rule = in_set(MetaKey::InputName, false);
            rule.extend(in_network(side, Range::loopback(self.family), false));
            rule.push(Expr::Verdict(Verdict::Drop));
            add(t, "no-loopback", &rule, "containers do not reach the host's loopback");
        }
    }

    /// One base chain for each of the host's: what the host would refuse on a published
    /// port is refused before it is redirected.
    fn gates(&self, t: &mut Transaction) {
        for (index, (gate, entry)) in self.mirror.gates().enumerate() {
            let priority = PRIORITY_GATES + i32::try_from(index).unwrap_or(0).min(19);
            let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Prerouting, priority };
            t.add_chain(&Chain { name: &gate, hook: Some(hook) });
            let accept = || Expr::Verdict(Verdict::Accept);
            let mut known = ct_has(CtKey::State, ct_state::ESTABLISHED | ct_state::RELATED);
            known.push(accept());
            add(t, &gate, &known, "judged when it was new");
            let mut own = name_is(MetaKey::InputName, "lo", Compare::Equal);
            own.push(accept());
            add(t, &gate, &own, "from the host itself");
            let mut ours = in_set(MetaKey::InputName, false);
            ours.push(accept());
            add(t, &gate, &ours, "from a container");
            let mut transit = destination_is_local(Compare::Differs);
            transit.push(accept());
            add(t, &gate, &transit, "not for this host");
            for set in [OPEN_AT, OPEN] {
                let mut rule = self.port(set);
                rule.push(accept());
                add(t, &gate, &rule, "published with the policy docker: the host is not asked");
            }
            for map in [PUBLISHED_AT, PUBLISHED, SPREAD_AT, SPREAD] {
                // Who shares a port has slot 0 at least.
                let mut rule = self.endpoint(map, Slot::First);
                rule.push(Expr::Verdict(Verdict::Jump(entry.clone())));
                add(t, &gate, &rule, "what the host's input rules say of a published port");
            }
        }
    }

    /// Pods are reached by everybody; where forwarding was off, nothing else is passed on.
    fn pass_pods(&self, t: &mut Transaction) {
        if !self.closed_transit {
            return;
        }
        let chain = "isolate";
        let accept = || Expr::Verdict(Verdict::Accept);
        let mut answers = ct_has(CtKey::State, ct_state::ESTABLISHED | ct_state::RELATED);
        answers.push(accept());
        add(t, chain, &answers, "answers");
        for (key, comment) in [(MetaKey::InputName, "from pods"), (MetaKey::OutputName, "to pods")] {
            let mut rule = in_set(key, false);
            rule.push(accept());
            add(t, chain, &rule, comment);
        }
        for key in [MetaKey::InputName, MetaKey::OutputName] {
            let mut rule = name_begins(key, OUR_LINKS);
            rule.push(accept());
            add(t, chain, &rule, "containers' networks have rules of their own");
        }
        let mut redirected = ct_has(CtKey::Status, ct_status::DESTINATION_NAT);
        redirected.push(accept());
        add(t, chain, &redirected, "published ports and services");
        add(
            t,
            chain,
            &[Expr::Verdict(Verdict::Drop)],
            "forwarding was off before: others' packets are not passed on",
        );
    }

    /// A pod reaches its neighbours by the node, so that answers are translated back there;
    /// it must not be told of a shorter way.
    fn silence_redirects(&self, t: &mut Transaction) {
        const ICMP: u8 = 1;
        const REDIRECT: u8 = 5;
        let register = Register(0);
        let mut rule = in_set(MetaKey::OutputName, false);
        rule.extend([
            Expr::Meta { key: MetaKey::Transport, to: register },
            Expr::Compare { register, how: Compare::Equal, value: vec![ICMP] },
            Expr::Payload { base: Base::Transport, offset: 0, length: 1, to: register },
            Expr::Compare { register, how: Compare::Equal, value: vec![REDIRECT] },
            Expr::Verdict(Verdict::Drop),
        ]);
        add(t, "no-redirects", &rule, "pods reach each other by the node");
    }

    /// Into a network: only answers, published ports, and its own members. Between
    /// networks the same.
    fn isolate(&self, t: &mut Transaction) {
        let chain = "isolate";
        let accept = || Expr::Verdict(Verdict::Accept);
        for network in self.networks.iter().filter(|network| network.internal) {
            for (key, other) in
                [(MetaKey::InputName, MetaKey::OutputName), (MetaKey::OutputName, MetaKey::InputName)]
            {
                let mut rule = name_is(key, &network.bridge, Compare::Equal);
                rule.extend(name_is(other, &network.bridge, Compare::Differs));
                rule.push(Expr::Verdict(Verdict::Drop));
                add(t, chain, &rule, "an internal network: nothing leads out of it or into it");
            }
        }
        let mut answers = ct_has(CtKey::State, ct_state::ESTABLISHED | ct_state::RELATED);
        answers.push(accept());
        add(t, chain, &answers, "answers");
        if self.closed_transit {
            let mut outward = in_set(MetaKey::InputName, false);
            outward.extend(in_set(MetaKey::OutputName, true));
            outward.push(accept());
            add(t, chain, &outward, "containers to the outside");
            for key in [MetaKey::InputName, MetaKey::OutputName] {
                let mut pods = name_begins(key, POD_LINKS);
                pods.push(accept());
                add(t, chain, &pods, "the pod network has rules of its own");
            }
            let mut transit = in_set(MetaKey::OutputName, true);
            transit.push(Expr::Verdict(Verdict::Drop));
            add(t, chain, &transit, "forwarding was off before: others' packets are not passed on");
        } else {
            let mut elsewhere = in_set(MetaKey::OutputName, true);
            elsewhere.push(accept());
            add(t, chain, &elsewhere, "not into a network of ours");
        }
        let mut redirected = ct_has(CtKey::Status, ct_status::DESTINATION_NAT);
        redirected.push(accept());
        add(t, chain, &redirected, "published ports");
        for network in self.networks {
            let mut inside = name_is(MetaKey::InputName, &network.bridge, Compare::Equal);
            inside.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Equal));
            inside.push(accept());
            add(t, chain, &inside, "members of one network");
        }
        add(t, chain, &[Expr::Verdict(Verdict::Drop)], "not published, or from another network");
    }

    fn masquerade(&self, t: &mut Transaction) {
        let chain = "masquerade";
        for network in self.networks {
            let mut local = in_network(Side::Source, Range::loopback(self.family), false);
            local.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Equal));
            local.push(Expr::Masquerade);
            add(t, chain, &local, "the host by 127.0.0.1");
            if let Some(pods) = &network.pods {
                masquerade_pods(t, network, pods);
                continue;
            }
            if network.masquerade {
                let mut out = in_network(Side::Source, network.subnet, false);
                out.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Differs));
                out.push(Expr::Masquerade);
                add(t, chain, &out, "containers leave with the host's address");
            }
            let mut hairpin = in_network(Side::Source, network.subnet, false);
            hairpin.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Equal));
            hairpin.extend(ct_has(CtKey::Status, ct_status::DESTINATION_NAT));
            hairpin.push(Expr::Masquerade);
            add(t, chain, &hairpin, "to a published port of the same network: answers come back this way");
        }
    }

    fn publish(&self, t: &mut Transaction) {
        for chain in ["publish-from-outside", "publish-from-host"] {
            let mut transit = destination_is_local(Compare::Differs);
            transit.push(Expr::Verdict(Verdict::Return));
            add(t, chain, &transit, "not for this host");
            if chain == "publish-from-outside" {
                let mut martian = name_is(MetaKey::InputName, "lo", Compare::Differs);
                martian.extend(in_network(Side::Destination, Range::loopback(self.family), false));
                martian.push(Expr::Verdict(Verdict::Return));
                add(t, chain, &martian, "127.0.0.1 is published to the host only");
            }
            if self.is_ipv6() && chain == "publish-from-host" {
                let mut own = in_network(Side::Destination, Range::loopback(self.family), false);
                own.push(Expr::Verdict(Verdict::Return));
                add(t, chain, &own, "what comes from ::1 cannot leave the host");
            }
            add(t, chain, &[Expr::Verdict(Verdict::Jump(PUBLISH.to_owned()))], "");
        }
        let address = Register(0);
        let redirect = match self.is_ipv6() {
            true => Expr::DestinationNat6 { address, port: Register(4) },
            false => Expr::DestinationNat { address, port: Register(1) },
        };
        for (map, comment) in [
            (PUBLISHED_AT, "published on one address"),
            (PUBLISHED, "published on all addresses"),
            (SPREAD_AT, "shared on one address"),
            (SPREAD, "shared on all addresses"),
        ] {
            let lookup = self.endpoint(map, Slot::Random);
            if self.pods() {
                let (mark, bit) = (Register(8), LOOPED.to_ne_bytes());
                let mut rule = in_set(MetaKey::InputName, false);
                rule.extend(lookup.clone());
                rule.extend([
                    Expr::Meta { key: MetaKey::Mark, to: mark },
                    Expr::Bits {
                        from: mark,
                        to: mark,
                        mask: (!LOOPED).to_ne_bytes().to_vec(),
                        flip: bit.to_vec(),
                    },
                    Expr::SetMark { from: mark },
                    redirect.clone(),
                ]);
                add(t, PUBLISH, &rule, "from a pod");
            }
            let mut rule = lookup;
            rule.push(redirect.clone());
            add(t, PUBLISH, &rule, comment);
        }
    }

    /// Goes on if the port that a packet is for is in a set.
    fn port(&self, set: &str) -> Vec<Expr> {
        let (set, to) = (set.to_owned(), None);
        let mut rule = self.port_key(set == OPEN_AT);
        rule.push(Expr::Lookup { set, key: Register(0), to, absent: false });
        rule
    }

    /// Goes on with the endpoint from word 0 on if the port that a packet is for is in a map.
    fn endpoint(&self, map: &str, slot: Slot) -> Vec<Expr> {
        let at = matches!(map, PUBLISHED_AT | SPREAD_AT);
        let mut rule = self.port_key(at);
        if matches!(map, SPREAD_AT | SPREAD) {
            let to = Register(2 + if at { self.address_words() } else { 0 });
            rule.push(match slot {
                Slot::Random => Expr::Random { below: SLOTS, to },
                Slot::First => Expr::Load { value: vec![0; 4], to },
            });
        }
        let set = map.to_owned();
        rule.push(Expr::Lookup { set, key: Register(0), to: Some(Register(0)), absent: false });
        rule
    }

    /// Loads address, when `at` one, transport and port from word 0 on.
    fn port_key(&self, at: bool) -> Vec<Expr> {
        let mut rule = Vec::with_capacity(4);
        if at {
            let (offset, length) = Side::Destination.place(self.is_ipv6());
            rule.push(Expr::Payload { base: Base::Network, offset, length, to: Register(0) });
        }
        let next = if at { self.address_words() } else { 0 };
        rule.push(Expr::Meta { key: MetaKey::Transport, to: Register(next) });
        let base = Base::Transport;
        rule.push(Expr::Payload { base, offset: 2, length: 2, to: Register(next + 1) });
        rule
    }

    /// How many registers an address fills.
    fn address_words(&self) -> u8 {
        if self.is_ipv6() { 4 } else { 1 }
    }
}

/// Which of the slots of a shared port is looked at.
#[derive(Clone, Copy)]
enum Slot {
    First,
    Random,
}

/// Pods keep their address inside the cluster.
fn masquerade_pods(t: &mut Transaction, network: &NetworkView, pods: &PodView) {
    let chain = "masquerade";
    let register = Register(0);
    let looped = [
        Expr::Meta { key: MetaKey::Mark, to: register },
        Expr::Mask { register, mask: LOOPED.to_ne_bytes().to_vec() },
        Expr::Compare { register, how: Compare::Differs, value: vec![0; 4] },
        Expr::Masquerade,
    ];
    add(t, chain, &looped, "from a pod to a host port of this node: it may be its own");
    if pods.masquerade {
        let mut out = in_network(Side::Source, network.subnet, false);
        out.extend(in_network(Side::Destination, pods.cluster, true));
        out.extend(in_network(Side::Destination, MULTICAST, true));
        out.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Differs));
        out.push(Expr::Masquerade);
        add(t, chain, &out, "pods leave the cluster with the node's address");
    }
}

fn add(t: &mut Transaction, chain: &str, expressions: &[Expr], comment: &str) {
    let comment = (!comment.is_empty()).then_some(comment);
    t.add_rule(&Rule { chain, expressions, comment, compat: None });
}

/// Whom a packet is from or for.
#[derive(Clone, Copy)]
enum Side {
    Source,
    Destination,
}

impl Side {
    /// Where the address is in the header, and its length.
    const fn place(self, ipv6: bool) -> (u32, u32) {
        match (self, ipv6) {
            (Self::Source, false) => (12, 4),
            (Self::Destination, false) => (16, 4),
            (Self::Source, true) => (8, 16),
            (Self::Destination, true) => (24, 16),
        }
    }
}

/// `saddr`/`daddr` is (not) in `network`.
fn in_network(side: Side, network: Range, outside: bool) -> Vec<Expr> {
    let register = Register(0);
    let how = if outside { Compare::Differs } else { Compare::Equal };
    let (value, mask) = network.bytes();
    let (offset, length) = side.place(matches!(network, Range::V6(_)));
    vec![
        Expr::Payload { base: Base::Network, offset, length, to: register },
        Expr::Mask { register, mask },
        Expr::Compare { register, how, value },
    ]
}

/// A link name as nf_tables compares it: 16 bytes, filled with zeros.
fn link_name(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    for (to, from) in bytes.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    bytes
}

fn name_is(key: MetaKey, name: &str, how: Compare) -> Vec<Expr> {
    let register = Register(0);
    vec![Expr::Meta { key, to: register }, Expr::Compare { register, how, value: link_name(name).to_vec() }]
}

/// `iifname "prefix*"` or `oifname "prefix*"`.
fn name_begins(key: MetaKey, prefix: &str) -> Vec<Expr> {
    let register = Register(0);
    let value = prefix.as_bytes().to_vec();
    vec![Expr::Meta { key, to: register }, Expr::Compare { register, how: Compare::Equal, value }]
}

/// `iifname @bridges` or `oifname @bridges`, or not in it.
fn in_set(key: MetaKey, absent: bool) -> Vec<Expr> {
    let register = Register(0);
    let set = BRIDGES.to_owned();
    vec![Expr::Meta { key, to: register }, Expr::Lookup { set, key: register, to: None, absent }]
}

fn ct_has(key: CtKey, bits: u32) -> Vec<Expr> {
    let register = Register(0);
    vec![
        Expr::Ct { key, to: register },
        Expr::Mask { register, mask: bits.to_ne_bytes().to_vec() },
        Expr::Compare { register, how: Compare::Differs, value: vec![0; 4] },
    ]
}

fn destination_is_local(how: Compare) -> Vec<Expr> {
    let register = Register(0);
    vec![
        Expr::DestinationType { to: register },
        Expr::Compare { register, how, value: fib_type::LOCAL.to_ne_bytes().to_vec() },
    ]
}
