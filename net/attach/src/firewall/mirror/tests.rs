use netlink::nft::Register;
use netlink::nft::dump::HookedAt;

use super::*;

fn base(drops: bool) -> dump::Chain {
    dump::Chain {
        family: Family::Ip,
        table: "filter".to_owned(),
        name: "INPUT".to_owned(),
        kind: "filter".to_owned(),
        hook: Some(HookedAt { point: Some(HookPoint::Input), priority: 0, drops }),
    }
}

fn raw(expression: &Expr) -> RawExpr {
    let mut t = Transaction::on(Family::Ip, "t");
    t.add_rule(&Rule {
        chain: "c",
        expressions: std::slice::from_ref(expression),
        comment: None,
        compat: None,
    });
    let body = t.messages()[0].body().to_vec();
    let answer = netlink::socket::Answer { kind: t.messages()[0].kind(), body };
    dump::Rule::parse(&answer).expect("just written").expressions.remove(0)
}

fn rule(handle: u64, chain: &str, expressions: Vec<RawExpr>) -> dump::Rule {
    dump::Rule {
        family: Family::Ip,
        table: "filter".to_owned(),
        chain: chain.to_owned(),
        handle,
        expressions,
        comment: None,
    }
}

fn seen(drops: bool, rules: Vec<dump::Rule>) -> Seen {
    let mut seen = Seen { bases: vec![base(drops)], ..Seen::nothing(Family::Ip) };
    for rule in rules {
        let key = (Family::Ip, "filter".to_owned(), rule.chain.clone());
        seen.rules.entry(key).or_default().push(rule);
    }
    seen
}

fn verdict(verdict: Verdict) -> RawExpr {
    raw(&Expr::Verdict(verdict))
}

fn foreign(name: &str) -> RawExpr {
    RawExpr { name: name.to_owned(), data: Vec::new() }
}

/// The copies as text: `chain: rule rule`, a rule being its expressions' names.
fn shown(mirror: &Mirror) -> Vec<String> {
    let mut lines = Vec::new();
    for (chain, rules) in mirror.chains.iter().flat_map(|copy| &copy.chains) {
        let rules: Vec<String> = rules
            .iter()
            .map(|rule| {
                let names: Vec<String> = rule
                    .expressions
                    .iter()
                    .map(|e| match e {
                        Expr::Verdict(Verdict::Jump(to)) => format!("jump {to}"),
                        Expr::Verdict(verdict) => format!("{verdict:?}").to_lowercase(),
                        Expr::Reject(_) => "reject".to_owned(),
                        Expr::Raw(raw) => raw.name.clone(),
                        other => format!("{other:?}"),
                    })
                    .collect();
                names.join(" ")
            })
            .collect();
        lines.push(format!("{chain}: {}", rules.join(", ")));
    }
    lines
}

#[track_caller]
fn check(seen: &Seen, refused: &[u64], expected: &[&str], warnings: usize) {
    let refused = refused.iter().map(|handle| ((Family::Ip, "filter".to_owned(), *handle), 2)).collect();
    let mirror = Mirror::of(seen, &refused);
    assert_eq!(shown(&mirror), expected);
    assert_eq!(mirror.warnings.len(), warnings, "{:?}", mirror.warnings);
}

#[test]
fn a_policy_is_the_last_rule() {
    check(&seen(true, vec![]), &[], &["host0-INPUT: drop"], 0);
    check(&seen(false, vec![]), &[], &["host0-INPUT: "], 0);
}

#[test]
fn jumps_stay_among_the_copies() {
    let rules = vec![
        rule(1, "INPUT", vec![foreign("counter"), verdict(Verdict::Jump("mine".to_owned()))]),
        rule(2, "mine", vec![foreign("meta"), verdict(Verdict::Accept)]),
        rule(3, "unreached", vec![verdict(Verdict::Drop)]),
    ];
    check(&seen(true, rules), &[], &["host0-INPUT: jump host0-mine, drop", "host0-mine: meta accept"], 0);
}

#[test]
fn what_cannot_be_copied_closes_unless_it_accepts() {
    let rules = || {
        vec![
            rule(1, "INPUT", vec![foreign("synproxy"), verdict(Verdict::Accept)]),
            rule(2, "INPUT", vec![foreign("synproxy"), verdict(Verdict::Drop)]),
            rule(3, "INPUT", vec![foreign("synproxy"), foreign("log")]),
            rule(4, "INPUT", vec![foreign("counter")]),
        ]
    };
    check(&seen(false, rules()), &[1, 2, 3], &["host0-INPUT: drop"], 2);
    check(&seen(false, rules()), &[], &["host0-INPUT: synproxy accept, synproxy drop, synproxy log"], 0);
    let unknown_set =
        raw(&Expr::Lookup { set: "gone".to_owned(), key: Register(0), to: None, absent: false });
    let rules = vec![rule(7, "INPUT", vec![foreign("meta"), unknown_set, verdict(Verdict::Drop)])];
    check(&seen(false, rules), &[], &["host0-INPUT: meta drop"], 1);
}

#[test]
fn a_warning_names_the_rule() {
    let rules = vec![rule(9, "INPUT", vec![foreign("match"), verdict(Verdict::Drop)])];
    let refused = [((Family::Ip, "filter".to_owned(), 9), 1)].into();
    let mirror = Mirror::of(&seen(false, rules), &refused);
    let warning = mirror.warnings.first().expect("one");
    assert!(warning.starts_with("rule 1 (handle 9) of chain INPUT in table ip filter cannot"), "{warning}");
}

#[test]
fn rejects_are_translated() {
    let mut info = netlink::Message::new(0, 0);
    info.str(1, "REJECT").be32(2, 0).bytes(3, &7u32.to_ne_bytes());
    let target = RawExpr { name: "target".to_owned(), data: info.body().to_vec() };
    let rules = vec![rule(1, "INPUT", vec![target])];
    check(&seen(false, rules), &[], &["host0-INPUT: reject"], 0);
}
