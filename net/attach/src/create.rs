//! From what a user asks of a new network to its definition. Pure.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::addresses;
use crate::cidr::Cidr;
use crate::cidr6::Cidr6;
use crate::definition::{Chosen, Definition, Driver, Ipv6Half, is_name};
use crate::error::Error;

/// What a user asks of a new network.
#[derive(Clone, Debug, Default)]
pub struct NewNetwork {
    /// Its name.
    pub name: String,
    /// Its id: 64 hexadecimal digits that nobody can guess.
    pub id: String,
    /// When it is made, in nanoseconds since 1970.
    pub created_nanos: u64,
    /// What carries it.
    pub driver: Driver,
    /// Its range; one that is free without.
    pub subnet: Option<Cidr>,
    /// The bridge's address; the first of the range without.
    pub gateway: Option<Ipv4Addr>,
    /// Where addresses are given from without a wish.
    pub ip_range: Option<Cidr>,
    /// Addresses in its ranges that are never given, by a name of the user's.
    pub auxiliary: BTreeMap<String, IpAddr>,
    /// Whether it has IPv6 too.
    pub ipv6: bool,
    /// Its IPv6 range; a unique local one without.
    pub subnet6: Option<Cidr6>,
    /// The bridge's IPv6 address.
    pub gateway6: Option<Ipv6Addr>,
    /// Whether nothing leads out of it.
    pub internal: bool,
    /// Accepted and shown; it means something in a swarm only.
    pub attachable: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Driver options: docker's keys, or `mtu`.
    pub options: BTreeMap<String, String>,
}

/// What the host and the other networks take.
pub(crate) struct Taken<'a> {
    /// Ranges of the host's routes and addresses.
    pub(crate) host: &'a [Cidr],
    /// All networks there are.
    pub(crate) networks: &'a [Definition],
    /// Our table.
    pub(crate) table: &'a str,
}

/// Decides everything about a new network.
pub(crate) fn define(new: &NewNetwork, taken: &Taken<'_>) -> Result<Definition, Error> {
    check_name(&new.name, taken.networks)?;
    let options = options(new)?;
    let carrier = carrier(new, options.bridge, taken)?;
    let (subnet, why) = range(new, taken)?;
    let gateway = match new.gateway {
        None => subnet.nth(1).unwrap_or(subnet.network()),
        Some(gateway) if subnet.contains(gateway) => gateway,
        Some(gateway) => {
            let why = format!("no matching subnet for gateway {gateway}");
            return Err(Error::InvalidIpam { network: new.name.clone(), why });
        }
    };
    if let Some(range) = new.ip_range.filter(|range| !inside(range, &subnet)) {
        let why = format!("no matching subnet for range {range}");
        return Err(Error::InvalidIpam { network: new.name.clone(), why });
    }
    if addresses::capacity(subnet) == 0 {
        let why = format!("{subnet} has no address to give beside the gateway's; use a /30 or larger");
        return Err(Error::InvalidIpam { network: new.name.clone(), why });
    }
    let ipv6 = if new.ipv6 || new.subnet6.is_some() { Some(half6(new, taken)?) } else { None };
    let is_inside = |address: &IpAddr| match address {
        IpAddr::V4(four) => subnet.contains(*four),
        IpAddr::V6(six) => ipv6.as_ref().is_some_and(|half| half.subnet.contains(*six)),
    };
    if let Some(address) = new.auxiliary.values().find(|address| !is_inside(address)) {
        let why = format!("no matching subnet for aux-address {address}");
        return Err(Error::InvalidIpam { network: new.name.clone(), why });
    }
    Ok(Definition {
        version: 1,
        name: new.name.clone(),
        id: new.id.clone(),
        created_nanos: new.created_nanos,
        driver: new.driver.clone(),
        bridge: carrier,
        table: taken.table.to_owned(),
        subnet,
        gateway,
        ip_range: new.ip_range,
        auxiliary: new.auxiliary.clone(),
        ipv6,
        internal: new.internal,
        mtu: options.mtu,
        masquerade: options.masquerade,
        attachable: new.attachable,
        labels: new.labels.clone(),
        options: new.options.clone(),
        chosen: Chosen { subnet: new.subnet.is_some(), subnet6: new.subnet6.is_some() },
        why,
    })
}

