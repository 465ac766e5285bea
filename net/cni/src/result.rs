//! What a plugin gives: section 5, "Result Types", in the form of each version.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::version::Version;

/// A result of `ADD`, with the fields of the newest version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NetworkResult {
    /// The version of its form.
    #[serde(rename = "cniVersion")]
    pub version: Version,
    /// The links that were made, on the host and in the container.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub interfaces: Vec<Interface>,
    /// The addresses.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub ips: Vec<Ip>,
    /// The routes in the container.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<Route>,
    /// How names are resolved.
    #[serde(default, deserialize_with = "or_default")]
    pub dns: Dns,
}

/// A link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interface {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// Its hardware address.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub mac: String,
    /// Largest packet in bytes. Since 1.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// The container's namespace; empty on the host.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub sandbox: String,
    /// A socket in its place. Since 1.1.0.
    #[serde(rename = "socketPath", default, skip_serializing_if = "String::is_empty")]
    pub socket_path: String,
    /// The PCI device behind it. Since 1.1.0.
    #[serde(rename = "pciID", default, skip_serializing_if = "String::is_empty")]
    pub pci_id: String,
}

/// An address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ip {
    /// Which of the interfaces has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interface: Option<usize>,
    /// The address with the length of its network.
    pub address: IpAddress,
    /// The next hop out of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
}

/// A route in the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// Where it leads.
    pub dst: IpAddress,
    /// The next hop; the address' gateway without.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gw: Option<IpAddr>,
    /// Largest packet in bytes. This and what follows: since 1.1.0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mtu: Option<u32>,
    /// Largest TCP segment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub advmss: Option<u32>,
    /// Lower ones win.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<u32>,
    /// The table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub table: Option<u32>,
    /// The scope.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scope: Option<u32>,
}

/// How names are resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dns {
    /// Servers, in order.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub nameservers: Vec<String>,
    /// The local domain.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub domain: String,
    /// Domains for short names, in order.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub search: Vec<String>,
    /// Options of the resolver.
    #[serde(default, deserialize_with = "or_default", skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
}

/// An address with the length of its network: `10.1.0.5/16`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct IpAddress {
    /// The address.
    pub ip: IpAddr,
    /// Length of the network part in bits.
    pub prefix: u8,
}

/// The text is not an address with a length.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{raw:?} is not an address with a prefix length, such as 10.1.0.5/16")]
pub struct InvalidIpAddress {
    raw: String,
}

impl NetworkResult {
    /// A result with nothing in it.
    pub fn empty() -> Self {
        let version = Version::LATEST;
        Self { version, interfaces: Vec::new(), ips: Vec::new(), routes: Vec::new(), dns: Dns::default() }
    }

    /// The addresses that are in the container: those of an interface with a sandbox, and those
    /// that name none.
    pub fn container_ips(&self) -> impl Iterator<Item = &Ip> {
        self.ips.iter().filter(|ip| {
            let on = ip.interface.and_then(|at| self.interfaces.get(at));
            on.is_none_or(|interface| !interface.sandbox.is_empty())
        })
    }

    /// The interface in the container of that name.
    pub fn container_interface(&self, name: &str) -> Option<&Interface> {
        self.interfaces.iter().find(|interface| interface.name == name && !interface.sandbox.is_empty())
    }

    /// The result in the form of `version`.
    pub fn render(&self, version: Version) -> Value {
        let interfaces: Vec<Value> = self.interfaces.iter().map(|one| interface(one, version)).collect();
        let ips: Vec<Value> = self.ips.iter().map(|one| ip(one, version)).collect();
        let routes: Vec<Value> = self.routes.iter().map(|one| route(one, version)).collect();
        let mut all = Map::new();
        all.insert("cniVersion".to_owned(), json!(version));
        for (key, list) in [("interfaces", interfaces), ("ips", ips), ("routes", routes)] {
            if !list.is_empty() {
                all.insert(key.to_owned(), Value::Array(list));
            }
        }
        all.insert("dns".to_owned(), json!(self.dns));
        Value::Object(all)
    }
}

fn interface(interface: &Interface, version: Version) -> Value {
    let mut interface = interface.clone();
    if version < Version::V1_1_0 {
        interface.mtu = None;
        interface.socket_path.clear();
        interface.pci_id.clear();
    }
    json!(interface)
}

