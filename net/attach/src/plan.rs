//! From a request and what is there to all values of an attachment. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addresses;
use crate::attachment::{Attached6, Attachment, Decision, Request};
use crate::cidr::Cidr;
use crate::definition::{Definition, Driver};
use crate::error::Error;
use crate::firewall::endpoint_text;
use crate::ledger::{Holder, Ledger};
use crate::links::mac_of;
use crate::publish::{Front, PublishPolicy, PublishedPort};

/// What was found out about the host.
pub(crate) struct Observed {
    /// A link name that is free.
    pub(crate) host_link: String,
    /// A link name that is free in the container.
    pub(crate) link: String,
    /// The inode of the container's network namespace.
    pub(crate) namespace: u64,
    /// The bridge's largest packet.
    pub(crate) mtu: u32,
    /// The host ports that were found free.
    pub(crate) ports: Vec<PublishedPort>,
}

/// Decides everything: the attachment, and the ledger with it entered.
pub(crate) fn plan(
    request: &Request,
    network: &Definition,
    observed: Observed,
    ledger: &Ledger,
) -> Result<(Attachment, Ledger), Error> {
    let Observed { host_link, link, namespace, mtu, ports } = observed;
    let address = address(request, network, ledger)?;
    let ipv6 = half6(request, network, ledger)?;
    let mac = request.mac.unwrap_or_else(|| mac_of(address)).to_string();
    let attachment = Attachment {
        id: request.id.clone(),
        name: request.name.clone(),
        network: network.name.clone(),
        network_id: network.id.clone(),
        bridge: network.bridge.clone(),
        host_link: host_link.clone(),
        link: link.clone(),
        address,
        subnet: network.subnet,
        gateway: network.gateway,
        ipv6,
        internal: network.internal,
        gateway_priority: request.gateway_priority,
        aliases: request.aliases.clone(),
        servers: request.servers.clone(),
        process: request.process,
        namespace,
        mac,
        mtu,
        ports: ports.clone(),
        relayed: request.front == Front::Relay,
        warnings: Vec::new(),
        decisions: decisions(request, network, (address, ipv6), (&host_link, &link), &ports, mtu),
    };
    let mut entered = ledger.clone();
    entered.version = 1;
    entered.cursors.insert(network.name.clone(), address);
    if let Some(six) = ipv6 {
        entered.cursors6.insert(network.name.clone(), six.address);
    }
    entered.holders.push(Holder {
        id: request.id.clone(),
        name: request.name.clone(),
        network: network.name.clone(),
        address,
        address6: ipv6.map(|six| six.address),
        host_link,
        ports,
        withdrawn: false,
        outside: request.front == Front::Outside,
        chained: None,
    });
    Ok((attachment, entered))
}

/// The name of a container's next link: the lowest number that its others leave.
pub(crate) fn free_link(others: &[Attachment]) -> String {
    let mut number = 0;
    loop {
        let name = format!("{}{number}", crate::links::CONTAINER_LINKS);
        if !others.iter().any(|other| other.link == name) {
            return name;
        }
        number += 1;
    }
}

/// The wanted IPv6 address if it can be had, else the next free one; nothing in a network
/// without.
fn half6(request: &Request, network: &Definition, ledger: &Ledger) -> Result<Option<Attached6>, Error> {
    let Some(half) = &network.ipv6 else {
        return match request.address6 {
            Some(_) => Err(Error::NoIpv6 { network: network.name.clone() }),
            None => Ok(None),
        };
    };
    let (subnet, gateway) = (half.subnet, half.gateway);
    let held = || {
        let mut held = ledger.held6(&network.name);
        held.extend(network.auxiliary.values().filter_map(|address| match address {
            IpAddr::V6(six) => Some(*six),
            IpAddr::V4(_) => None,
        }));
        held
    };
    let cursor = ledger.cursors6.get(&network.name).copied();
    let address = match request.address6 {
        Some(wanted) => {
            if !network.chosen.subnet6 {
                return Err(Error::AddressNotChosen { network: network.name.clone() });
            }
            if wanted == gateway || !subnet.contains(wanted) || wanted == subnet.network() {
                let network = network.name.clone();
                return Err(Error::AddressOutside6 { address: wanted, network, subnet });
            }
            not_auxiliary(network, wanted.into())?;
            if let Some(holder) = ledger.holder_of6(&network.name, wanted) {
                return Err(Error::AddressInUse { address: wanted.into(), owner: holder.name.clone() });
            }
            wanted
        }
        None => addresses::next_free6(subnet, gateway, &held(), cursor).ok_or_else(|| {
            let why = format!("network {} has no free address in {subnet}", network.name);
            Error::InvalidIpam { network: network.name.clone(), why }
        })?,
    };
    Ok(Some(Attached6 { address, subnet, gateway }))
}