/// Networks that are always there.
pub(crate) const PREDEFINED: [&str; 3] = [crate::DEFAULT_NETWORK, "host", "none"];

pub(crate) fn check_name(name: &str, networks: &[Definition]) -> Result<(), Error> {
    if !is_name(name) {
        return Err(Error::InvalidNetworkName { name: name.to_owned() });
    }
    if networks.iter().any(|network| network.name == name) {
        return Err(Error::NetworkExists { name: name.to_owned() });
    }
    if PREDEFINED.contains(&name) || name == "default" {
        return Err(Error::PredefinedName { name: name.to_owned() });
    }
    Ok(())
}

/// The bridge that is made, or the host's link that a macvlan network is on.
fn carrier(new: &NewNetwork, bridge: String, taken: &Taken<'_>) -> Result<String, Error> {
    let Driver::Macvlan(macvlan) = &new.driver else { return Ok(bridge) };
    let parent = macvlan.parent.clone();
    match taken.networks.iter().find(|network| network.bridge == parent) {
        Some(other) => Err(Error::ParentInUse { other: other.name.clone(), parent }),
        None => Ok(parent),
    }
}

/// The range that was asked for, or the first that nothing meets.
fn range(new: &NewNetwork, taken: &Taken<'_>) -> Result<(Cidr, String), Error> {
    let of_networks: Vec<Cidr> = taken.networks.iter().map(|network| network.subnet).collect();
    if let Some(subnet) = new.subnet {
        return match taken.networks.iter().find(|network| network.subnet.overlaps(&subnet)) {
            Some(other) => Err(Error::PoolOverlaps {
                subnet: subnet.to_string(),
                other: other.name.clone(),
                range: other.subnet.to_string(),
            }),
            None => Ok((subnet, "asked for with --subnet".to_owned())),
        };
    }
    let all: Vec<Cidr> = of_networks.iter().chain(taken.host).copied().collect();
    let free = addresses::pools().find(|pool| addresses::collision(*pool, &all).is_none());
    let (first, last) = (addresses::PREFERRED, addresses::pools().last().unwrap_or(addresses::PREFERRED));
    let subnet = free.ok_or_else(|| Error::NoFreeSubnet { network: new.name.clone(), first, last })?;
    Ok((subnet, "the first range that no network and no route of this host meets".to_owned()))
}

fn half6(new: &NewNetwork, taken: &Taken<'_>) -> Result<Ipv6Half, Error> {
    let subnet = match new.subnet6 {
        Some(subnet) => subnet,
        None => Cidr6::unique_local(random_of(&new.id)),
    };
    let meets = |network: &&Definition| network.ipv6.as_ref().is_some_and(|six| six.subnet.overlaps(&subnet));
    if let Some(other) = taken.networks.iter().find(meets) {
        let range = other.ipv6.as_ref().map_or_else(String::new, |six| six.subnet.to_string());
        return Err(Error::PoolOverlaps { subnet: subnet.to_string(), other: other.name.clone(), range });
    }
    if subnet.prefix() > 126 {
        let why = format!("{subnet} has no address to give beside the gateway's; use a /126 or larger");
        return Err(Error::InvalidIpam { network: new.name.clone(), why });
    }
    let first = Ipv6Addr::from_bits(subnet.network().to_bits() + 1);
    let gateway = new.gateway6.unwrap_or(first);
    if !subnet.contains(gateway) {
        let why = format!("no matching subnet for gateway {gateway}");
        return Err(Error::InvalidIpam { network: new.name.clone(), why });
    }
    Ok(Ipv6Half { subnet, gateway })
}

