//! Pods by their own addresses and by ports of their nodes.

use serde_json::{Value, json};

use super::{hears, text};
use crate::nodes::peer::{client, pod, server};
use crate::nodes::{Shared, cluster};

/// A pod's place is given by name.
fn on(mut pod: Value, node: &str) -> Value {
    pod["spec"]["nodeSelector"] = json!({ "kubernetes.io/hostname": node });
    pod
}

/// A server on every node is heard from a pod, or from a pod with the node's own network.
fn granular(how: &str, from_node: bool) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let servers: Vec<Value> = Shared::NODES
        .iter()
        .enumerate()
        .map(|(at, node)| {
            let pod = server(&format!("netserver-{at}"), json!({ "selector": "netserver" }));
            cluster.running(&namespace, &on(pod, node))
        })
        .collect();
    let mut asking = client("test-container-pod");
    if from_node {
        asking["spec"]["hostNetwork"] = json!(true);
    }
    cluster.running(&namespace, &asking);
    let port = if how == "udp" { 8081 } else { 8080 };
    for found in &servers {
        let to = format!("{}:{port}", text(found, "/status/podIP"));
        hears(&cluster, (&namespace, "test-container-pod"), how, &to, &[text(found, "/metadata/name")]);
    }
}

/// [sig-network] Networking Granular Checks: Pods should function for intra-pod communication: http [NodeConformance] [Conformance]
#[test]
fn pods_should_function_for_intra_pod_communication_http() {
    granular("http", false);
}

/// [sig-network] Networking Granular Checks: Pods should function for intra-pod communication: udp [NodeConformance] [Conformance]
#[test]
fn pods_should_function_for_intra_pod_communication_udp() {
    granular("udp", false);
}

/// [sig-network] Networking Granular Checks: Pods should function for node-pod communication: http [LinuxOnly] [NodeConformance] [Conformance]
#[test]
fn pods_should_function_for_node_pod_communication_http() {
    granular("http", true);
}

/// [sig-network] Networking Granular Checks: Pods should function for node-pod communication: udp [LinuxOnly] [NodeConformance] [Conformance]
#[test]
fn pods_should_function_for_node_pod_communication_udp() {
    granular("udp", true);
}

/// [sig-network] HostPort validates that there is no conflict between pods with same hostPort but different hostIP and protocol [LinuxOnly] [Conformance]
#[test]
fn host_port_has_no_conflict_between_host_ips_and_protocols() {
    const PORT: u16 = 54323;
    let cluster = cluster();
    let namespace = cluster.namespace();
    let node = "n2";
    let address = cluster.node_address(node).unwrap();
    let at = |name: &str, host: &str, protocol: &str| {
        let inside = if protocol == "UDP" { 8081 } else { 8080 };
        let mut made = server(name, json!({}));
        made["spec"]["containers"][0]["ports"] = json!([{
            "hostPort": PORT, "containerPort": inside, "protocol": protocol, "hostIP": host,
        }]);
        on(made, node)
    };
    cluster.running(&namespace, &at("pod1", "127.0.0.1", "TCP"));
    cluster.running(&namespace, &at("pod2", &address, "TCP"));
    cluster.running(&namespace, &at("pod3", &address, "UDP"));
    let mut asking = on(pod("e2e-host-exec", json!({}), &[]), node);
    asking["spec"]["hostNetwork"] = json!(true);
    asking["spec"]["containers"][0]["command"] = json!(["sleep", "3600"]);
    cluster.running(&namespace, &asking);
    let from = (namespace.as_str(), "e2e-host-exec");
    hears(&cluster, from, "http", &format!("127.0.0.1:{PORT}"), &["pod1"]);
    hears(&cluster, from, "http", &format!("{address}:{PORT}"), &["pod2"]);
    hears(&cluster, from, "udp", &format!("{address}:{PORT}"), &["pod3"]);
}
