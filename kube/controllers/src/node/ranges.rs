//! `node-ipam-controller`: a range of pod addresses for each node, none for two.
//!
//! One key stands for all nodes, so that whoever is given a range is seen before the next one is given.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use serde_json::{Value, json};

use crate::known::nodes;
use crate::object::{created, is_deleting, name, text, texts, uid};
use crate::observed::{Change, Key, Loop, Observed, View, Watches};
use crate::plan::{Action, Plan};
use crate::settings::NodeRange;

/// The loop.
pub(crate) const LOOP: Loop =
    Loop { name: "node-ipam-controller", concurrency: 1, watches: Watches::These(&[nodes]), keys, reconcile };

fn keys(change: &Change<'_>, _: &dyn View) -> Vec<Key> {
    let ranges = |node: Option<&Value>| node.map(ranges_of);
    if change.new.is_some() && ranges(change.old) == ranges(change.new) {
        return Vec::new();
    }
    vec![Key::new(nodes(), "", "")]
}

fn reconcile(observed: &Observed<'_>) -> Plan {
    let pools = &observed.settings.node_ranges;
    let mut all = observed.view.list(nodes(), None);
    all.sort_by_key(|node| (created(node), name(node).to_owned()));
    let taken: BTreeSet<String> = all.iter().flat_map(|node| ranges_of(node)).collect();
    let mut free: Vec<Free> = pools.iter().map(|pool| Free::new(*pool, &taken)).collect();
    let mut actions = Vec::new();
    for node in all.iter().filter(|node| ranges_of(node).is_empty() && !is_deleting(node)) {
        let given: Option<Vec<String>> = free.iter_mut().map(Free::take).collect();
        match given.filter(|given| !given.is_empty()) {
            Some(given) => {
                let patch =
                    json!({"metadata": {"uid": uid(node)}, "spec": {"podCIDR": given[0], "podCIDRs": given}});
                actions.push(Action::patch(nodes(), node, patch));
            }
            None if pools.is_empty() => {}
            None => {
                let text = format!("Node {} status is now: CIDRNotAvailable", name(node));
                actions.push(Action::event(node, "CIDRNotAvailable", text));
            }
        }
    }
    Plan::of(format!("{} ranges are taken", taken.len()), actions)
}

/// The ranges that a node has.
fn ranges_of(node: &Value) -> Vec<String> {
    let many = texts(node, &["spec", "podCIDRs"]);
    let one = text(node, &["spec", "podCIDR"]);
    match many.is_empty() && !one.is_empty() {
        true => vec![one.to_owned()],
        false => many.into_iter().map(str::to_owned).collect(),
    }
}

/// What is left of a pool.
struct Free {
    pool: NodeRange,
    taken: BTreeSet<u128>,
    next: u128,
}

impl Free {
    fn new(pool: NodeRange, taken: &BTreeSet<String>) -> Self {
        let mut free = Self { pool, taken: BTreeSet::new(), next: 0 };
        for range in taken {
            free.occupy(range);
        }
        free
    }

    /// How many bits an address of the pool has.
    fn width(&self) -> u8 {
        if self.pool.network.is_ipv4() { 32 } else { 128 }
    }

    /// The first of the node ranges that a range lies in, and the last.
    fn occupy(&mut self, range: &str) {
        let Some((address, bits)) = range.split_once('/') else { return };
        let (Ok(address), Ok(bits)) = (address.parse::<IpAddr>(), bits.parse::<u8>()) else { return };
        if address.is_ipv4() != self.pool.network.is_ipv4() || bits > self.width() {
            return;
        }
        let (first, base) = (number(address), number(self.pool.network));
        let last = first | mask(self.width() - bits);
        let shift = self.width() - self.pool.node_bits;
        let index = |at: u128| at.checked_sub(base).map(|offset| offset >> shift);
        let Some(end) = index(last) else { return };
        let start = index(first).unwrap_or(0);
        for at in start..=end.min(self.count().saturating_sub(1)) {
            self.taken.insert(at);
        }
    }

    /// How many node ranges the pool has.
    fn count(&self) -> u128 {
        let bits = u32::from(self.pool.node_bits.saturating_sub(self.pool.bits));
        1_u128.checked_shl(bits).unwrap_or(u128::MAX)
    }

    fn take(&mut self) -> Option<String> {
        while self.taken.contains(&self.next) {
            self.next += 1;
        }
        if self.next >= self.count()
            || self.pool.node_bits < self.pool.bits
            || self.pool.node_bits > self.width()
        {
            return None;
        }
        let shift = u32::from(self.width() - self.pool.node_bits);
        let first = number(self.pool.network) + (self.next.checked_shl(shift)?);
        self.next += 1;
        let address = match self.pool.network {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(u32::try_from(first).ok()?)),
            IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from(first)),
        };
        Some(format!("{address}/{}", self.pool.node_bits))
    }
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    }
}

fn mask(bits: u8) -> u128 {
    1_u128.checked_shl(u32::from(bits)).map_or(u128::MAX, |bit| bit - 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sim::World;

    const LOOPS: &[Loop] = &[LOOP];

    fn show(world: &World) -> Vec<String> {
        world.all("nodes").iter().map(|node| text(node, &["spec", "podCIDR"]).to_owned()).collect()
    }

    fn node(name: &str) -> Value {
        json!({"metadata": {"name": name}, "spec": {}})
    }

    #[test]
    fn each_has_its_own() {
        let mut world = World::default();
        world.put("nodes", json!({"metadata": {"name": "a"}, "spec": {"podCIDR": "10.42.1.0/24"}}));
        for name in ["b", "c", "d"] {
            world.put("nodes", node(name));
        }
        world.settle(LOOPS);
        assert_eq!(show(&world), ["10.42.1.0/24", "10.42.0.0/24", "10.42.2.0/24", "10.42.3.0/24"]);
        world.remove("nodes", "", "b");
        world.put("nodes", node("e"));
        world.settle(LOOPS);
        assert_eq!(show(&world)[3], "10.42.0.0/24");
        assert_eq!(world.get("nodes", "", "e").unwrap()["spec"]["podCIDRs"], json!(["10.42.0.0/24"]));
    }

    #[test]
    fn a_pool_may_be_used_up() {
        let mut world = World::default();
        world.settings.node_ranges =
            vec![NodeRange { network: Ipv4Addr::new(10, 0, 0, 0).into(), bits: 24, node_bits: 26 }];
        // Whoever has more than a node's share keeps it.
        world.put("nodes", json!({"metadata": {"name": "a"}, "spec": {"podCIDR": "10.0.0.0/25"}}));
        for name in ["b", "c", "d"] {
            world.put("nodes", node(name));
        }
        world.settle(LOOPS);
        assert_eq!(show(&world), ["10.0.0.0/25", "10.0.0.128/26", "10.0.0.192/26", ""]);
        assert_eq!(world.events[0], "CIDRNotAvailable: Node d status is now: CIDRNotAvailable");
        world.remove("nodes", "", "b");
        world.settle(LOOPS);
        assert_eq!(show(&world)[2], "10.0.0.128/26");
    }

    #[test]
    fn one_of_each_family() {
        let mut world = World::default();
        let v6 = NodeRange { network: "fd00:42::".parse().unwrap(), bits: 56, node_bits: 64 };
        world.settings.node_ranges.push(v6);
        world.put("nodes", node("a"));
        world.put("nodes", node("b"));
        world.settle(LOOPS);
        assert_eq!(
            world.get("nodes", "", "b").unwrap()["spec"]["podCIDRs"],
            json!(["10.42.1.0/24", "fd00:42:0:1::/64"])
        );
    }
}