/// The id is random: its first digits do for a range too.
fn random_of(id: &str) -> [u8; 7] {
    let digest = base::Digest::sha256_of(id.as_bytes());
    let mut bytes = [0; 7];
    for (at, byte) in bytes.iter_mut().enumerate() {
        let pair = digest.hex().get(at * 2..at * 2 + 2).unwrap_or("00");
        *byte = u8::from_str_radix(pair, 16).unwrap_or(0);
    }
    bytes
}

fn inside(inner: &Cidr, outer: &Cidr) -> bool {
    outer.prefix() <= inner.prefix() && outer.contains(inner.network())
}

/// What the driver options say.
struct Options {
    bridge: String,
    mtu: Option<u32>,
    masquerade: bool,
}

/// Reads docker's driver options; those that we do not know are kept and mean nothing, as
/// in docker, but what would be a lie is refused.
fn options(new: &NewNetwork) -> Result<Options, Error> {
    let mut options = Options { bridge: bridge_name(&new.id), mtu: None, masquerade: true };
    for (key, value) in &new.options {
        let wrong = |why: &str| Error::InvalidNetworkOption {
            option: format!("{key}={value}"),
            network: new.name.clone(),
            why: why.to_owned(),
        };
        match key.as_str() {
            "com.docker.network.bridge.name" => {
                let fits = !value.is_empty() && value.len() <= LINK_NAME_MAX;
                let plain = value.bytes().all(|b| b.is_ascii_graphic() && b != b'/' && b != b':');
                if !fits || !plain || value == "." || value == ".." {
                    return Err(wrong("a link's name has 1 to 15 printable characters"));
                }
                options.bridge.clone_from(value);
            }
            "com.docker.network.driver.mtu" | "mtu" => {
                let mtu = value.parse().ok().filter(|mtu| (68..=65535).contains(mtu));
                options.mtu = Some(mtu.ok_or_else(|| wrong("it is a number from 68 to 65535"))?);
            }
            "com.docker.network.bridge.enable_ip_masquerade" => {
                options.masquerade = boolean(value).ok_or_else(|| wrong("it is true or false"))?;
            }
            "com.docker.network.bridge.enable_icc" => {
                let reachable = boolean(value).ok_or_else(|| wrong("it is true or false"))?;
                if !reachable {
                    return Err(wrong(
                        "members of a network always reach each other; give each a network of its own",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(options)
}

fn boolean(text: &str) -> Option<bool> {
    match text {
        "true" | "1" | "t" | "T" | "TRUE" | "True" => Some(true),
        "false" | "0" | "f" | "F" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// The link name of a network's bridge: told from its id, and by its beginning ours.
fn bridge_name(id: &str) -> String {
    format!("strake{}", id.get(..BRIDGE_DIGITS).unwrap_or(id))
}

/// `IFNAMSIZ` without its zero.
const LINK_NAME_MAX: usize = 15;
/// What is left of a link's name behind `strake`.
const BRIDGE_DIGITS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;

    fn new(change: impl FnOnce(&mut NewNetwork)) -> NewNetwork {
        let mut new =
            NewNetwork { name: "web".to_owned(), id: "0123456789ab".repeat(6), ..Default::default() };
        change(&mut new);
        new
    }

    fn decide(new: &NewNetwork, host: &[&str], networks: &[Definition]) -> Result<Definition, String> {
        let host: Vec<Cidr> = host.iter().map(|text| text.parse().expect("a range")).collect();
        define(new, &Taken { host: &host, networks, table: "strake" }).map_err(|error| error.to_string())
    }

    #[track_caller]
    fn check(change: impl FnOnce(&mut NewNetwork), host: &[&str], expected: &str) {
        let other = NewNetwork {
            name: "other".to_owned(),
            id: "f".repeat(64),
            subnet: Some("10.9.0.0/16".parse().expect("a range")),
            ..Default::default()
        };
        let other = decide(&other, &[], &[]).expect("it can be");
        let said = match decide(&new(change), host, &[other]) {
            Ok(made) => format!("{} via {}", made.subnet, made.gateway),
            Err(error) => error,
        };
        assert!(said.starts_with(expected), "{said}");
    }

    #[test]
    fn ranges_are_free_or_asked_for() {
        check(|_| {}, &[], "172.18.0.0/16 via 172.18.0.1");
        check(|_| {}, &["172.18.5.0/24", "172.16.0.0/12"], "192.168.0.0/20 via 192.168.0.1");
        check(|new| new.subnet = "10.1.2.0/24".parse().ok(), &["10.0.0.0/8"], "10.1.2.0/24 via 10.1.2.1");
        check(
            |new| new.subnet = "10.9.3.0/24".parse().ok(),
            &[],
            "invalid pool request: Pool overlaps with other one on this address space",
        );
        check(
            |new| {
                new.subnet = "10.1.2.0/24".parse().ok();
                new.gateway = Some(Ipv4Addr::new(10, 1, 3, 1));
            },
            &[],
            "no matching subnet for gateway 10.1.3.1",
        );
        check(
            |new| {
                new.subnet = "10.1.2.0/24".parse().ok();
                new.ip_range = "10.1.0.0/16".parse().ok();
            },
            &[],
            "no matching subnet for range 10.1.0.0/16",
        );
        check(|new| new.subnet = "10.1.2.0/31".parse().ok(), &[], "10.1.2.0/31 via");
    }

    #[test]
    fn names_that_are_taken() {
        check(|new| new.name = "other".to_owned(), &[], "network with name other already exists");
        check(
            |new| new.name = "host".to_owned(),
            &[],
            "operation is not permitted on predefined host network",
        );
        check(|new| new.name = "a b".to_owned(), &[], "network name \"a b\" is not valid");
    }

    #[test]
    fn options_are_dockers() {
        let with = |key: &str, value: &str| {
            decide(&new(|new| drop(new.options.insert(key.to_owned(), value.to_owned()))), &[], &[])
        };
        assert_eq!(with("com.docker.network.bridge.name", "br-x").expect("fits").bridge, "br-x");
        assert_eq!(with("com.docker.network.driver.mtu", "1400").expect("fits").mtu, Some(1400));
        assert_eq!(with("mtu", "9000").expect("fits").mtu, Some(9000));
        assert!(!with("com.docker.network.bridge.enable_ip_masquerade", "false").expect("fits").masquerade);
        assert_eq!(with("com.example.other", "x").expect("kept").bridge, "strake012345678");
        for (key, value) in [
            ("com.docker.network.bridge.name", "a-name-that-is-too-long"),
            ("com.docker.network.bridge.name", "a/b"),
            ("mtu", "12"),
            ("com.docker.network.bridge.enable_icc", "false"),
        ] {
            assert!(with(key, value).is_err(), "{key}={value}");
        }
    }

    #[test]
    fn one_macvlan_network_a_link() {
        let macvlan = crate::Macvlan { parent: "eth0".to_owned(), mode: crate::MacvlanMode::Bridge };
        let on = |name: &str| {
            new(|new| {
                new.name = name.to_owned();
                new.driver = Driver::Macvlan(macvlan.clone());
            })
        };
        let first = decide(&on("lan"), &[], &[]).expect("it can be");
        assert_eq!((first.driver.name(), first.bridge.as_str()), ("macvlan", "eth0"));
        let error = decide(&on("lan2"), &[], &[first]).expect_err("taken");
        assert!(error.starts_with("network lan is already using parent interface eth0"), "{error}");
    }

    #[test]
    fn ipv6_has_a_range_of_its_own() {
        let made = decide(&new(|new| new.ipv6 = true), &[], &[]).expect("it can be");
        let six = made.ipv6.expect("it has one");
        assert!(six.subnet.to_string().starts_with("fd") && six.subnet.prefix() == 64, "{}", six.subnet);
        assert!(six.gateway.to_string().ends_with("::1"), "{}", six.gateway);
        let made =
            decide(&new(|new| new.subnet6 = "2001:db8::/64".parse().ok()), &[], &[]).expect("it can be");
        assert_eq!(made.ipv6.expect("it has one").gateway.to_string(), "2001:db8::1");
    }
}