/// The wanted address if it can be had, else the next free one.
pub(crate) fn address(request: &Request, network: &Definition, ledger: &Ledger) -> Result<Ipv4Addr, Error> {
    let (first, last) = addresses::span(network.subnet);
    let Some(wanted) = request.address else {
        let mut held = ledger.held(&network.name);
        held.extend(network.auxiliary.values().filter_map(|address| match address {
            IpAddr::V4(four) => Some(*four),
            IpAddr::V6(_) => None,
        }));
        let cursor = ledger.cursors.get(&network.name).copied();
        let pool = addresses::part(network.subnet, network.pool());
        return addresses::next_of(pool, network.gateway, &held, cursor).ok_or_else(|| {
            Error::AddressesUsedUp {
                network: network.name.clone(),
                subnet: network.pool(),
                held: held.len(),
                capacity: addresses::capacity(network.pool()),
            }
        });
    };
    if !network.is_default() && !network.chosen.subnet {
        return Err(Error::AddressNotChosen { network: network.name.clone() });
    }
    if wanted == network.gateway || wanted < first || wanted > last {
        return Err(Error::AddressOutside { address: wanted, network: network.name.clone(), first, last });
    }
    not_auxiliary(network, wanted.into())?;
    match ledger.holder_of(&network.name, wanted) {
        Some(holder) => Err(Error::AddressInUse { address: IpAddr::V4(wanted), owner: holder.name.clone() }),
        None => Ok(wanted),
    }
}

/// What `--aux-address` keeps for somebody else is in use.
fn not_auxiliary(network: &Definition, address: IpAddr) -> Result<(), Error> {
    match network.auxiliary_of(address) {
        Some(name) => Err(Error::AddressInUse { address, owner: format!("--aux-address {name}") }),
        None => Ok(()),
    }
}

fn decisions(
    request: &Request,
    network: &Definition,
    (address, ipv6): (Ipv4Addr, Option<Attached6>),
    (host_link, link): (&str, &str),
    ports: &[PublishedPort],
    mtu: u32,
) -> Vec<Decision> {
    if let Driver::Macvlan(macvlan) = &network.driver {
        return macvlan_decisions(request, (network, &macvlan.parent), (address, ipv6), link, mtu);
    }
    let Definition { bridge, subnet, gateway, table, why, .. } = network;
    let prefix = subnet.prefix();
    let mut all = vec![
        decision(
            "network",
            network.name.clone(),
            format!("bridge {bridge}, a port of it is {host_link}"),
            "its members are in one broadcast domain; other networks are reached by published ports only",
        ),
        decision("subnet", subnet.to_string(), format!("address {gateway}/{prefix} of {bridge}"), why),
        address_decision(request, subnet, address, link),
        decision(
            "default route",
            format!("via {gateway}"),
            "main routing table in the container".to_owned(),
            "the bridge is the container's router",
        ),
        decision(
            "mtu",
            mtu.to_string(),
            format!("{bridge}, {host_link}, {link}"),
            match network.mtu {
                Some(_) => "asked for with the network's option",
                None => "that of the link which the host's default route leaves by",
            },
        ),
    ];
    if let Some(six) = ipv6 {
        let why = "the network has IPv6; nobody else holds it, so it is used at once";
        let value = format!("{}/{}", six.address, six.subnet.prefix());
        all.push(decision("IPv6 address", value, format!("{link} in the container"), why));
    }
    all.extend(rule_decisions(network));
    all.extend(ports.iter().map(|port| port_decision(port, request.front, table, (address, ipv6))));
    all
}

