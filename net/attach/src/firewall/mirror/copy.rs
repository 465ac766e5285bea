//! Copying one rule, one set, one element into our table. Pure.

use std::collections::BTreeSet;

use netlink::nft::dump::{self, RawElement};
use netlink::nft::{
    Base, Compare, Compat, Expr, Family, MetaKey, RawExpr, RejectWith, Verdict, nested, rename_verdict,
};
use netlink::{Attributes, Message};

use super::{Expirations, RuleKey, copied_name};

const ELEMENT_KEY: u16 = 1;
/// The value of a map element.
pub(super) const ELEMENT_DATA: u16 = 2;
const ELEMENT_FLAGS: u16 = 3;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;
const ELEMENT_USERDATA: u16 = 6;
const ELEMENT_KEY_END: u16 = 10;
const SET_FLAGS: u16 = 3;
const SET_DESC: u16 = 9;
/// Types and lengths, policy, description, timeouts, user data.
const SET_COPIED: [u16; 9] = [4, 5, 6, 7, 8, SET_DESC, 11, 12, 13];
const SET_FLAG_ANONYMOUS: u32 = 0x1;
const SET_FLAG_CONSTANT: u32 = 0x2;
const SET_FLAG_OBJECT: u32 = 0x40;
const SET_FLAG_EXPR: u32 = 0x100;
const REJECT_ICMPX: u32 = 2;
const OBJECT_COUNTER: u32 = 1;

/// A rule of our copy.
#[derive(Clone, Debug)]
pub(super) struct CopiedRule {
    pub(super) expressions: Vec<Expr>,
    pub(super) compat: Option<Compat>,
    pub(super) comment: String,
    /// The rule it is a copy of; `None` when it is our own.
    pub(super) origin: Option<RuleKey>,
}

impl CopiedRule {
    /// An unconditional drop of our own.
    pub(super) fn drop(comment: &str) -> Self {
        let expressions = vec![Expr::Verdict(Verdict::Drop)];
        Self { expressions, compat: None, comment: comment.to_owned(), origin: None }
    }
}

/// What became of a rule.
pub(super) enum Copied {
    /// It was copied.
    Rule(CopiedRule),
    /// It has no effect on the verdict.
    Empty,
    /// It accepts and cannot be copied: passed over.
    PassedOver,
    /// It cannot be copied: what comes to it is dropped.
    Closed {
        /// The drop.
        rule: CopiedRule,
    },
}

impl Copied {
    /// What the user should know of it.
    pub(super) fn warning(&self, rule: &dump::Rule, position: usize) -> Option<String> {
        let (effect, fix) = match self {
            Self::Rule(_) | Self::Empty => return None,
            Self::PassedOver => ("it is passed over", "what it would accept is judged by the rules after it"),
            Self::Closed { .. } => (
                "packets to published ports that it may be about are dropped",
                "write it with matches that are allowed before routing",
            ),
        };
        let names: Vec<&str> = rule.expressions.iter().map(|e| e.name.as_str()).collect();
        let comment = rule.comment.as_ref().map(|c| format!(", {c:?}")).unwrap_or_default();
        Some(format!(
            "rule {} (handle {}{comment}) of chain {} in table {} {} cannot be applied to published ports ({}): {effect}; {fix}",
            position + 1,
            rule.handle,
            rule.chain,
            rule.family,
            rule.table,
            names.join(" "),
        ))
    }
}

/// The expression has no counterpart in our table.
struct Uncopyable;

/// Copies `rule`. `usable` are the sets that were copied; `refusals` is how often the
/// kernel refused a copy of it.
pub(super) fn rule(
    rule: &dump::Rule,
    (family, index): (Family, usize),
    usable: &BTreeSet<String>,
    refusals: u8,
) -> Copied {
    let origin = Some((rule.family, rule.table.clone(), rule.handle));
    let Some(steps) = for_family(family, &rule.expressions) else { return Copied::Empty };
    let mut expressions = Vec::with_capacity(steps.len());
    let mut whole = true;
    for step in &steps {
        match expression(step, index, usable) {
            Ok(copy) => expressions.extend(copy),
            Err(Uncopyable) => {
                whole = false;
                break;
            }
        }
    }
    let compat = uses_xtables(rule).then(|| transport(&expressions)).flatten();
    let copied = |expressions: Vec<Expr>, comment: String| CopiedRule {
        expressions,
        compat,
        comment,
        origin: origin.clone(),
    };
    if whole && refusals == 0 {
        if expressions.is_empty() {
            return Copied::Empty;
        }
        return Copied::Rule(copied(expressions, rule.comment.clone().unwrap_or_default()));
    }
    if accepts(rule) {
        return Copied::PassedOver;
    }
    if only_watches(rule) {
        return Copied::Empty;
    }
    // What it asks before its last step narrows the drop; refused again, nothing does.
    if refusals <= 1 {
        if whole {
            expressions.pop();
        }
    } else {
        expressions.clear();
    }
    expressions.push(Expr::Verdict(Verdict::Drop));
    Copied::Closed { rule: copied(expressions, CLOSED.to_owned()) }
}

