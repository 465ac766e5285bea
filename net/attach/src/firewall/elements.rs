//! The published ports as elements of sets and maps. Pure.
//!
//! A port that one container has is one element, its endpoint the value. A port that several
//! share has [`SLOTS`] elements, each with the endpoint of one of them: a rule throws a die
//! and looks the slot up, so that no rule depends on who shares what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use netlink::nft::{Element, SetType};

use crate::publish::{PublishPolicy, PublishedPort};

/// The map of ports published on all addresses.
pub(super) const PUBLISHED: &str = "published";
/// The map of ports published on one address.
pub(super) const PUBLISHED_AT: &str = "published-at";
/// The map of ports that several containers share, on all addresses.
pub(super) const SPREAD: &str = "spread";
/// The map of those on one address.
pub(super) const SPREAD_AT: &str = "spread-at";
/// The set of ports, published on all addresses, whose packets the host's rules do not judge.
pub(super) const OPEN: &str = "open";
/// The set of those on one address.
pub(super) const OPEN_AT: &str = "open-at";
/// All of them.
pub(super) const SETS: [&str; 6] = [PUBLISHED_AT, PUBLISHED, SPREAD_AT, SPREAD, OPEN_AT, OPEN];

/// Among how many elements a shared port is divided: by a number that 2, 3, 4, 5 and 6 divide,
/// for equal shares.
pub(super) const SLOTS: u32 = 60;

