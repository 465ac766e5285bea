//! nf_tables.

use netlink::nft::{
    Base, Chain, ChainKind, Compare, CtKey, Element, Expr, Family, Hook, HookPoint, MetaKey, Register,
    RejectWith, Rule, Set, SetOptions, SetType, Transaction, Verdict, ct_state, dump,
};
use netlink::{Protocol, Socket};
use rustix::io::Errno;
use testkit::isolated;

use crate::sh;

fn socket() -> Socket {
    Socket::open(Protocol::Netfilter).expect("socket")
}

fn table() -> Transaction {
    let mut t = Transaction::on(Family::Ip, "t");
    let hook = Hook { kind: ChainKind::Filter, point: HookPoint::Input, priority: -5 };
    t.add_table(Some("ours")).add_chain(&Chain { name: "in", hook: Some(hook) });
    t.add_chain(&Chain { name: "more", hook: None });
    let endpoint = SetType::IPV4.then(SetType::PORT);
    t.add_set(&Set { name: "links", key: SetType::LINK_NAME, value: None, options: SetOptions::default() });
    t.add_set(&Set {
        name: "ports",
        key: SetType::PROTOCOL.then(SetType::PORT),
        value: Some(endpoint),
        options: SetOptions::default(),
    });
    t
}

fn port(number: u16) -> Element {
    let mut key = vec![6, 0, 0, 0];
    key.extend_from_slice(&number.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
    Element::pair(key, [10, 0, 0, 2, 0, 80, 0, 0])
}

#[test]
fn nft_reads_what_we_write() {
    isolated(|| {
        let register = Register(0);
        let mut name = b"br0".to_vec();
        name.resize(16, 0);
        let rules: [(&[Expr], &str); 5] = [
            (
                &[
                    Expr::Ct { key: CtKey::State, to: register },
                    Expr::Mask {
                        register,
                        mask: (ct_state::ESTABLISHED | ct_state::RELATED).to_ne_bytes().to_vec(),
                    },
                    Expr::Compare { register, how: Compare::Differs, value: vec![0; 4] },
                    Expr::Verdict(Verdict::Accept),
                ],
                "ct state established,related accept comment \"why\"",
            ),
            (
                &[
                    Expr::Meta { key: MetaKey::InputName, to: register },
                    Expr::Lookup { set: "links".to_owned(), key: register, to: None, absent: true },
                    Expr::Verdict(Verdict::Jump("more".to_owned())),
                ],
                "iifname != @links jump more",
            ),
            (
                &[
                    Expr::DestinationType { to: register },
                    Expr::Compare { register, how: Compare::Equal, value: 2u32.to_ne_bytes().to_vec() },
                    Expr::Reject(RejectWith::Icmp(13)),
                ],
                "fib daddr type local reject with icmp admin-prohibited",
            ),
            (
                &[
                    Expr::Payload { base: Base::Network, offset: 16, length: 4, to: register },
                    Expr::Mask { register, mask: vec![255, 255, 0, 0] },
                    Expr::Compare { register, how: Compare::Equal, value: vec![10, 1, 0, 0] },
                    Expr::Verdict(Verdict::Drop),
                ],
                "ip daddr 10.1.0.0/16 drop",
            ),
            (
                &[
                    Expr::Meta { key: MetaKey::InputName, to: register },
                    Expr::Compare { register, how: Compare::Equal, value: name.clone() },
                    Expr::Verdict(Verdict::Goto("more".to_owned())),
                ],
                "iifname \"br0\" goto more",
            ),
        ];
        let mut t = table();
        t.add_elements("links", &[Element::key(name.clone())]).add_elements("ports", &[port(8080)]);
        for (index, (expressions, _)) in rules.iter().enumerate() {
            let comment = (index == 0).then_some("why");
            t.add_rule(&Rule { chain: "in", expressions, comment, compat: None });
        }
        let mut socket = socket();
        t.commit(&mut socket, None).expect("commit");
        let listed = sh("nft list ruleset");
        for (_, text) in rules {
            assert!(listed.contains(text), "{text}: {listed}");
        }
        for text in [
            "comment \"ours\"",
            "elements = { \"br0\" }",
            "tcp . 8080 : 10.0.0.2 . 80",
            "priority filter - 5",
        ] {
            assert!(listed.contains(text), "{text}: {listed}");
        }
        // And what we write we read back.
        let read = dump::rules(&mut socket, Family::Ip, "t").expect("dump");
        assert_eq!(read.len(), rules.len());
        for (read, (written, _)) in read.iter().zip(rules) {
            let understood: Vec<_> = read.expressions.iter().cloned().map(Expr::understand).collect();
            assert_eq!(understood, written);
        }
        assert_eq!(read[0].comment.as_deref(), Some("why"));
        let table = dump::table(&mut socket, Family::Ip, "t").expect("ask").expect("there");
        assert_eq!((table.comment.as_deref(), table.dormant), (Some("ours"), false));
        assert_eq!(dump::table(&mut socket, Family::Ip, "nosuch").expect("ask"), None);
    });
}

#[test]
fn a_batch_is_all_or_nothing() {
    isolated(|| {
        let mut socket = socket();
        let mut t = table();
        let expressions = [Expr::Verdict(Verdict::Jump("nosuch".to_owned()))];
        let index = t.len();
        t.add_rule(&Rule { chain: "in", expressions: &expressions, comment: None, compat: None });
        t.add_elements("ports", &[port(1)]);
        let error = t.commit(&mut socket, None).expect_err("refused");
        let netlink::Error::Refused(refusal) = error else { panic!("{error}") };
        assert_eq!(refusal.index, index);
        assert_eq!(sh("nft list ruleset"), "");
        table().commit(&mut socket, None).expect("the socket is as good as new");
    });
}

#[test]
fn a_commit_can_depend_on_the_generation() {
    isolated(|| {
        let mut socket = socket();
        let before = dump::generation(&mut socket).expect("ask").expect("a number");
        table().commit(&mut socket, Some(before)).expect("commit");
        let after = dump::generation(&mut socket).expect("ask").expect("a number");
        assert_eq!(after, before + 1, "each commit raises it by one");
        sh("nft add table ip other");
        let mut t = Transaction::on(Family::Ip, "t");
        t.add_elements("ports", &[port(1)]);
        let error = t.commit(&mut socket, Some(after)).expect_err("somebody was faster");
        assert!(error.is(Errno::RESTART), "{error}");
        t.commit(&mut socket, Some(after + 1)).expect("looked again");
    });
}

#[test]
fn ten_thousand_elements_in_one_batch() {
    isolated(|| {
        let mut socket = socket();
        let elements: Vec<Element> = (1..=10_000).map(port).collect();
        let mut t = table();
        t.add_elements("ports", &elements);
        t.commit(&mut socket, None).expect("commit");
        let held = dump::elements(&mut socket, Family::Ip, "t", "ports").expect("dump");
        assert_eq!(held.len(), 10_000);
        let mut t = Transaction::on(Family::Ip, "t");
        t.delete_elements("ports", &elements[..9_999]);
        t.commit(&mut socket, None).expect("delete");
        let held = dump::elements(&mut socket, Family::Ip, "t", "ports").expect("dump");
        let last: Vec<_> = held.iter().filter_map(dump::key_and_value).collect();
        let Element::Value { key, value } = port(10_000) else { panic!("a value") };
        assert_eq!(last, [(key, value)]);
    });
}

#[test]
fn hooks_and_policies_are_read() {
    isolated(|| {
        sh(
            "nft add table inet fw; nft add chain inet fw in '{ type filter hook input priority 7; policy drop; }'; nft add chain inet fw other",
        );
        let chains = dump::chains(&mut socket()).expect("dump");
        let base = chains.iter().find(|chain| chain.name == "in").expect("listed");
        let hook = base.hook.expect("hooked");
        assert_eq!((base.family, base.kind.as_str()), (Family::Inet, "filter"));
        assert_eq!((hook.point, hook.priority, hook.drops), (Some(HookPoint::Input), 7, true));
        assert!(chains.iter().any(|chain| chain.name == "other" && chain.hook.is_none()));
        sh("nft add table ip sleeping '{ flags dormant; }'");
        let tables = dump::tables(&mut socket()).expect("dump");
        assert!(tables.iter().any(|table| table.name == "sleeping" && table.dormant));
    });
}
