//! Endpoints and their slices: those of controllers, those that people write, those of the API server.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{endpoints, has_endpoints, hears, serve, service, services, slices, text};
use crate::nodes::cluster;
use crate::nodes::peer::{client, pod};

/// [sig-network] API Server should provide secure master service [Conformance]
#[test]
fn api_server_should_provide_secure_master_service() {
    let cluster = cluster();
    let found = cluster.get("/api/v1/namespaces/default/services/kubernetes");
    let port = &found["spec"]["ports"][0];
    assert_eq!((&port["port"], &port["name"]), (&json!(443), &json!("https")), "{found}");
}

/// The addresses and ports of an `Endpoints`.
fn subsets(found: &Value) -> BTreeSet<(String, u64)> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let mut pairs = BTreeSet::new();
    for subset in all(&found["subsets"]) {
        for address in all(&subset["addresses"]) {
            for port in all(&subset["ports"]) {
                let address = address["ip"].as_str().unwrap_or_default().to_owned();
                pairs.insert((address, port["port"].as_u64().unwrap_or(0)));
            }
        }
    }
    pairs
}

/// [sig-network] API Server should have Endpoints and EndpointSlices pointing to API Server [Conformance]
#[test]
fn api_server_should_have_endpoints_and_endpoint_slices() {
    let cluster = cluster();
    cluster.get("/api/v1/namespaces/default/services/kubernetes");
    let found = cluster.get("/api/v1/namespaces/default/endpoints/kubernetes");
    let list = cluster.get(&slices("default", "kubernetes"));
    assert!(!subsets(&found).is_empty(), "{found}");
    assert_eq!(subsets(&found), endpoints(&list));
}

/// A pod with these container ports; nothing listens at them.
fn with_ports(name: &str, labels: Value, ports: Value) -> Value {
    let mut made = pod(name, labels, &["serve"]);
    made["spec"]["containers"][0]["ports"] = ports;
    made
}

/// [sig-network] EndpointSlice should create Endpoints and EndpointSlices for Pods matching a Service [Conformance]
#[test]
fn endpoint_slice_should_create_endpoints_and_slices_for_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let first = with_ports(
        "pod1",
        json!({ "pod1": "on", "shared12": "on" }),
        json!([{ "name": "example-name", "containerPort": 3000 }]),
    );
    let second = with_ports(
        "pod2",
        json!({ "pod2": "on", "shared12": "on" }),
        json!([{ "name": "example-name", "containerPort": 3001 }, { "name": "other-port", "containerPort": 3002 }]),
    );
    let make = |name: &str, label: &str, target: Value| {
        let more = json!({
            "publishNotReadyAddresses": true,
            "ports": [{ "name": "example", "port": 80, "targetPort": target, "protocol": "TCP" }],
        });
        serve(&cluster, &namespace, &service(name, &json!({ label: "on" }), more));
    };
    make("example-int-port", "pod1", json!(3000));
    make("example-named-port", "shared12", json!("example-name"));
    make("example-no-match", "pod3", json!(8080));
    let (first, second) = (cluster.running(&namespace, &first), cluster.running(&namespace, &second));
    let (first, second) = (text(&first, "/status/podIP"), text(&second, "/status/podIP"));
    let expect = |name: &str, wanted: &[(&str, u64)], count: usize| {
        has_endpoints(&cluster, &namespace, name, wanted);
        let list = cluster.get(&slices(&namespace, name));
        assert_eq!(list["items"].as_array().unwrap().len(), count, "{list:#}");
        let wanted: BTreeSet<_> = wanted.iter().map(|(at, port)| ((*at).to_owned(), *port)).collect();
        cluster.until(&format!("/api/v1/namespaces/{namespace}/endpoints/{name}"), |found| {
            subsets(found) == wanted
        });
        for slice in list["items"].as_array().unwrap() {
            let by = &slice["metadata"]["labels"]["endpointslice.kubernetes.io/managed-by"];
            assert_eq!(by, "endpointslice-controller.k8s.io");
            for endpoint in slice["endpoints"].as_array().into_iter().flatten() {
                assert_eq!(endpoint["conditions"]["ready"], true);
                assert_eq!(endpoint["targetRef"]["kind"], "Pod");
                assert!(endpoint["nodeName"].is_string(), "{endpoint}");
            }
        }
    };
    expect("example-int-port", &[(first, 3000)], 1);
    expect("example-named-port", &[(first, 3000), (second, 3001)], 2);
    expect("example-no-match", &[], 1);
    cluster.delete(&slices(&namespace, "example-named-port"));
    expect("example-named-port", &[(first, 3000), (second, 3001)], 2);
}

