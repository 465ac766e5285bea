//! From a request and what is there to all values of an attachment. Pure.

use std::net::Ipv4Addr;

use crate::addresses;
use crate::attachment::{Attachment, Decision, Request};
use crate::definition::Definition;
use crate::error::Error;
use crate::firewall::endpoint_text;
use crate::ledger::{Holder, Ledger};
use crate::links::{CONTAINER_LINK, mac_of};
use crate::publish::PublishedPort;

/// What was found out about the host.
pub(crate) struct Observed {
    /// A link name that is free.
    pub(crate) host_link: String,
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
    let Observed { host_link, mtu, ports } = observed;
    let address = address(request, network, ledger)?;
    let mac = request.mac.unwrap_or_else(|| mac_of(address)).to_string();
    let attachment = Attachment {
        id: request.id.clone(),
        name: request.name.clone(),
        network: network.name.clone(),
        bridge: network.bridge.clone(),
        host_link: host_link.clone(),
        link: CONTAINER_LINK.to_owned(),
        address,
        subnet: network.subnet,
        gateway: network.gateway,
        mac,
        mtu,
        ports: ports.clone(),
        warnings: Vec::new(),
        decisions: decisions(request, network, address, &host_link, &ports, mtu),
    };
    let mut entered = ledger.clone();
    entered.version = 1;
    entered.cursors.insert(network.name.clone(), address);
    entered.holders.push(Holder {
        id: request.id.clone(),
        name: request.name.clone(),
        network: network.name.clone(),
        address,
        host_link,
        ports,
    });
    Ok((attachment, entered))
}

/// The wanted address if it can be had, else the next free one.
pub(crate) fn address(request: &Request, network: &Definition, ledger: &Ledger) -> Result<Ipv4Addr, Error> {
    let (first, last) = addresses::span(network.subnet);
    let Some(wanted) = request.address else {
        let held = ledger.held(&network.name);
        let cursor = ledger.cursors.get(&network.name).copied();
        return addresses::next_free(network.subnet, network.gateway, &held, cursor).ok_or_else(|| {
            Error::AddressesUsedUp {
                network: network.name.clone(),
                subnet: network.subnet,
                held: held.len(),
                capacity: addresses::capacity(network.subnet),
            }
        });
    };
    if wanted == network.gateway || wanted < first || wanted > last {
        return Err(Error::AddressOutside { address: wanted, network: network.name.clone(), first, last });
    }
    match ledger.holder_of(&network.name, wanted) {
        Some(holder) => Err(Error::AddressInUse { address: wanted, owner: holder.name.clone() }),
        None => Ok(wanted),
    }
}

fn decisions(
    request: &Request,
    network: &Definition,
    address: Ipv4Addr,
    host_link: &str,
    ports: &[PublishedPort],
    mtu: u32,
) -> Vec<Decision> {
    let Definition { bridge, subnet, gateway, table, why, .. } = network;
    let prefix = subnet.prefix();
    let address_why = match request.address {
        Some(_) => "asked for with --ip",
        None => "the next free address after the one given last",
    };
    let mut all = vec![
        decision(
            "network",
            network.name.clone(),
            format!("bridge {bridge}, a port of it is {host_link}"),
            "its members are in one broadcast domain; other networks are reached by published ports only",
        ),
        decision("subnet", subnet.to_string(), format!("address {gateway}/{prefix} of {bridge}"), why),
        decision(
            "address",
            format!("{address}/{prefix}"),
            format!("{CONTAINER_LINK} in the container"),
            address_why,
        ),
        decision(
            "default route",
            format!("via {gateway}"),
            "main routing table in the container".to_owned(),
            "the bridge is the container's router",
        ),
        decision(
            "mtu",
            mtu.to_string(),
            format!("{bridge}, {host_link}, {CONTAINER_LINK}"),
            "that of the link which the host's default route leaves by",
        ),
    ];
    all.extend(rule_decisions(network));
    for port in ports {
        let what = format!("publish {}:{}/{}", port.host_ip, port.host_port, port.protocol);
        let value = format!("{address}:{}", port.container_port);
        let why = "redirected before routing, after the host's own input rules were asked";
        all.push(decision(&what, value, endpoint_text(table, port, address), why));
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
            version: 1,
            name: "bridge".to_owned(),
            bridge: "strake0".to_owned(),
            table: "strake".to_owned(),
            subnet: "172.30.0.0/16".parse().expect("valid"),
            gateway: Ipv4Addr::new(172, 30, 0, 1),
            why: "the default".to_owned(),
        }
    }

    fn request(id: &str, address: Option<&str>) -> Request {
        let mut request = Request::new(ContainerId::parse(id).expect("valid"), id);
        request.address = address.map(|a| a.parse().expect("address"));
        request
    }

    fn observed(ports: Vec<PublishedPort>) -> Observed {
        Observed { host_link: "sk0123456789ab".to_owned(), mtu: 1400, ports }
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
    fn the_plan_names_all_values() {
        let ports = vec![PublishedPort {
            protocol: crate::Protocol::Tcp,
            host_ip: Ipv4Addr::UNSPECIFIED,
            host_port: 8080,
            container_port: 80,
        }];
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
