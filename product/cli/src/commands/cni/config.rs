//! The plugin's configuration: from its fields to a network and to what a container asks of it.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use attach::{Cidr, Cidr6, Definition, HostPort, MacAddress, NewNetwork, PortMapping, Protocol};
use base::Digest;
use cni::plugin::{Call, Setup};
use cni::{Code, Dns, DnsCapability, Failure};
use serde::Deserialize;
use serde_json::Value;

/// What the plugin reads of a configuration, beside what the protocol does.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct Config {
    /// Data root of the plugin's networks.
    pub(super) root: Option<PathBuf>,
    /// Where leases are.
    pub(super) state: Option<PathBuf>,
    subnet: Option<Cidr>,
    gateway: Option<Ipv4Addr>,
    ip_range: Option<Cidr>,
    subnet6: Option<Cidr6>,
    gateway6: Option<Ipv6Addr>,
    bridge: Option<String>,
    mtu: Option<u32>,
    ip_masq: Option<bool>,
    is_default_gateway: Option<bool>,
    internal: bool,
    ipam: Option<Value>,
    dns: Dns,
    runtime_config: RuntimeConfig,
}

/// What the runtime tells.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct RuntimeConfig {
    port_mappings: Vec<cni::PortMapping>,
    ips: Vec<String>,
    mac: Option<String>,
    dns: DnsCapability,
}

/// What a container asks for.
#[derive(Debug, Default)]
pub(super) struct Wishes {
    pub(super) ports: Vec<PortMapping>,
    pub(super) address: Option<Ipv4Addr>,
    pub(super) address6: Option<Ipv6Addr>,
    pub(super) mac: Option<MacAddress>,
}

impl Config {
    /// Reads it; what we cannot do is refused.
    pub(super) fn read(setup: &Setup) -> Result<Self, Failure> {
        let config: Self = serde_json::from_value(Value::Object(setup.config.clone())).map_err(|error| {
            Failure::new(Code::INVALID_CONFIG, format!("invalid network config: {error}"))
        })?;
        if config.ipam.as_ref().is_some_and(|ipam| ipam.as_object().is_none_or(|ipam| !ipam.is_empty())) {
            let failure = Failure::new(Code::UNSUPPORTED_FIELD, "unsupported field: ipam");
            return Err(failure.with_details("strake gives addresses itself; write `subnet` instead"));
        }
        Ok(config)
    }

    /// The network as it is to be made.
    pub(super) fn network(&self, name: &str, root: &std::path::Path, created_nanos: u64) -> NewNetwork {
        let mut options = BTreeMap::new();
        let mut option = |key: &str, value: Option<String>| {
            if let Some(value) = value {
                options.insert(key.to_owned(), value);
            }
        };
        option("com.docker.network.bridge.name", self.bridge.clone());
        option("com.docker.network.driver.mtu", self.mtu.map(|mtu| mtu.to_string()));
        option("com.docker.network.bridge.enable_ip_masquerade", self.ip_masq.map(|on| on.to_string()));
        // The bridge is named after the id: the same network of the same root has the same one.
        let id = Digest::sha256_of(format!("{name} of {}", root.display()).as_bytes()).hex().to_owned();
        NewNetwork {
            name: name.to_owned(),
            id,
            created_nanos,
            subnet: self.subnet,
            gateway: self.gateway,
            ip_range: self.ip_range,
            ipv6: self.subnet6.is_some(),
            subnet6: self.subnet6,
            gateway6: self.gateway6,
            internal: self.internal,
            options,
            ..NewNetwork::default()
        }
    }

    /// Whether a network that is there is the one that is described. What is not named may be
    /// anything.
    pub(super) fn fits(&self, network: &Definition) -> bool {
        let same = self.subnet.is_none_or(|subnet| subnet == network.subnet)
            && self.gateway.is_none_or(|gateway| gateway == network.gateway)
            && self.ip_range == network.ip_range
            && self.internal == network.internal
            && self.ip_masq.unwrap_or(true) == network.masquerade
            && self.mtu == network.mtu;
        let bridge = self.bridge.as_ref().is_none_or(|bridge| *bridge == network.bridge);
        let six = match (&self.subnet6, &network.ipv6) {
            (None, None) => true,
            (Some(subnet), Some(half)) => {
                *subnet == half.subnet && self.gateway6.is_none_or(|gateway| gateway == half.gateway)
            }
            _ => false,
        };
        same && bridge && six
    }

    /// Whether the container's default route is to be by this network.
    pub(super) fn leads_out(&self) -> bool {
        self.is_default_gateway.unwrap_or(true)
    }

    /// How names are to be resolved: what the runtime tells before what the file says.
    pub(super) fn dns(&self) -> Dns {
        let told = &self.runtime_config.dns;
        let or =
            |told: &Vec<String>, own: &Vec<String>| if told.is_empty() { own.clone() } else { told.clone() };
        Dns {
            nameservers: or(&told.servers, &self.dns.nameservers),
            domain: self.dns.domain.clone(),
            search: or(&told.searches, &self.dns.search),
            options: or(&told.options, &self.dns.options),
        }
    }

