//! What Node objects say of the network, read purely.

use std::net::Ipv4Addr;
use std::sync::Arc;

use attach::{Cidr, NodeRoute};
use serde_json::Value;

/// The range of a node, if it has one of IPv4.
pub fn own_range(nodes: &[Arc<Value>], name: &str) -> Option<Cidr> {
    nodes.iter().find(|node| text(node, "/metadata/name") == name).and_then(|node| range(node))
}

/// Where the pods of all other nodes are; nodes without a range or an address have none yet.
pub fn routes(nodes: &[Arc<Value>], own: &str) -> Vec<NodeRoute> {
    let others = nodes.iter().filter(|node| text(node, "/metadata/name") != own);
    let mut routes: Vec<NodeRoute> = others.filter_map(|node| route(node)).collect();
    routes.sort_by(|a, b| a.name.cmp(&b.name));
    routes
}

/// Whether a change of a node matters here.
pub(crate) fn differ(old: &Value, new: &Value) -> bool {
    range(old) != range(new) || address(old) != address(new)
}

fn route(node: &Value) -> Option<NodeRoute> {
    Some(NodeRoute {
        name: text(node, "/metadata/name").to_owned(),
        address: address(node)?,
        range: range(node)?,
        tunnel_mac: None,
    })
}

fn range(node: &Value) -> Option<Cidr> {
    let all = node.pointer("/spec/podCIDRs").and_then(Value::as_array);
    let mut all = all.into_iter().flatten().filter_map(Value::as_str);
    all.find_map(|range| range.parse().ok()).or_else(|| text(node, "/spec/podCIDR").parse().ok())
}

fn address(node: &Value) -> Option<Ipv4Addr> {
    let all = node.pointer("/status/addresses").and_then(Value::as_array);
    let mut internal = all.into_iter().flatten().filter(|address| address["type"] == "InternalIP");
    internal.find_map(|address| address["address"].as_str()?.parse().ok())
}

fn text<'a>(node: &'a Value, pointer: &str) -> &'a str {
    node.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node(name: &str, range: &str, address: &str) -> Arc<Value> {
        Arc::new(
            json!({"metadata": {"name": name}, "spec": {"podCIDR": range, "podCIDRs": ["fd00::/64", range]},
            "status": {"addresses": [{"type": "Hostname", "address": name},
                {"type": "InternalIP", "address": "fd00::1"}, {"type": "InternalIP", "address": address}]}}),
        )
    }

    #[test]
    fn ranges_and_routes_come_from_nodes() {
        let bare = Arc::new(json!({"metadata": {"name": "new"}}));
        let nodes = [node("b", "10.42.1.0/24", "10.0.0.2"), node("a", "10.42.0.0/24", "10.0.0.1"), bare];
        assert_eq!(own_range(&nodes, "a"), "10.42.0.0/24".parse().ok());
        assert_eq!(own_range(&nodes, "new"), None);
        let routes = routes(&nodes, "a");
        assert_eq!(routes.len(), 1);
        assert_eq!((routes[0].name.as_str(), routes[0].address), ("b", Ipv4Addr::new(10, 0, 0, 2)));
        assert_eq!(routes[0].range, "10.42.1.0/24".parse().unwrap());
    }

    #[test]
    fn heartbeats_change_nothing() {
        let old = node("a", "10.42.0.0/24", "10.0.0.1");
        let mut new = old.as_ref().clone();
        new["status"]["conditions"] = json!([{"type": "Ready"}]);
        assert!(!differ(&old, &new));
        assert!(differ(&old, &node("a", "10.42.0.0/24", "10.0.0.9")));
    }
}
