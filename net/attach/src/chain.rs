//! Networks that are carried by plugins of others, by the Container Network Interface: from a
//! configuration to a network, from a request to a call, from a result to an attachment. Pure.

use std::ffi::OsString;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use cni::{Capabilities, DnsCapability, NetworkList, NetworkResult};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::attachment::{Attached6, Attachment, Decision, Request};
use crate::cidr::Cidr;
use crate::cidr6::Cidr6;
use crate::definition::{Chosen, Definition, Driver};
use crate::publish::PublishedPort;

/// Where the configurations and the plugins of CNI networks are.
#[derive(Clone, Debug)]
pub struct ChainSettings {
    /// Whose configurations are networks without being made.
    pub configurations: PathBuf,
    /// Where plugins are, the first that has one wins.
    pub plugins: Vec<PathBuf>,
    /// The `PATH` that plugins get.
    pub path: Option<OsString>,
}

impl Default for ChainSettings {
    fn default() -> Self {
        Self {
            configurations: cni::DEFAULT_DIRECTORY.into(),
            plugins: cni::DEFAULT_PLUGIN_DIRECTORIES.map(PathBuf::from).into(),
            path: None,
        }
    }
}

/// A network of plugins: its configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Chain {
    /// The file that it is read from at every attach.
    pub config: PathBuf,
}

/// By which a chain's part of a container is found again, in the ledger.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Chained {
    /// The name in the configuration, which may be another than the network's.
    pub(crate) network: String,
    /// The link in the container.
    pub(crate) link: String,
}

/// A configuration as a network of that name.
pub(crate) fn definition(name: &str, list: &NetworkList, config: PathBuf) -> Definition {
    let subnet = list.plugins.iter().find_map(|plugin| subnet(plugin.config.get("ipam")?));
    let subnet = subnet.unwrap_or(Cidr::of(Ipv4Addr::UNSPECIFIED, 32));
    let id = base::Digest::sha256_of(format!("CNI network {name} of {}", config.display()).as_bytes());
    Definition {
        id: id.hex().to_owned(),
        options: [("config".to_owned(), config.display().to_string())].into(),
        driver: Driver::Cni(Chain { config }),
        masquerade: false,
        chosen: Chosen { subnet: true, subnet6: true },
        why: "its configuration's".to_owned(),
        ..Definition::plain(name, subnet)
    }
}

/// The first IPv4 range that an `ipam` section names, as those of `host-local` do.
fn subnet(ipam: &Value) -> Option<Cidr> {
    let one = |value: &Value| value.get("subnet").and_then(Value::as_str).and_then(|text| text.parse().ok());
    let ranges = ipam.get("ranges").and_then(Value::as_array).into_iter().flatten();
    one(ipam).or_else(|| ranges.filter_map(Value::as_array).flatten().find_map(one))
}

/// What the runtime tells the plugins that ask for it.
pub(crate) fn capabilities(request: &Request, ports: &[PublishedPort]) -> Capabilities {
    let wanted = [request.address.map(IpAddr::from), request.address6.map(IpAddr::from)];
    let unspecified = |ip: IpAddr| if ip.is_unspecified() { String::new() } else { ip.to_string() };
    Capabilities {
        port_mappings: ports
            .iter()
            .map(|port| cni::PortMapping {
                host_port: port.host_port,
                container_port: port.container_port,
                protocol: port.protocol.to_string(),
                host_ip: unspecified(port.host_ip),
            })
            .collect(),
        ips: wanted.into_iter().flatten().map(|ip| ip.to_string()).collect(),
        mac: request.mac.map(|mac| mac.to_string()),
        dns: DnsCapability {
            servers: request.servers.iter().map(ToString::to_string).collect(),
            ..DnsCapability::default()
        },
        aliases: request.aliases.clone(),
        bandwidth: None,
    }
}

/// `CNI_ARGS`: for plugins that know no capabilities.
pub(crate) fn arguments(request: &Request) -> Vec<(String, String)> {
    let mut all = vec![("IgnoreUnknown".to_owned(), "1".to_owned())];
    all.extend(request.address.map(|address| ("IP".to_owned(), address.to_string())));
    all.extend(request.mac.map(|mac| ("MAC".to_owned(), mac.to_string())));
    all
}