/// How a published port leads to the container.
fn port_decision(
    port: &PublishedPort,
    front: Front,
    table: &str,
    (address, ipv6): (Ipv4Addr, Option<Attached6>),
) -> Decision {
    let what = format!("publish {}/{}", port.host(), port.protocol);
    let to = match (port.host_ip, ipv6) {
        (IpAddr::V6(_), Some(six)) if front != Front::Outside => IpAddr::V6(six.address),
        _ => IpAddr::V4(address),
    };
    let value = SocketAddr::new(to, port.container_port).to_string();
    if port.host_ip == Ipv6Addr::LOCALHOST && front == Front::Relay {
        let why = "the kernel does not send on what is for ::1";
        return decision(&what, value, "a socket of the companion".to_owned(), why);
    }
    if front == Front::Outside {
        let here = PublishedPort { host_ip: Ipv4Addr::UNSPECIFIED.into(), ..*port };
        let why = "your network's process listens there, and sends it here";
        return decision(&what, value, endpoint_text(table, &here, to), why);
    }
    let why = match port.policy {
        PublishPolicy::Host => "redirected before routing, after the host's own input rules were asked",
        PublishPolicy::Docker => {
            "redirected before routing; by --publish-policy docker the host's input rules are not asked"
        }
    };
    decision(&what, value, endpoint_text(table, port, to), why)
}

/// Which address, and who chose it.
fn address_decision(request: &Request, subnet: &Cidr, address: Ipv4Addr, link: &str) -> Decision {
    let why = match request.address {
        Some(_) => "asked for with --ip",
        None => "the next free address after the one given last",
    };
    decision("address", format!("{address}/{}", subnet.prefix()), format!("{link} in the container"), why)
}

/// The same in a macvlan network, which has no bridge and no rules.
fn macvlan_decisions(
    request: &Request,
    (network, parent): (&Definition, &str),
    (address, ipv6): (Ipv4Addr, Option<Attached6>),
    link: &str,
    mtu: u32,
) -> Vec<Decision> {
    let Definition { subnet, gateway, why, .. } = network;
    let inside = || format!("{link} in the container");
    let mut all = vec![
        decision(
            "network",
            network.name.clone(),
            format!("{link} in the container, on {parent} of the host"),
            "a macvlan: the container is a machine of the network that the host's link is in",
        ),
        decision("subnet", subnet.to_string(), parent.to_owned(), why),
        address_decision(request, subnet, address, link),
        decision(
            "default route",
            format!("via {gateway}"),
            "main routing table in the container".to_owned(),
            "the network's own router; nothing of the host stands between",
        ),
        decision("mtu", mtu.to_string(), inside(), "that of the host's link"),
    ];
    if let Some(six) = ipv6 {
        let value = format!("{}/{}", six.address, six.subnet.prefix());
        all.push(decision("IPv6 address", value, inside(), "the network has IPv6"));
    }
    all
}

/// What the rules of the table do for every container of the network.
fn rule_decisions(network: &Definition) -> [Decision; 3] {
    let Definition { bridge, subnet, table, .. } = network;
    [
        decision(
            "masquerade",
            format!("from {subnet} by any link but {bridge}"),
            format!("nft chain ip {table} masquerade"),
            "containers leave with the host's address, which others can answer",
        ),
        decision(
            "isolation",
            format!("into {bridge}: answers, published ports, members"),
            format!("nft chain ip {table} isolate"),
            "nothing else of the host's networks reaches a container",
        ),
        decision(
            "loopback",
            "127.0.0.0/8 of the host is not reachable from containers".to_owned(),
            format!("nft chain ip {table} no-loopback; sysctl net.ipv4.conf.{bridge}.route_localnet = 1"),
            "the sysctl lets the host reach published ports by 127.0.0.1, the chain closes the way back",
        ),
    ]
}

fn decision(what: &str, value: String, held_in: String, why: &str) -> Decision {
    Decision { what: what.to_owned(), value, held_in, why: why.to_owned() }
}

#[cfg(test)]
mod tests {
    use base::ContainerId;

    use super::*;

    fn network() -> Definition {
        Definition {
            bridge: "strake0".to_owned(),
            table: "strake".to_owned(),
            why: "the default".to_owned(),
            ..Definition::plain("bridge", "172.30.0.0/16".parse().expect("valid"))
        }
    }

    fn request(id: &str, address: Option<&str>) -> Request {
        let mut request = Request::new(ContainerId::parse(id).expect("valid"), id);
        request.address = address.map(|a| a.parse().expect("address"));
        request
    }

    fn observed(ports: Vec<PublishedPort>) -> Observed {
        let (host_link, link) = ("sk0123456789ab".to_owned(), "eth0".to_owned());
        Observed { host_link, link, namespace: 1, mtu: 1400, ports }
    }

    #[track_caller]
    fn check(ledger: &Ledger, wanted: Option<&str>, expected: &str) -> Ledger {
        match plan(&request("c", wanted), &network(), observed(Vec::new()), ledger) {
            Ok((attachment, ledger)) => {
                assert_eq!(attachment.address.to_string(), expected);
                ledger
            }
            Err(error) => {
                assert!(error.to_string().starts_with(expected), "{error}");
                ledger.clone()
            }
        }
    }

