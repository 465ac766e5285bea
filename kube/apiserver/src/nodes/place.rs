//! Where a node's kubelet listens, as its object says.

use serde_json::Value;

/// Upstream's port of kubelets.
const PORT: u16 = 10250;
/// The kinds of addresses, the best first.
const PREFERRED: &[&str] = &["InternalIP", "ExternalIP", "Hostname", "InternalDNS", "ExternalDNS"];

/// A kubelet's host and port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Place {
    /// Host and port in one.
    pub(super) fn address(&self) -> String {
        let Self { host, port } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

pub(super) fn of(node: &Value) -> Option<Place> {
    let addresses = node.pointer("/status/addresses")?.as_array()?;
    let of_kind = |kind: &&str| {
        let text = |address: &'_ Value, name: &str| address.get(name)?.as_str().map(str::to_owned);
        let found = addresses.iter().find(|address| text(address, "type").as_deref() == Some(*kind))?;
        text(found, "address").filter(|host| !host.is_empty())
    };
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port > 0).unwrap_or(PORT);
    Some(Place { host: PREFERRED.iter().find_map(of_kind)?, port })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn finds_kubelets() {
        let address = |kind: &str, address: &str| json!({"type": kind, "address": address});
        for (addresses, port, expected) in [
            (vec![address("Hostname", "n"), address("InternalIP", "10.0.0.1")], Some(1), Some("10.0.0.1:1")),
            (vec![address("InternalIP", "fd00::1")], None, Some("[fd00::1]:10250")),
            (vec![address("Hostname", "n")], Some(0), Some("n:10250")),
            (vec![address("Other", "n"), address("InternalIP", "")], None, None),
            (vec![], None, None),
        ] {
            let endpoint = json!({"kubeletEndpoint": {"Port": port}});
            let node = json!({"status": {"addresses": addresses, "daemonEndpoints": endpoint}});
            assert_eq!(of(&node).map(|place| place.address()).as_deref(), expected, "{node}");
        }
    }
}