    /// What the container of `call` asks for: by capabilities, and `IP` and `MAC` of `CNI_ARGS`.
    pub(super) fn wishes(&self, call: &Call) -> Result<Wishes, Failure> {
        let argument =
            |name: &str| call.arguments.iter().find(|(key, _)| key == name).map(|(_, value)| value);
        let mut wishes = Wishes::default();
        for text in self.runtime_config.ips.iter().chain(argument("IP")) {
            let bare = text.split_once('/').map_or(text.as_str(), |(address, _)| address);
            match bare.parse().map_err(|_| invalid(format!("{text:?} is not an address")))? {
                IpAddr::V4(address) => wishes.address = Some(address),
                IpAddr::V6(address) => wishes.address6 = Some(address),
            }
        }
        if let Some(text) = self.runtime_config.mac.as_ref().or_else(|| argument("MAC")) {
            wishes.mac =
                Some(mac(text).ok_or_else(|| invalid(format!("{text:?} is not a hardware address")))?);
        }
        wishes.ports = self.runtime_config.port_mappings.iter().map(port).collect::<Result<_, _>>()?;
        Ok(wishes)
    }
}

fn port(mapping: &cni::PortMapping) -> Result<PortMapping, Failure> {
    let protocol: Protocol =
        mapping.protocol.parse().map_err(|_| invalid(format!("invalid protocol {:?}", mapping.protocol)))?;
    if mapping.container_port == 0 {
        return Err(invalid("invalid container port number: 0".to_owned()));
    }
    let host_ip = match mapping.host_ip.as_str() {
        "" => None,
        text => Some(text.parse().map_err(|_| invalid(format!("{text:?} is not an address")))?),
    };
    let host_port = match mapping.host_port {
        0 => return Err(invalid("invalid host port number: 0".to_owned())),
        port => HostPort::Fixed(port),
    };
    Ok(PortMapping { protocol, host_ip, host_port, container_port: mapping.container_port })
}

fn mac(text: &str) -> Option<MacAddress> {
    let bytes: Vec<u8> =
        text.split(':').map(|byte| u8::from_str_radix(byte, 16)).collect::<Result<_, _>>().ok()?;
    Some(MacAddress(bytes.try_into().ok()?))
}

fn invalid(msg: String) -> Failure {
    Failure::new(Code::INVALID_CONFIG, msg)
}

#[cfg(test)]
mod tests {
    use cni::{ContainerId, InterfaceName, NetworkName, Version};
    use serde_json::json;

    use super::*;

    fn call(config: &Value, arguments: &[(&str, &str)]) -> Call {
        Call {
            setup: Setup {
                version: Version::LATEST,
                name: NetworkName::parse("n").expect("valid"),
                config: config.as_object().expect("an object").clone(),
            },
            container: ContainerId::parse("c").expect("valid"),
            namespace: "/ns".to_owned(),
            interface: InterfaceName::parse("eth0").expect("valid"),
            arguments: arguments.iter().map(|&(key, value)| (key.to_owned(), value.to_owned())).collect(),
            previous: None,
        }
    }

    #[track_caller]
    fn check(config: &Value, arguments: &[(&str, &str)], expected: &str) {
        let call = call(config, arguments);
        let said = match Config::read(&call.setup).and_then(|config| config.wishes(&call)) {
            Ok(Wishes { ports, address, mac, .. }) => {
                let ports: Vec<String> = ports
                    .iter()
                    .map(|port| format!("{:?}>{}", port.host_port, port.container_port))
                    .collect();
                format!("{address:?} {:?} {}", mac.map(|mac| mac.to_string()), ports.join(","))
            }
            Err(failure) => format!("{} {}", failure.code.0, failure.msg),
        };
        assert!(said.starts_with(expected), "{config}: {said}");
    }

    #[test]
    fn what_a_container_asks_for() {
        check(&json!({}), &[], "None None ");
        let told = json!({"runtimeConfig": {"ips": ["10.0.0.9/24"], "mac": "02:00:00:00:00:01",
            "portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}});
        check(&told, &[], "Some(10.0.0.9) Some(\"02:00:00:00:00:01\") Fixed(8080)>80");
        check(&json!({}), &[("IP", "10.0.0.7"), ("K8S_POD_NAME", "web")], "Some(10.0.0.7) None");
        check(&json!({"runtimeConfig": {"ips": ["x"]}}), &[], "7 \"x\" is not an address");
        let told = json!({"runtimeConfig": {"portMappings": [{"hostPort": 0, "containerPort": 80}]}});
        check(&told, &[], "7 invalid host port number: 0");
    }

    #[test]
    fn what_cannot_be_done_is_refused() {
        check(&json!({"subnet": "10.77/99"}), &[], "7 invalid network config:");
        check(&json!({"ipam": {"type": "host-local"}}), &[], "2 unsupported field: ipam");
        check(&json!({"ipam": {}}), &[], "None");
    }

    #[test]
    fn the_runtime_is_asked_before_the_file() {
        let read = |config: Value| Config::read(&call(&config, &[]).setup).expect("valid").dns();
        let both = json!({"dns": {"nameservers": ["1.1.1.1"], "domain": "d"}, "runtimeConfig": {"dns": {"servers": ["9.9.9.9"]}}});
        let dns = read(both);
        assert_eq!((dns.nameservers, dns.domain.as_str()), (vec!["9.9.9.9".to_owned()], "d"));
    }
}