    #[test]
    fn gives_addresses_in_order_and_on_request() {
        let ledger = check(&Ledger::default(), None, "172.30.0.2");
        let ledger = check(&ledger, None, "172.30.0.3");
        let ledger = check(&ledger, Some("172.30.9.9"), "172.30.9.9");
        check(&ledger, Some("172.30.9.9"), "address 172.30.9.9 is held by container c;");
        check(&ledger, Some("172.30.0.1"), "address 172.30.0.1 cannot be given in network bridge");
        check(&ledger, Some("10.0.0.1"), "address 10.0.0.1 cannot be given in network bridge");
        check(&ledger, Some("172.30.255.255"), "address 172.30.255.255 cannot be given");
    }

    #[test]
    fn ipv6_and_parts_of_ranges_where_the_network_has_them() {
        let mut network = network();
        network.name = "web".to_owned();
        network.ip_range = "172.30.7.0/24".parse().ok();
        let subnet: crate::Cidr6 = "fd00:7::/64".parse().expect("a range");
        let gateway = "fd00:7::1".parse().expect("an address");
        network.ipv6 = Some(crate::definition::Ipv6Half { subnet, gateway });
        let plan = |change: &dyn Fn(&mut Request), network: &Definition| {
            let mut request = request("c", None);
            change(&mut request);
            plan(&request, network, observed(Vec::new()), &Ledger::default())
        };
        let (attached, ledger) = plan(&|_| {}, &network).expect("free");
        let six = attached.ipv6.expect("it has one");
        assert_eq!(
            (attached.address, six.address.to_string().as_str()),
            (Ipv4Addr::new(172, 30, 7, 0), "fd00:7::2")
        );
        assert_eq!(ledger.held6("web").len(), 1);
        let refused = |change: &dyn Fn(&mut Request), network: &Definition| {
            plan(change, network).expect_err("refused").to_string()
        };
        let wants4 = |request: &mut Request| request.address = Some(Ipv4Addr::new(172, 30, 1, 9));
        let wants6 = |request: &mut Request| request.address6 = "fd00:7::9".parse().ok();
        assert!(refused(&wants4, &network).starts_with("user specified IP address is supported only"));
        assert!(refused(&wants6, &network).starts_with("user specified IP address is supported only"));
        network.chosen = crate::definition::Chosen { subnet: true, subnet6: true };
        assert_eq!(plan(&wants4, &network).expect("free").0.address, Ipv4Addr::new(172, 30, 1, 9));
        let six = plan(&wants6, &network).expect("free").0.ipv6.expect("it has one");
        assert_eq!(six.address.to_string(), "fd00:7::9");
        let outside = |request: &mut Request| request.address6 = "fd00:8::9".parse().ok();
        assert!(refused(&outside, &network).contains("fd00:8::9 cannot be given in network web"));
        network.ipv6 = None;
        assert_eq!(refused(&wants6, &network), "network web has no IPv6; make it with --ipv6");
    }

    #[test]
    fn links_of_a_container_are_numbered() {
        let attached = |link: &str| {
            let observed = Observed { link: link.to_owned(), ..observed(Vec::new()) };
            plan(&request("c", None), &network(), observed, &Ledger::default()).expect("free").0
        };
        assert_eq!(free_link(&[]), "eth0");
        assert_eq!(free_link(&[attached("eth0"), attached("eth1")]), "eth2");
        assert_eq!(free_link(&[attached("eth1")]), "eth0");
    }

    #[test]
    fn the_plan_names_all_values() {
        let ports = vec![PublishedPort::new(crate::Protocol::Tcp, [0, 0, 0, 0].into(), 8080, 80)];
        let (attachment, ledger) =
            plan(&request("0123456789abcdef", None), &network(), observed(ports), &Ledger::default())
                .expect("plan");
        assert_eq!(attachment.mac, "02:42:ac:1e:00:02");
        assert_eq!(attachment.host_link, "sk0123456789ab");
        assert_eq!(ledger.published().count(), 1);
        let publish = attachment.decisions.last().expect("some");
        assert_eq!(publish.what, "publish 0.0.0.0:8080/tcp");
        assert_eq!(publish.held_in, "nft map ip strake published { tcp . 8080 : 172.30.0.2 . 80 }");
    }
}