const CLOSED: &str = "a rule of the host that cannot be copied";

/// The steps without the question whether the packet is of our table's family, which is idle
/// there; `None` when the rule is for the other one only.
fn for_family(family: Family, expressions: &[RawExpr]) -> Option<Vec<&RawExpr>> {
    const KEY_NFPROTO: u32 = 15;
    let mut kept = Vec::with_capacity(expressions.len());
    let mut rest = expressions;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let asks = first.name == "meta"
            && Attributes::new(&first.data).find(2).and_then(|a| a.be32()) == Some(KEY_NFPROTO);
        if let (true, [second, after @ ..]) = (asks, tail)
            && let Expr::Compare { how: Compare::Equal, value, .. } = Expr::understand(second.clone())
        {
            if value.first() != Some(&family.number()) {
                return None;
            }
            rest = after;
            continue;
        }
        kept.push(first);
    }
    Some(kept)
}

fn accepts(rule: &dump::Rule) -> bool {
    rule.expressions.last().is_some_and(|last| {
        Expr::understand(last.clone()) == Expr::Verdict(Verdict::Accept)
            || target(last).as_deref() == Some("ACCEPT")
    })
}

/// Its last step counts or logs, so it has no verdict and marks nothing.
fn only_watches(rule: &dump::Rule) -> bool {
    rule.expressions.last().is_none_or(|last| {
        matches!(last.name.as_str(), "counter" | "last" | "log")
            || matches!(target(last).as_deref(), Some("LOG" | "NFLOG"))
    })
}

fn target(expression: &RawExpr) -> Option<String> {
    (expression.name == "target").then(|| Attributes::new(&expression.data).find(1).map(|a| a.text()))?
}

fn uses_xtables(rule: &dump::Rule) -> bool {
    rule.expressions.iter().any(|e| e.name == "match" || e.name == "target")
}

/// The transport that the rule is about, which x_tables extensions insist on knowing
/// and which the kernel does not dump.
fn transport(expressions: &[Expr]) -> Option<Compat> {
    expressions.iter().zip(expressions.iter().skip(1)).find_map(|(load, compare)| {
        let understood = |e: &Expr| match e {
            Expr::Raw(raw) => Expr::understand(raw.clone()),
            typed => typed.clone(),
        };
        let loads = match understood(load) {
            Expr::Meta { key: MetaKey::Transport, .. } => true,
            Expr::Payload { base: Base::Network, offset, length, .. } => offset == 9 && length == 1,
            _ => false,
        };
        let Expr::Compare { how, value, .. } = understood(compare) else { return None };
        let protocol = u32::from(*value.first()?);
        loads.then_some(Compat { protocol, inverted: how == Compare::Differs })
    })
}

/// One expression; `None` when it only counts.
fn expression(raw: &RawExpr, index: usize, usable: &BTreeSet<String>) -> Result<Option<Expr>, Uncopyable> {
    let attributes = Attributes::new(&raw.data);
    let be32 = |kind| attributes.find(kind).and_then(|a| a.be32());
    let copy = match raw.name.as_str() {
        "counter" | "last" => return Ok(None),
        "objref" if be32(1) == Some(OBJECT_COUNTER) => return Ok(None),
        "objref" => return Err(Uncopyable),
        "quota" => Expr::Raw(rewritten(raw, |kind, data| (kind != 5).then(|| data.to_vec()))),
        "lookup" | "dynset" => {
            let set = attributes.find(1).map(|a| a.text()).filter(|name| usable.contains(name));
            let name = copied_name(index, &set.ok_or(Uncopyable)?);
            let id = if raw.name == "lookup" { 4 } else { 2 };
            Expr::Raw(rewritten(raw, |kind, data| match kind {
                1 => Some(zero_ended(&name)),
                kind if kind == id => None,
                _ => Some(data.to_vec()),
            }))
        }
        "immediate" => match Expr::understand(raw.clone()) {
            Expr::Verdict(Verdict::Jump(chain)) => Expr::Verdict(Verdict::Jump(copied_name(index, &chain))),
            Expr::Verdict(Verdict::Goto(chain)) => Expr::Verdict(Verdict::Goto(copied_name(index, &chain))),
            other => other,
        },
        "reject" if be32(1) == Some(REJECT_ICMPX) => {
            let code = attributes.find(2).and_then(|a| a.data.first().copied());
            Expr::Reject(RejectWith::Icmp(icmp_of_icmpx(code.ok_or(Uncopyable)?)))
        }
        "target" if target(raw).as_deref() == Some("REJECT") => {
            let how =
                attributes.find(3).and_then(|a| Some(u32::from_ne_bytes(a.data.get(..4)?.try_into().ok()?)));
            Expr::Reject(xtables_reject(how.ok_or(Uncopyable)?).ok_or(Uncopyable)?)
        }
        _ => Expr::Raw(raw.clone()),
    };
    Ok(Some(copy))
}