fn ip(ip: &Ip, version: Version) -> Value {
    let mut value = json!(ip);
    if version < Version::V1_0_0
        && let Value::Object(fields) = &mut value
    {
        let family = if ip.address.ip.is_ipv4() { "4" } else { "6" };
        fields.insert("version".to_owned(), json!(family));
    }
    value
}

fn route(route: &Route, version: Version) -> Value {
    if version < Version::V1_1_0 {
        let Route { dst, gw, .. } = route;
        return match gw {
            Some(gw) => json!({ "dst": dst, "gw": gw }),
            None => json!({ "dst": dst }),
        };
    }
    json!(route)
}

impl fmt::Display for IpAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.ip, self.prefix)
    }
}

impl FromStr for IpAddress {
    type Err = InvalidIpAddress;
    fn from_str(raw: &str) -> Result<Self, InvalidIpAddress> {
        let parse = || {
            let (ip, prefix) = raw.split_once('/')?;
            let (ip, prefix): (IpAddr, u8) = (ip.parse().ok()?, prefix.parse().ok()?);
            (prefix <= if ip.is_ipv4() { 32 } else { 128 }).then_some(Self { ip, prefix })
        };
        parse().ok_or_else(|| InvalidIpAddress { raw: raw.to_owned() })
    }
}

impl TryFrom<String> for IpAddress {
    type Error = InvalidIpAddress;
    fn try_from(raw: String) -> Result<Self, InvalidIpAddress> {
        raw.parse()
    }
}

impl From<IpAddress> for String {
    fn from(address: IpAddress) -> Self {
        address.to_string()
    }
}

/// Go writes `null` for an empty list.
fn or_default<'de, D: serde::Deserializer<'de>, T: Default + Deserialize<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(deserializer)?.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    const BRIDGE: &str = r#"{
        "cniVersion": "1.0.0",
        "interfaces": [
            {"name": "cbr0", "mac": "56:0f:f9:0c:b0:41"},
            {"name": "vethaa588459", "mac": "f2:bc:02:dd:c2:fc"},
            {"name": "eth0", "mac": "c2:76:7b:59:72:d2", "sandbox": "/proc/1/ns/net"}
        ],
        "ips": [{"interface": 2, "address": "10.77.0.2/24", "gateway": "10.77.0.1"}],
        "routes": [{"dst": "0.0.0.0/0"}],
        "dns": {}
    }"#;

    #[test]
    fn a_result_of_the_bridge_plugin_comes_back_as_it_was() {
        let result: NetworkResult = serde_json::from_str(BRIDGE).expect("a result");
        let as_given: Value = serde_json::from_str(BRIDGE).expect("JSON");
        assert_eq!(result.render(Version::V1_0_0), as_given);
        assert_eq!(result.container_ips().count(), 1);
        assert_eq!(result.container_interface("eth0").expect("there").mac, "c2:76:7b:59:72:d2");
        assert_eq!(result.container_interface("cbr0"), None);
    }

    #[test]
    fn each_version_has_its_own_fields() {
        let mut result: NetworkResult = serde_json::from_str(BRIDGE).expect("a result");
        result.interfaces[2].mtu = Some(1400);
        result.routes[0].priority = Some(10);
        let newest = result.render(Version::V1_1_0);
        assert_eq!(
            (&newest["interfaces"][2]["mtu"], &newest["routes"][0]["priority"]),
            (&json!(1400), &json!(10))
        );
        let older = result.render(Version::V0_4_0);
        assert_eq!(older["cniVersion"], "0.4.0");
        assert_eq!(older["ips"][0]["version"], "4");
        assert!(older["interfaces"][2].get("mtu").is_none() && older["routes"][0].get("priority").is_none());
        let back: NetworkResult = serde_json::from_value(older).expect("a result");
        assert_eq!(back.ips, result.ips);
    }

    #[test]
    fn absent_null_and_empty_are_the_same() {
        for text in
            [r#"{"cniVersion":"1.1.0"}"#, r#"{"cniVersion":"1.1.0","ips":null,"routes":[],"dns":null}"#]
        {
            assert_eq!(serde_json::from_str::<NetworkResult>(text).expect(text), NetworkResult::empty());
        }
        for raw in ["10.0.0.1", "10.0.0.1/33", "x/8", "::1/129"] {
            assert!(raw.parse::<IpAddress>().is_err(), "{raw}");
        }
    }
}