/// A slice as a person writes it.
fn slice(name: &str, ports: Value, addresses: &[&str]) -> Value {
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": { "name": name, "labels": {
            "kubernetes.io/service-name": "example-custom-endpoints",
            "endpointslice.kubernetes.io/managed-by": "e2e-test.k8s.io",
        } },
        "addressType": "IPv4", "ports": ports,
        "endpoints": addresses.iter().map(|at| json!({ "addresses": [at] })).collect::<Vec<_>>(),
    })
}

/// [sig-network] EndpointSlice should support a Service with multiple ports specified in multiple EndpointSlices [Conformance]
#[test]
fn endpoint_slice_should_support_multiple_ports_in_multiple_slices() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let made = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "example-custom-endpoints" },
        "spec": { "ports": [
            { "name": "port80", "port": 80, "protocol": "TCP" },
            { "name": "port81", "port": 81, "protocol": "TCP" },
        ] },
    });
    let made = serve(&cluster, &namespace, &made);
    let first = cluster.running(&namespace, &pod("pod1", json!({}), &["serve", "--http", "3000"]));
    let second = cluster.running(&namespace, &pod("pod2", json!({}), &["serve", "--http", "3001"]));
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let port = |name: &str, port: u16| json!([{ "name": name, "port": port, "protocol": "TCP" }]);
    cluster.post(&path, &slice("slice-1", port("port80", 3000), &[text(&first, "/status/podIP")]));
    cluster.post(&path, &slice("slice-2", port("port81", 3001), &[text(&second, "/status/podIP")]));
    cluster.running(&namespace, &client("pause-pod-0"));
    let from = (namespace.as_str(), "pause-pod-0");
    let address = text(&made, "/spec/clusterIP");
    hears(&cluster, from, "http", &format!("{address}:80"), &["pod1"]);
    hears(&cluster, from, "http", &format!("{address}:81"), &["pod2"]);
}

/// [sig-network] EndpointSlice should support a Service with multiple endpoint IPs specified in multiple EndpointSlices [Conformance]
#[test]
fn endpoint_slice_should_support_multiple_addresses_in_multiple_slices() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let made = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "example-custom-endpoints" },
        "spec": { "ports": [
            { "name": "port80", "port": 80, "protocol": "TCP" },
            { "name": "port81", "port": 81, "protocol": "TCP" },
        ] },
    });
    let made = serve(&cluster, &namespace, &made);
    let pods: Vec<Value> = ["pod1", "pod2"]
        .iter()
        .map(|name| cluster.running(&namespace, &pod(name, json!({}), &["serve", "--http", "3000"])))
        .collect();
    let path = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let both: Vec<&str> = pods.iter().map(|pod| text(pod, "/status/podIP")).collect();
    let port = |name: &str| json!([{ "name": name, "port": 3000, "protocol": "TCP" }]);
    cluster.post(&path, &slice("slice-1", port("port80"), &both));
    cluster.post(&path, &slice("slice-2", port("port81"), &both));
    cluster.running(&namespace, &client("pause-pod-0"));
    let from = (namespace.as_str(), "pause-pod-0");
    for port in [80, 81] {
        hears(
            &cluster,
            from,
            "http",
            &format!("{}:{port}", text(&made, "/spec/clusterIP")),
            &["pod1", "pod2"],
        );
    }
}

/// [sig-network] EndpointsController should create Endpoints for Pods matching a Service [Conformance]
#[test]
fn endpoints_controller_should_create_endpoints_for_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "app": "endpoints" });
    let more = json!({ "ports": [{ "name": "http", "port": 80, "targetPort": "web", "protocol": "TCP" }] });
    serve(&cluster, &namespace, &service("example", &labels, more));
    let path = format!("/api/v1/namespaces/{namespace}/endpoints/example");
    cluster.until(&path, |found| subsets(found).is_empty());
    let make = |name: &str, port: u16| {
        let ports = json!([{ "name": "web", "containerPort": port }]);
        cluster.running(&namespace, &with_ports(name, labels.clone(), ports))
    };
    let (first, second) = (make("pod1", 3000), make("pod2", 3001));
    let pair = |pod: &Value, port: u64| (text(pod, "/status/podIP").to_owned(), port);
    let wanted = BTreeSet::from([pair(&first, 3000), pair(&second, 3001)]);
    let found = cluster.until(&path, |found| subsets(found) == wanted);
    let label = &found["metadata"]["labels"]["endpoints.kubernetes.io/managed-by"];
    assert_eq!(label, "endpoint-controller", "{found:#}");
    assert_eq!(found["subsets"].as_array().unwrap().len(), 2, "{found:#}");
    cluster.delete(&format!("{}/example", services(&namespace)));
    cluster.gone(&path);
}