/// `enum nft_reject_inet_code` → ICMP codes, as the kernel maps them.
fn icmp_of_icmpx(code: u8) -> u8 {
    match code {
        0 => 0,  // no route → net unreachable
        2 => 1,  // host unreachable
        3 => 13, // administratively prohibited
        _ => 3,  // port unreachable
    }
}

/// `enum ipt_reject_with`. The x_tables target is not allowed before routing, the
/// native expression is.
fn xtables_reject(how: u32) -> Option<RejectWith> {
    Some(match how {
        0 => RejectWith::Icmp(0),
        1 => RejectWith::Icmp(1),
        2 => RejectWith::Icmp(2),
        3 => RejectWith::Icmp(3),
        5 => RejectWith::Icmp(9),
        6 => RejectWith::Icmp(10),
        7 => RejectWith::TcpReset,
        8 => RejectWith::Icmp(13),
        _ => return None,
    })
}

fn zero_ended(name: &str) -> Vec<u8> {
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(0);
    bytes
}

/// `raw` with each attribute as `change` gives it, or without.
fn rewritten(raw: &RawExpr, change: impl Fn(u16, &[u8]) -> Option<Vec<u8>>) -> RawExpr {
    let mut message = Message::new(0, 0);
    for attribute in Attributes::new(&raw.data) {
        if let Some(data) = change(attribute.kind, attribute.data) {
            message.bytes(attribute.kind, &data);
        }
    }
    RawExpr { name: raw.name.clone(), data: message.body().to_vec() }
}

/// The attributes that a copy of `set` is made with; `None` for sets of objects.
pub(super) fn set(set: &dump::Set) -> Option<Vec<(u16, Vec<u8>)>> {
    if set.flags & SET_FLAG_OBJECT != 0 {
        return None;
    }
    let flags = set.flags & !(SET_FLAG_ANONYMOUS | SET_FLAG_CONSTANT | SET_FLAG_EXPR);
    let mut attributes = vec![(SET_FLAGS, flags.to_be_bytes().to_vec())];
    for (kind, data) in &set.attributes {
        if SET_COPIED.contains(kind) {
            let kind = if *kind == SET_DESC { nested(*kind) } else { *kind };
            attributes.push((kind, data.clone()));
        }
    }
    Some(attributes)
}

/// The attributes that a copy of an element is made with.
pub(super) fn element(element: &RawElement, index: usize) -> Option<RawElement> {
    let mut copy = Vec::with_capacity(element.len());
    for (kind, data) in element {
        match *kind {
            ELEMENT_DATA => {
                let renamed = rename_verdict(data, |chain| copied_name(index, chain));
                copy.push((nested(ELEMENT_DATA), renamed.unwrap_or_else(|| data.clone())));
            }
            ELEMENT_KEY | ELEMENT_KEY_END => copy.push((nested(*kind), data.clone())),
            ELEMENT_FLAGS | ELEMENT_TIMEOUT | ELEMENT_EXPIRATION | ELEMENT_USERDATA => {
                copy.push((*kind, data.clone()));
            }
            _ => {} // counters
        }
    }
    Some(copy)
}

/// The element with or without the rest of its time.
pub(super) fn timed(element: &RawElement, expirations: Expirations) -> RawElement {
    let keep = |kind: u16| expirations == Expirations::Kept || kind != ELEMENT_EXPIRATION;
    element.iter().filter(|(kind, _)| keep(*kind)).cloned().collect()
}
