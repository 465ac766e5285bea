//! What a rule says, in nft's manner, for those without a comment.

use std::net::{Ipv4Addr, Ipv6Addr};

use netlink::nft::{Base, Compare, CtKey, Expr, MetaKey, Register, Verdict};

use super::machine::Effect;
use super::ruleset::Rule;

/// The conditions of a rule: `tcp dport 8080 ct state …`.
pub(super) fn rule(rule: &Rule) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut loaded: Vec<(Register, Kind)> = Vec::new();
    for expression in &rule.expressions {
        match expression {
            Expr::Compare { register, how, value } => {
                let kind = loaded.iter().rev().find(|(at, _)| at == register).map(|(_, kind)| *kind);
                let differs = if *how == Compare::Differs { "!= " } else { "" };
                words.push(kind.map_or_else(
                    || format!("{differs}{}", hex(value)),
                    |kind| format!("{} {differs}{}", kind.name(), kind.value(value)),
                ));
            }
            Expr::Lookup { set, key, absent, .. } => {
                words.push(format!("{} {}@{set}", names(&loaded, *key), if *absent { "!= " } else { "" }));
            }
            Expr::Dispatch { map, key } => words.push(format!("{} vmap @{map}", names(&loaded, *key))),
            Expr::Raw(raw)
                if !matches!(raw.name.as_str(), "counter" | "target" | "nat" | "masq" | "redir") =>
            {
                words.push(raw.name.clone());
            }
            other => {
                if let Some((register, kind)) = Kind::loaded_by(other) {
                    loaded.push((register, kind));
                }
            }
        }
    }
    words.join(" ")
}

/// What follows, in a word or two.
pub(super) fn effect(effect: &Effect) -> String {
    match effect {
        Effect::None => "goes on".to_owned(),
        Effect::Verdict(Verdict::Accept) => "accept".to_owned(),
        Effect::Verdict(Verdict::Drop) => "drop".to_owned(),
        Effect::Verdict(Verdict::Return) => "return".to_owned(),
        Effect::Verdict(Verdict::Jump(chain)) => format!("jump {chain}"),
        Effect::Verdict(Verdict::Goto(chain)) => format!("goto {chain}"),
        Effect::Verdict(Verdict::Other(number)) => format!("verdict {number}"),
        Effect::Translate(Some(to)) => format!("to {to}"),
        Effect::Translate(None) => "to another address".to_owned(),
        Effect::Redirect(Some(port)) => format!("to port {port} of this host"),
        Effect::Redirect(None) => "to another port of this host".to_owned(),
        Effect::Masquerade => "masquerade".to_owned(),
        Effect::Reject => "reject".to_owned(),
        Effect::Other(name) => name.clone(),
    }
}

/// What a register holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Link(&'static str),
    Transport,
    Mark,
    State,
    Status,
    Type,
    Address(&'static str),
    Port(&'static str),
    Number(&'static str),
}

impl Kind {
    fn loaded_by(expression: &Expr) -> Option<(Register, Self)> {
        Some(match expression {
            Expr::Meta { key: MetaKey::InputName, to } => (*to, Self::Link("iifname")),
            Expr::Meta { key: MetaKey::OutputName, to } => (*to, Self::Link("oifname")),
            Expr::Meta { key: MetaKey::Transport, to } => (*to, Self::Transport),
            Expr::Meta { key: MetaKey::Mark, to } => (*to, Self::Mark),
            Expr::Ct { key: CtKey::State, to } => (*to, Self::State),
            Expr::Ct { key: CtKey::Status, to } => (*to, Self::Status),
            Expr::Ct { key: CtKey::OriginalDestination, to } => (*to, Self::Address("ct original daddr")),
            Expr::Ct { key: CtKey::OriginalDestinationPort, to } => (*to, Self::Port("ct original dport")),
            Expr::DestinationType { to } => (*to, Self::Type),
            Expr::Random { to, .. } => (*to, Self::Number("random")),
            Expr::Payload { base, offset, to, .. } => (
                *to,
                match (base, offset) {
                    (Base::Network, 12 | 8) => Self::Address("saddr"),
                    (Base::Network, 16 | 24) => Self::Address("daddr"),
                    (Base::Network, 9 | 6) => Self::Transport,
                    (Base::Transport, 0) => Self::Port("sport"),
                    (Base::Transport, 2) => Self::Port("dport"),
                    (Base::Network, _) => Self::Number("header"),
                    (Base::Transport, _) => Self::Number("transport header"),
                },
            ),
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Link(name) | Self::Address(name) | Self::Port(name) | Self::Number(name) => name,
            Self::Transport => "l4proto",
            Self::Mark => "mark",
            Self::State => "ct state",
            Self::Status => "ct status",
            Self::Type => "daddr type",
        }
    }

    fn value(self, value: &[u8]) -> String {
        match (self, value) {
            (Self::Link(_), bytes) => {
                let end = bytes.iter().position(|byte| *byte == 0);
                let name = String::from_utf8_lossy(&bytes[..end.unwrap_or(bytes.len())]).into_owned();
                if end.is_some() { name } else { format!("{name}*") }
            }
            (Self::Transport, [6]) => "tcp".to_owned(),
            (Self::Transport, [17]) => "udp".to_owned(),
            (Self::Transport, [132]) => "sctp".to_owned(),
            (Self::Transport, [1]) => "icmp".to_owned(),
            (Self::Address(_), [a, b, c, d]) => Ipv4Addr::new(*a, *b, *c, *d).to_string(),
            (Self::Address(_), bytes) => match <[u8; 16]>::try_from(bytes) {
                Ok(bytes) => Ipv6Addr::from(bytes).to_string(),
                // A prefix of whole bytes.
                Err(_) => format!("{}/{}", hex(bytes), bytes.len() * 8),
            },
            (Self::Port(_), [high, low]) => u16::from_be_bytes([*high, *low]).to_string(),
            (Self::Type, [2, 0, 0, 0]) => "local".to_owned(),
            (_, bytes) => hex(bytes),
        }
    }
}

/// What the key from `register` on is made of.
fn names(loaded: &[(Register, Kind)], register: Register) -> String {
    let from: Vec<&str> =
        loaded.iter().filter(|(at, _)| at.0 >= register.0).map(|(_, kind)| kind.name()).collect();
    from.join(" . ")
}

fn hex(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}