/// What a container has by a chain.
pub(crate) fn attachment(
    request: &Request,
    network: &Definition,
    (link, namespace): (&str, u64),
    result: &NetworkResult,
    ports: &[PublishedPort],
) -> Attachment {
    let on_host = |at: usize| {
        let host = result.interfaces.iter().filter(|interface| interface.sandbox.is_empty());
        host.map(|interface| interface.name.clone()).nth(at).unwrap_or_default()
    };
    let inside = result.container_interface(link);
    let four = result.container_ips().find_map(|ip| match (ip.address.ip, ip.gateway) {
        (IpAddr::V4(address), Some(IpAddr::V4(gateway))) => Some((address, ip.address.prefix, gateway)),
        (IpAddr::V4(address), _) => Some((address, ip.address.prefix, Ipv4Addr::UNSPECIFIED)),
        _ => None,
    });
    let (address, prefix, gateway) = four.unwrap_or((Ipv4Addr::UNSPECIFIED, 32, Ipv4Addr::UNSPECIFIED));
    let six = result.container_ips().find_map(|ip| match (ip.address.ip, ip.gateway) {
        (IpAddr::V6(address), gateway) => {
            let gateway = match gateway {
                Some(IpAddr::V6(gateway)) => gateway,
                _ => Ipv6Addr::UNSPECIFIED,
            };
            Some(Attached6 { address, subnet: Cidr6::of(address, ip.address.prefix), gateway })
        }
        _ => None,
    });
    let servers = result.dns.nameservers.iter().filter_map(|server| server.parse().ok());
    Attachment {
        id: request.id.clone(),
        name: request.name.clone(),
        network: network.name.clone(),
        network_id: network.id.clone(),
        bridge: on_host(0),
        host_link: on_host(1),
        link: link.to_owned(),
        address,
        subnet: Cidr::of(address, prefix),
        gateway,
        ipv6: six,
        internal: false,
        gateway_priority: request.gateway_priority,
        aliases: request.aliases.clone(),
        servers: if request.servers.is_empty() { servers.collect() } else { request.servers.clone() },
        process: request.process,
        namespace,
        mac: inside.map(|interface| interface.mac.clone()).unwrap_or_default(),
        mtu: inside.and_then(|interface| interface.mtu).unwrap_or_default(),
        ports: ports.to_vec(),
        relayed: false,
        warnings: Vec::new(),
        decisions: decisions(network, link, (address, prefix)),
    }
}

fn decisions(network: &Definition, link: &str, (address, prefix): (Ipv4Addr, u8)) -> Vec<Decision> {
    let Driver::Cni(chain) = &network.driver else { return Vec::new() };
    let decision = |what: &str, value: String, why: &str| Decision {
        what: what.to_owned(),
        value,
        held_in: format!("{link} in the container"),
        why: why.to_owned(),
    };
    let config = chain.config.display();
    vec![
        decision(
            "network",
            network.name.clone(),
            &format!("its plugins, named in {config}, make all of it; none of our rules applies"),
        ),
        decision("address", format!("{address}/{prefix}"), "given by the plugins"),
    ]
}

#[cfg(test)]
mod tests {
    use base::ContainerId;

    use super::*;

    #[test]
    fn a_configuration_is_a_network() {
        let list = |ipam: &str| {
            let text = format!(
                r#"{{"cniVersion":"1.0.0","name":"n","plugins":[{{"type":"bridge","ipam":{ipam}}}]}}"#
            );
            definition("web", &NetworkList::parse(text.as_bytes()).expect("valid"), "/x.conflist".into())
        };
        let made =
            list(r#"{"type":"host-local","ranges":[[{"subnet":"fd00::/64"}],[{"subnet":"10.1.0.0/16"}]]}"#);
        assert_eq!((made.name.as_str(), made.driver.name(), made.id.len()), ("web", "cni", 64));
        assert_eq!(made.subnet.to_string(), "10.1.0.0/16");
        assert_eq!(list(r#"{"type":"host-local","subnet":"10.2.0.0/24"}"#).subnet.to_string(), "10.2.0.0/24");
        assert_eq!(list(r#"{"type":"dhcp"}"#).subnet.to_string(), "0.0.0.0/32");
    }

    #[test]
    fn a_result_is_an_attachment() {
        let result = r#"{"cniVersion":"0.4.0","interfaces":[{"name":"cbr0"},{"name":"veth1"},
            {"name":"eth0","mac":"02:00:00:00:00:01","sandbox":"/ns"}],
            "ips":[{"version":"4","interface":2,"address":"10.1.0.5/16","gateway":"10.1.0.1"},
                   {"version":"6","interface":2,"address":"fd00::5/64"}],
            "dns":{"nameservers":["192.0.2.53"]}}"#;
        let result: NetworkResult = serde_json::from_str(result).expect("a result");
        let list = NetworkList::parse(br#"{"cniVersion":"0.4.0","name":"n","plugins":[{"type":"bridge"}]}"#);
        let network = definition("web", &list.expect("valid"), "/x.conflist".into());
        let mut request = Request::new(ContainerId::parse("c").expect("valid"), "c");
        request.address = Some(Ipv4Addr::new(10, 1, 0, 5));
        let made = attachment(&request, &network, ("eth0", 7), &result, &[]);
        assert_eq!((made.bridge.as_str(), made.host_link.as_str()), ("cbr0", "veth1"));
        assert_eq!(
            format!("{} {} {}", made.address, made.subnet, made.gateway),
            "10.1.0.5 10.1.0.0/16 10.1.0.1"
        );
        assert_eq!(made.ipv6.expect("one").subnet.to_string(), "fd00::/64");
        assert_eq!((made.mac.as_str(), made.servers.len()), ("02:00:00:00:00:01", 1));
        let told = capabilities(&request, &[]);
        assert_eq!(told.ips, ["10.1.0.5"]);
        assert_eq!(arguments(&request)[1], ("IP".to_owned(), "10.1.0.5".to_owned()));
    }
}
