//! Whose rules packets meet on this host.

use netlink::nft::{Family, HookPoint, dump};
use netlink::{Protocol, Socket};
use serde::{Deserialize, Serialize};

use super::process::program;

/// The tables of this network namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct FirewallFacts {
    /// Tables of nf_tables; none when they cannot be listed.
    pub tables: Option<Vec<TableFacts>>,
    /// Tables of the older iptables, IPv4 and IPv6, that hold rules or policies.
    pub legacy: Vec<String>,
    /// Which iptables would be run: a path.
    pub iptables: Option<String>,
    /// `net.ipv4.ip_forward`.
    pub forwards: Option<bool>,
    /// `net.bridge.bridge-nf-call-iptables`: packets between ports of a bridge meet the rules.
    pub bridge_meets_rules: Option<bool>,
}

/// A table of nf_tables.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct TableFacts {
    /// `inet`, `ip`…
    pub family: String,
    /// Its name.
    pub name: String,
    /// Chains of it that packets meet: `input filter`, `forward filter, drops the rest`.
    pub hooks: Vec<String>,
}

impl FirewallFacts {
    pub(super) fn gather() -> Self {
        let flag = |path| super::process::number(path).map(|value| value != 0);
        Self {
            tables: tables(),
            legacy: legacy(),
            iptables: program("iptables"),
            forwards: flag("/proc/sys/net/ipv4/ip_forward"),
            bridge_meets_rules: flag("/proc/sys/net/bridge/bridge-nf-call-iptables"),
        }
    }
}

fn tables() -> Option<Vec<TableFacts>> {
    let mut socket = Socket::open(Protocol::Netfilter).ok()?;
    let chains = dump::chains(&mut socket).ok()?;
    let tables = dump::tables(&mut socket).ok()?;
    let facts = |family: Family, name: String| TableFacts {
        hooks: chains
            .iter()
            .filter(|chain| chain.family == family && chain.table == name)
            .filter_map(|chain| Some(hooked(chain.hook.as_ref()?, &chain.kind)))
            .collect(),
        family: family.to_string(),
        name,
    };
    Some(tables.into_iter().map(|table| facts(table.family, table.name)).collect())
}

fn hooked(hook: &dump::HookedAt, kind: &str) -> String {
    let point = match hook.point {
        Some(HookPoint::Prerouting) => "prerouting",
        Some(HookPoint::Input) => "input",
        Some(HookPoint::Forward) => "forward",
        Some(HookPoint::Output) => "output",
        Some(HookPoint::Postrouting) => "postrouting",
        None => "elsewhere",
    };
    let rest = if hook.drops { ", drops the rest" } else { "" };
    format!("{point} {kind}{rest}")
}

/// A table of the older kind is there once somebody has asked for it.
fn legacy() -> Vec<String> {
    let names = |file: &str, family: &str| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        text.lines().map(|name| format!("{family} {name}")).collect::<Vec<_>>()
    };
    let mut all = names("/proc/net/ip_tables_names", "ip");
    all.extend(names("/proc/net/ip6_tables_names", "ip6"));
    all
}
