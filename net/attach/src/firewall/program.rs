//! The rules of our table, from what is wanted. Pure.

use std::net::Ipv4Addr;

use netlink::nft::{
    Base, Chain, ChainKind, Compare, CtKey, Element, Expr, Hook, HookPoint, MetaKey, Register, Rule, Set,
    SetOptions, SetType, Transaction, Verdict, ct_state, ct_status, fib_type,
};

use crate::cidr::Cidr;
use crate::publish::PublishedPort;

use super::mirror::{Expirations, Mirror, RuleKey};

/// The set of our bridges' names.
pub(super) const BRIDGES: &str = "bridges";
/// The map of ports published on all addresses.
pub(super) const PUBLISHED: &str = "published";
/// The map of ports published on one address.
pub(super) const PUBLISHED_AT: &str = "published-at";
const PUBLISH: &str = "publish";
const PRIORITY_RAW: i32 = -300;
const PRIORITY_DSTNAT: i32 = -100;
const PRIORITY_FILTER: i32 = 0;
const PRIORITY_SRCNAT: i32 = 100;
/// Between the host's marking at -150 and our redirection at -100.
const PRIORITY_GATES: i32 = -120;
const LOOPBACK: Cidr = Cidr::of(Ipv4Addr::LOCALHOST, 8);
/// What the names of all our bridges and tunnels begin with.
const OUR_LINKS: &str = "strake";
/// What those of the pod network begin with.
const POD_LINKS: &str = "strake-";
const MULTICAST: Cidr = Cidr::of(Ipv4Addr::new(224, 0, 0, 0), 4);
/// Mark of a packet of a pod to a host port of its own node; the kubelet's and the service
/// proxy's marks are below.
const LOOPED: u32 = 0x1_0000;

/// What the rules need to know of a network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct NetworkView {
    pub(crate) bridge: String,
    pub(crate) subnet: Cidr,
    /// It is a node's part of a cluster's pod network.
    pub(crate) pods: Option<PodView>,
}

/// What is different in a pod network: its members are reached by everybody, and leave
/// with their own address inside the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodView {
    /// The addresses of all pods of all nodes.
    pub(crate) cluster: Cidr,
    /// Pods leave the cluster with the node's address.
    pub(crate) masquerade: bool,
    /// The link to other nodes' pods.
    pub(crate) tunnel: Option<String>,
}

/// All that decides the rules, except the published ports.
pub(super) struct Program<'a> {
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
        publish(t, self.pods());
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

    fn sets(&self, t: &mut Transaction) {
        let endpoint = SetType::IPV4.then(SetType::PORT);
        let port = SetType::PROTOCOL.then(SetType::PORT);
        t.add_set(&Set {
            name: BRIDGES,
            key: SetType::LINK_NAME,
            value: None,
            options: SetOptions::default(),
        });
        t.add_set(&Set { name: PUBLISHED, key: port, value: Some(endpoint), options: SetOptions::default() });
        let at = SetType::IPV4.then(SetType::PROTOCOL).then(SetType::PORT);
        t.add_set(&Set {
            name: PUBLISHED_AT,
            key: at,
            value: Some(endpoint),
            options: SetOptions::default(),
        });
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
        for offset in [DESTINATION, SOURCE] {
            let mut rule = in_set(MetaKey::InputName, false);
            rule.extend(in_network(offset, LOOPBACK, false));
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
            for lookup in [published_at(), published()] {
                let mut rule = lookup;
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
            let mut local = in_network(SOURCE, LOOPBACK, false);
            local.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Equal));
            local.push(Expr::Masquerade);
            add(t, chain, &local, "the host by 127.0.0.1");
            if let Some(pods) = &network.pods {
                masquerade_pods(t, network, pods);
                continue;
            }
            let mut out = in_network(SOURCE, network.subnet, false);
            out.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Differs));
            out.push(Expr::Masquerade);
            add(t, chain, &out, "containers leave with the host's address");
            let mut hairpin = in_network(SOURCE, network.subnet, false);
            hairpin.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Equal));
            hairpin.extend(ct_has(CtKey::Status, ct_status::DESTINATION_NAT));
            hairpin.push(Expr::Masquerade);
            add(t, chain, &hairpin, "to a published port of the same network: answers come back this way");
        }
    }
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
        let mut out = in_network(SOURCE, network.subnet, false);
        out.extend(in_network(DESTINATION, pods.cluster, true));
        out.extend(in_network(DESTINATION, MULTICAST, true));
        out.extend(name_is(MetaKey::OutputName, &network.bridge, Compare::Differs));
        out.push(Expr::Masquerade);
        add(t, chain, &out, "pods leave the cluster with the node's address");
    }
}

