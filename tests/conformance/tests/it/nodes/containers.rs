//! What a container runs, and what becomes of its output.

use serde_json::json;

use super::{Shared, cluster, idle_pod, name, shell_pod};

/// `[sig-node] Kubelet when scheduling a busybox command in a pod should print the output to logs [NodeConformance]
/// [Conformance]`
#[test]
fn kubelet_when_scheduling_a_busybox_command_in_a_pod_should_print_the_output_to_logs() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.run_to_end(&namespace, &shell_pod("echo 'Hello World'; sleep 1"));
    assert_eq!(pod["status"]["phase"], "Succeeded", "{pod}");
    assert_eq!(cluster.logs(&namespace, name(&pod), "main"), "Hello World\n");
}

/// `[sig-node] Pods should get a host IP [NodeConformance] [Conformance]`
#[test]
fn pods_should_get_a_host_ip() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &idle_pod());
    let node = pod["spec"]["nodeName"].as_str().unwrap();
    assert!(Shared::NODES.contains(&node), "{pod}");
    let address = cluster.node_address(node).unwrap();
    assert_eq!(pod["status"]["hostIP"], address);
    assert_eq!(pod["status"]["hostIPs"], json!([{ "ip": address }]));
}
