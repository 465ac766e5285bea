//! Packets against rules made here.

use std::net::SocketAddr;

use netlink::nft::dump::{Chain, HookedAt};
use netlink::nft::{Base, Compare, Expr, Family, HookPoint, MetaKey, RawExpr, Register, Verdict};

use super::ruleset::{Rule, Ruleset};
use super::walk::{Surroundings, walk};
use super::{Fate, Origin, Packet, Path};
use crate::publish::Protocol;

/// Rules of one table, by chain.
#[derive(Default)]
struct Table {
    rules: Ruleset,
}

impl Table {
    fn chain(mut self, name: &str, point: HookPoint, kind: &str, drops: bool) -> Self {
        let hook = Some(HookedAt { point: Some(point), priority: 0, drops });
        let (table, kind) = ("fw".to_owned(), kind.to_owned());
        self.rules.bases.push(Chain { family: Family::Ip, table, name: name.to_owned(), kind, hook });
        self
    }

    fn rule(mut self, chain: &str, expressions: Vec<Expr>) -> Self {
        let key = (Family::Ip, "fw".to_owned(), chain.to_owned());
        let rules = self.rules.rules.entry(key).or_default();
        rules.push(Rule { handle: rules.len() as u64, comment: None, expressions });
        self
    }
}

fn to_port(port: u16, then: Expr) -> Vec<Expr> {
    vec![
        Expr::Payload { base: Base::Transport, offset: 2, length: 2, to: Register(0) },
        Expr::Compare { register: Register(0), how: Compare::Equal, value: port.to_be_bytes().to_vec() },
        then,
    ]
}

fn translate(to: [u8; 4], port: u16) -> Vec<Expr> {
    vec![
        Expr::Load { value: to.to_vec(), to: Register(0) },
        Expr::Load { value: port.to_be_bytes().to_vec(), to: Register(1) },
        Expr::DestinationNat { address: Register(0), port: Register(1) },
    ]
}

fn sent(table: &Table, origin: Origin) -> Path {
    let around = Surroundings {
        addresses: [[192, 0, 2, 1].into()].into(),
        containers: vec![([172, 30, 0, 2].into(), "strake0".to_owned())],
        ..Surroundings::default()
    };
    let destination = SocketAddr::from(([192, 0, 2, 1], 8080));
    walk(&table.rules, &around, &Packet { origin, source: None, protocol: Protocol::Tcp, destination })
}

fn outside() -> Origin {
    Origin::Link("eth0".to_owned())
}

#[test]
fn a_translated_packet_meets_forward_and_not_input() {
    let table = Table::default()
        .chain("pre", HookPoint::Prerouting, "nat", false)
        .chain("in", HookPoint::Input, "filter", true)
        .chain("pass", HookPoint::Forward, "filter", false)
        .rule("pre", translate([172, 30, 0, 2], 80))
        .rule("pass", {
            let mut name = b"strake0".to_vec();
            name.resize(16, 0);
            vec![
                Expr::Meta { key: MetaKey::OutputName, to: Register(0) },
                Expr::Compare { register: Register(0), how: Compare::Equal, value: name },
                Expr::Verdict(Verdict::Accept),
            ]
        });
    let path = sent(&table, outside());
    assert_eq!(path.fate, Fate::Forwarded { to: ([172, 30, 0, 2], 80).into(), masqueraded: false });
    let met: Vec<(&str, &str)> = path.steps.iter().map(|s| (s.hook, s.effect.as_str())).collect();
    assert_eq!(
        met,
        [
            ("prerouting", "enter"),
            ("prerouting", "to 172.30.0.2:80"),
            ("forward", "enter"),
            ("forward", "accept")
        ]
    );
    assert_eq!(path.steps[3].text, "oifname strake0");
}

#[test]
fn what_is_not_translated_meets_input() {
    let table = || {
        Table::default()
            .chain("in", HookPoint::Input, "filter", true)
            .rule("in", to_port(22, Expr::Verdict(Verdict::Accept)))
    };
    let path = sent(&table(), outside());
    assert_eq!(path.fate, Fate::Dropped);
    assert_eq!(path.decider().map(|step| step.chain.as_str()), Some("in"));
    let open = table().rule("in", to_port(8080, Expr::Verdict(Verdict::Jump("web".to_owned()))));
    let open = open.rule("web", vec![Expr::Verdict(Verdict::Accept)]);
    assert_eq!(sent(&open, outside()).fate, Fate::Local);
    assert_eq!(sent(&table(), Origin::Host).fate, Fate::Local, "the host's own meets no input");
}

#[test]
fn what_is_not_known_is_said_and_not_guessed() {
    let limit = || Expr::Raw(RawExpr { name: "limit".to_owned(), data: Vec::new() });
    let table = |policy, verdict| {
        Table::default()
            .chain("in", HookPoint::Input, "filter", policy)
            .rule("in", vec![limit(), Expr::Verdict(verdict)])
    };
    let path = sent(&table(false, Verdict::Drop), outside());
    assert_eq!((path.fate, path.doubts.len()), (Fate::Local, 1));
    assert_eq!(path.doubts, ["drop of ip fw in: limit"]);
    let path = sent(&table(true, Verdict::Accept), outside());
    assert_eq!((path.fate, path.doubts.len()), (Fate::Dropped, 1));
    // From somewhere: a rule about the sender may apply.
    let from = vec![
        Expr::Payload { base: Base::Network, offset: 12, length: 4, to: Register(0) },
        Expr::Compare { register: Register(0), how: Compare::Equal, value: vec![203, 0, 113, 9] },
        Expr::Verdict(Verdict::Drop),
    ];
    let table = Table::default().chain("in", HookPoint::Input, "filter", false).rule("in", from);
    let path = sent(&table, outside());
    assert_eq!(path.doubts, ["drop of ip fw in: saddr 203.0.113.9"]);
}

#[test]
fn a_copy_is_called_one() {
    let step = |whose, chain: &str| super::Step {
        hook: "prerouting",
        whose,
        table: "ip t".to_owned(),
        chain: chain.to_owned(),
        priority: None,
        rule: Some(1),
        text: "x".to_owned(),
        effect: "drop".to_owned(),
        maybe: false,
    };
    use super::Whose::{Host, Strake};
    for (whose, chain, expected) in [
        (Strake, "host0-in", "our copy of the host's chain in of table ip t (x)"),
        (Strake, "host0-gate", "our chain host0-gate of table ip t (x)"),
        (Strake, "publish", "our chain publish of table ip t (x)"),
        (Host, "host0-in", "the host's chain host0-in of table ip t (x)"),
    ] {
        assert_eq!(step(whose, chain).to_string(), expected);
    }
}