fn publish(t: &mut Transaction, pods: bool) {
    for chain in ["publish-from-outside", "publish-from-host"] {
        let mut transit = destination_is_local(Compare::Differs);
        transit.push(Expr::Verdict(Verdict::Return));
        add(t, chain, &transit, "not for this host");
        if chain == "publish-from-outside" {
            let mut martian = name_is(MetaKey::InputName, "lo", Compare::Differs);
            martian.extend(in_network(DESTINATION, LOOPBACK, false));
            martian.push(Expr::Verdict(Verdict::Return));
            add(t, chain, &martian, "127.0.0.1 is published to the host only");
        }
        add(t, chain, &[Expr::Verdict(Verdict::Jump(PUBLISH.to_owned()))], "");
    }
    let redirect = Expr::DestinationNat { address: Register(0), port: Register(1) };
    for (lookup, comment) in
        [(published_at(), "published on one address"), (published(), "published on all addresses")]
    {
        if pods {
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

fn add(t: &mut Transaction, chain: &str, expressions: &[Expr], comment: &str) {
    let comment = (!comment.is_empty()).then_some(comment);
    t.add_rule(&Rule { chain, expressions, comment, compat: None });
}

/// The map element of a published port: which map, and the element.
pub(super) fn element(port: &PublishedPort, container: Ipv4Addr) -> (&'static str, Element) {
    let mut key = Vec::with_capacity(12);
    let mut map = PUBLISHED;
    if !port.host_ip.is_unspecified() {
        map = PUBLISHED_AT;
        key.extend_from_slice(&port.host_ip.octets());
    }
    key.extend_from_slice(&[port.protocol.number(), 0, 0, 0]);
    key.extend_from_slice(&port.host_port.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
    let mut value = container.octets().to_vec();
    value.extend_from_slice(&port.container_port.to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    (map, Element::pair(key, value))
}

/// Where nft(8) shows a published port: `map ip strake published { tcp . 8080 : … }`.
pub(crate) fn endpoint_text(table: &str, port: &PublishedPort, container: Ipv4Addr) -> String {
    let (map, _) = element(port, container);
    let PublishedPort { protocol, host_ip, host_port, container_port } = port;
    let key = if map == PUBLISHED { String::new() } else { format!("{host_ip} . ") };
    format!("nft map ip {table} {map} {{ {key}{protocol} . {host_port} : {container} . {container_port} }}")
}

const SOURCE: u32 = 12;
const DESTINATION: u32 = 16;

/// `ip saddr`/`ip daddr` is (not) in `network`.
fn in_network(offset: u32, network: Cidr, outside: bool) -> Vec<Expr> {
    let register = Register(0);
    let how = if outside { Compare::Differs } else { Compare::Equal };
    let mask = u32::MAX.checked_shl(32 - u32::from(network.prefix())).unwrap_or(0);
    vec![
        Expr::Payload { base: Base::Network, offset, length: 4, to: register },
        Expr::Mask { register, mask: mask.to_be_bytes().to_vec() },
        Expr::Compare { register, how, value: network.network().octets().to_vec() },
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

/// Goes on with the endpoint in words 0 and 1 when the port is published on all
/// addresses.
fn published() -> Vec<Expr> {
    vec![
        Expr::Meta { key: MetaKey::Transport, to: Register(0) },
        Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(1) },
        Expr::Lookup { set: PUBLISHED.to_owned(), key: Register(0), to: Some(Register(0)), absent: false },
    ]
}

/// The same for one published on the address that the packet is for.
fn published_at() -> Vec<Expr> {
    vec![
        Expr::Payload { base: Base::Network, offset: DESTINATION, length: 4, to: Register(0) },
        Expr::Meta { key: MetaKey::Transport, to: Register(1) },
        Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(2) },
        Expr::Lookup { set: PUBLISHED_AT.to_owned(), key: Register(0), to: Some(Register(0)), absent: false },
    ]
}