/// Elements by set and key, with their values; those of a plain set have none.
pub(super) type Elements = BTreeMap<(&'static str, Vec<u8>), Option<Vec<u8>>>;

/// Ports with the addresses they lead to.
pub(crate) type Published = Vec<(PublishedPort, IpAddr)>;

/// Key and value types of one of [`SETS`], with addresses of this type.
pub(super) fn types(set: &str, address: SetType) -> (SetType, Option<SetType>) {
    let port = SetType::PROTOCOL.then(SetType::PORT);
    let at = address.then(port);
    let endpoint = Some(address.then(SetType::PORT));
    match set {
        PUBLISHED_AT => (at, endpoint),
        SPREAD => (port.then(SetType::MARK), endpoint),
        SPREAD_AT => (at.then(SetType::MARK), endpoint),
        OPEN => (port, None),
        OPEN_AT => (at, None),
        _ => (port, endpoint),
    }
}

/// The elements that say what is published.
pub(super) fn elements(published: &[(PublishedPort, IpAddr)]) -> Elements {
    let mut all = Elements::new();
    let mut groups: BTreeMap<Vec<u8>, Vec<(PublishedPort, IpAddr)>> = BTreeMap::new();
    for (port, to) in published {
        if port.shared {
            groups.entry(key(port)).or_default().push((*port, *to));
        } else {
            all.insert((named(port, PUBLISHED_AT, PUBLISHED), key(port)), Some(endpoint(port, *to)));
        }
        if port.policy == PublishPolicy::Docker {
            all.insert((named(port, OPEN_AT, OPEN), key(port)), None);
        }
    }
    for (key, mut group) in groups {
        group.sort_unstable_by_key(|(port, to)| (*to, port.container_port));
        for (slot, (port, to)) in (0..SLOTS).zip(group.iter().cycle()) {
            let key = [&key[..], &slot.to_ne_bytes()].concat();
            all.insert((named(port, SPREAD_AT, SPREAD), key), Some(endpoint(port, *to)));
        }
        // Who keeps to the host's policy is not opened by another.
        let strict = group.iter().find(|(port, _)| port.policy == PublishPolicy::Host);
        if let Some((port, _)) = strict {
            all.remove(&(named(port, OPEN_AT, OPEN), key));
        }
    }
    all
}

/// What changes of the elements when `ports` come to those already `published`.
///
/// Only the host ports that are concerned are looked at.
pub(super) fn difference(
    before: &[(PublishedPort, IpAddr)],
    after: &[(PublishedPort, IpAddr)],
) -> Difference {
    let (before, after) = (elements(before), elements(after));
    let pick = |of: &Elements, without: &Elements| -> Vec<(&'static str, Element)> {
        let new = of.iter().filter(|(key, value)| without.get(*key) != Some(*value));
        new.map(|((set, key), value)| (*set, element(key, value.as_deref()))).collect()
    };
    Difference { remove: pick(&before, &after), add: pick(&after, &before) }
}

/// Elements that go and elements that come.
pub(super) struct Difference {
    pub(super) remove: Vec<(&'static str, Element)>,
    pub(super) add: Vec<(&'static str, Element)>,
}

/// Those of `published` that are about the same host ports as `ports`.
pub(super) fn concerned(
    published: &[(PublishedPort, IpAddr)],
    ports: &[(PublishedPort, IpAddr)],
) -> Published {
    let keys: BTreeSet<Vec<u8>> = ports.iter().map(|(port, _)| key(port)).collect();
    published.iter().filter(|(port, _)| keys.contains(&key(port))).copied().collect()
}

pub(super) fn element(key: &[u8], value: Option<&[u8]>) -> Element {
    match value {
        Some(value) => Element::pair(key, value),
        None => Element::key(key),
    }
}

/// Where nft(8) shows a published port: `map ip strake published { tcp . 8080 : … }`.
pub(crate) fn endpoint_text(table: &str, port: &PublishedPort, container: IpAddr) -> String {
    let PublishedPort { protocol, host_ip, host_port, container_port, .. } = port;
    let family = if host_ip.is_ipv4() { "ip" } else { "ip6" };
    let (map, slot) = match port.shared {
        true => (named(port, SPREAD_AT, SPREAD), " . *"),
        false => (named(port, PUBLISHED_AT, PUBLISHED), ""),
    };
    let at = if host_ip.is_unspecified() { String::new() } else { format!("{host_ip} . ") };
    format!(
        "nft map {family} {table} {map} {{ {at}{protocol} . {host_port}{slot} : {container} . {container_port} }}"
    )
}

/// The set of the two that a port belongs to.
fn named(port: &PublishedPort, at: &'static str, all: &'static str) -> &'static str {
    if port.host_ip.is_unspecified() { all } else { at }
}

fn key(port: &PublishedPort) -> Vec<u8> {
    let mut key = Vec::with_capacity(28);
    if !port.host_ip.is_unspecified() {
        key.extend(octets(port.host_ip));
    }
    key.extend_from_slice(&[port.protocol.number(), 0, 0, 0]);
    key.extend_from_slice(&port.host_port.to_be_bytes());
    key.extend_from_slice(&[0, 0]);
    key
}

fn endpoint(port: &PublishedPort, to: IpAddr) -> Vec<u8> {
    let mut value = octets(to);
    value.extend_from_slice(&port.container_port.to_be_bytes());
    value.extend_from_slice(&[0, 0]);
    value
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use crate::publish::Protocol;

    use super::*;

    fn port(host_ip: &str, host_port: u16, shared: bool) -> PublishedPort {
        let host_ip = host_ip.parse().expect("address");
        PublishedPort { shared, ..PublishedPort::new(Protocol::Tcp, host_ip, host_port, 80) }
    }

    fn to(last: u8) -> IpAddr {
        [172, 30, 0, last].into()
    }

    #[test]
    fn one_containers_port_is_one_element() {
        let all = elements(&[(port("0.0.0.0", 8080, false), to(2)), (port("127.0.0.1", 81, false), to(2))]);
        let endpoint = vec![172, 30, 0, 2, 0, 80, 0, 0];
        let expected = [
            ((PUBLISHED, vec![6, 0, 0, 0, 0x1f, 0x90, 0, 0]), Some(endpoint.clone())),
            ((PUBLISHED_AT, vec![127, 0, 0, 1, 6, 0, 0, 0, 0, 81, 0, 0]), Some(endpoint)),
        ];
        assert_eq!(all, expected.into());
    }

    #[test]
    fn a_shared_port_is_divided_equally() {
        for count in 1..=6u8 {
            let published: Published = (0..count).map(|n| (port("0.0.0.0", 8080, true), to(n + 2))).collect();
            let all = elements(&published);
            assert_eq!(all.len(), SLOTS as usize);
            for n in 0..count {
                let mine = all.values().flatten().filter(|value| value[3] == n + 2).count();
                assert_eq!(mine, SLOTS as usize / usize::from(count), "{n} of {count}");
            }
        }
    }

    #[test]
    fn what_leaves_a_shared_port_leaves_no_slot() {
        let two = [(port("0.0.0.0", 8080, true), to(2)), (port("0.0.0.0", 8080, true), to(3))];
        let change = difference(&two, &two[1..]);
        // The slots of the first go to the second, which has its own already.
        assert_eq!((change.remove.len(), change.add.len()), (30, 30));
        let change = difference(&two[1..], &[]);
        assert_eq!((change.remove.len(), change.add.len()), (60, 0));
        let other = (port("0.0.0.0", 9090, false), to(4));
        assert_eq!(concerned(&[two[0], other, two[1]], &two[..1]), two);
    }

    #[test]
    fn a_port_is_open_if_all_who_share_it_say_so() {
        let open = |shared| PublishedPort { policy: PublishPolicy::Docker, ..port("0.0.0.0", 8080, shared) };
        let opened = |published: &[(PublishedPort, IpAddr)]| {
            elements(published).keys().filter(|(set, _)| *set == OPEN).count()
        };
        assert_eq!(opened(&[(open(false), to(2))]), 1);
        assert_eq!(opened(&[(open(true), to(2)), (open(true), to(3))]), 1);
        assert_eq!(opened(&[(open(true), to(2)), (port("0.0.0.0", 8080, true), to(3))]), 0);
        assert_eq!(opened(&[(port("0.0.0.0", 8080, true), to(2)), (open(true), to(3))]), 0);
    }
}
