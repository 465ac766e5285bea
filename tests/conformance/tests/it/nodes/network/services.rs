//! Services that pods answer: their endpoints, session affinity, node ports, how soon they are there.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use testkit::wait_until;

use super::{PATIENCE, deployed, has_endpoints, hears, hears_nobody, serve, service, services, text};
use crate::life::change;
use crate::nodes::peer::{client, dial, pod};
use crate::nodes::{Shared, cluster};

/// A server at ports of its own.
fn at_ports(pod_name: &str, labels: Value, http: u16, udp: u16) -> Value {
    let mut made = pod(pod_name, labels, &["serve", "--http", &http.to_string(), "--udp", &udp.to_string()]);
    made["spec"]["containers"][0]["ports"] = json!([{ "containerPort": http }]);
    made["spec"]["containers"][0]["readinessProbe"] =
        json!({ "tcpSocket": { "port": http }, "periodSeconds": 1 });
    made
}

/// [sig-network] Services should serve a basic endpoint from pods [Conformance]
#[test]
fn services_should_serve_a_basic_endpoint_from_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "name": "endpoint-test2" });
    let made = serve(
        &cluster,
        &namespace,
        &service("endpoint-test2", &labels, json!({ "ports": [{ "port": 80, "targetPort": 80 }] })),
    );
    has_endpoints(&cluster, &namespace, "endpoint-test2", &[]);
    cluster.running(&namespace, &client("execpod"));
    let from = (namespace.as_str(), "execpod");
    let pods = format!("/api/v1/namespaces/{namespace}/pods");

    let first = cluster.running(&namespace, &at_ports("pod1", labels.clone(), 80, 81));
    let first_at = text(&first, "/status/podIP");
    has_endpoints(&cluster, &namespace, "endpoint-test2", &[(first_at, 80)]);
    let by_address = format!("{}:80", text(&made, "/spec/clusterIP"));
    hears(&cluster, from, "http", "endpoint-test2:80", &["pod1"]);
    hears(&cluster, from, "http", &by_address, &["pod1"]);
    let second = cluster.running(&namespace, &at_ports("pod2", labels, 80, 81));
    let second_at = text(&second, "/status/podIP");
    has_endpoints(&cluster, &namespace, "endpoint-test2", &[(first_at, 80), (second_at, 80)]);
    hears(&cluster, from, "http", "endpoint-test2:80", &["pod1", "pod2"]);
    cluster.delete(&format!("{pods}/pod1"));
    has_endpoints(&cluster, &namespace, "endpoint-test2", &[(second_at, 80)]);
    hears(&cluster, from, "http", &by_address, &["pod2"]);
    cluster.delete(&format!("{pods}/pod2"));
    has_endpoints(&cluster, &namespace, "endpoint-test2", &[]);
    hears_nobody(&cluster, from, "http", &by_address);
}

/// [sig-network] Services should serve multiport endpoints from pods [Conformance]
#[test]
fn services_should_serve_multiport_endpoints_from_pods() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "foo": "bar" });
    let ports = json!({ "ports": [
        { "name": "portname1", "port": 80, "targetPort": "svc1port" },
        { "name": "portname2", "port": 81, "targetPort": "svc2port" },
    ] });
    serve(&cluster, &namespace, &service("multi-endpoint-test", &labels, ports));
    has_endpoints(&cluster, &namespace, "multi-endpoint-test", &[]);
    cluster.running(&namespace, &client("execpod"));
    let from = (namespace.as_str(), "execpod");
    let pods = format!("/api/v1/namespaces/{namespace}/pods");
    let named = |pod_name: &str, port: u16, port_name: &str| {
        let mut made = at_ports(pod_name, labels.clone(), port, 8081);
        made["spec"]["containers"][0]["ports"] = json!([{ "name": port_name, "containerPort": port }]);
        made
    };
    let first = cluster.running(&namespace, &named("pod1", 100, "svc1port"));
    let first_at = text(&first, "/status/podIP");
    has_endpoints(&cluster, &namespace, "multi-endpoint-test", &[(first_at, 100)]);
    let second = cluster.running(&namespace, &named("pod2", 101, "svc2port"));
    let second_at = text(&second, "/status/podIP");
    has_endpoints(&cluster, &namespace, "multi-endpoint-test", &[(first_at, 100), (second_at, 101)]);
    hears(&cluster, from, "http", "multi-endpoint-test:80", &["pod1"]);
    hears(&cluster, from, "http", "multi-endpoint-test:81", &["pod2"]);
    cluster.delete(&format!("{pods}/pod1"));
    has_endpoints(&cluster, &namespace, "multi-endpoint-test", &[(second_at, 101)]);
    cluster.delete(&format!("{pods}/pod2"));
    has_endpoints(&cluster, &namespace, "multi-endpoint-test", &[]);
}

/// [sig-network] Services should serve endpoints on same port and different protocols [Conformance]
#[test]
fn services_should_serve_endpoints_on_same_port_and_different_protocols() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "app": "multiprotocol" });
    let tcp = json!({ "name": "tcp-port", "protocol": "TCP", "port": 80, "targetPort": 80 });
    let udp = json!({ "name": "udp-port", "protocol": "UDP", "port": 80, "targetPort": 80 });
    let path = format!("{}/multiprotocol-test", services(&namespace));
    let made =
        serve(&cluster, &namespace, &service("multiprotocol-test", &labels, json!({ "ports": [tcp] })));
    let to = format!("{}:80", text(&made, "/spec/clusterIP"));
    let first = cluster.running(&namespace, &at_ports("pod1", labels, 80, 80));
    cluster.running(&namespace, &client("execpod"));
    let from = (namespace.as_str(), "execpod");
    has_endpoints(&cluster, &namespace, "multiprotocol-test", &[(text(&first, "/status/podIP"), 80)]);
    hears(&cluster, from, "http", &to, &["pod1"]);
    hears_nobody(&cluster, from, "udp", &to);
    change(&cluster, &path, |object| object["spec"]["ports"] = json!([tcp, udp]));
    hears(&cluster, from, "http", &to, &["pod1"]);
    hears(&cluster, from, "udp", &to, &["pod1"]);
    change(&cluster, &path, |object| object["spec"]["ports"] = json!([udp]));
    hears_nobody(&cluster, from, "http", &to);
    hears(&cluster, from, "udp", &to, &["pod1"]);
}

/// Waits until a client is answered by one pod alone, or by more than one.
#[track_caller]
fn sticks(cluster: &Shared, from: (&str, &str), to: &str, sticky: bool) {
    let mut last = Default::default();
    let met = wait_until(PATIENCE, || {
        last = dial(cluster, from, "http", to, "hostname", 15);
        last.keys().all(|answer| !answer.starts_with('!')) && (last.len() == 1) == sticky
    });
    assert!(met, "{from:?} heard {last:?} from {to}, sticky: {sticky}");
}

/// A service of three pods with session affinity by client address, or without at first.
fn affinity(kind: &str, switch: bool) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let ports = json!([{ "port": 80, "targetPort": 8080 }]);
    let more = json!({
        "type": kind, "ports": ports, "sessionAffinity": if switch { "None" } else { "ClientIP" },
    });
    let made = serve(&cluster, &namespace, &service("affinity", &json!({ "name": "affinity" }), more));
    deployed(&cluster, &namespace, "affinity", 3);
    cluster.running(&namespace, &client("execpod-affinity"));
    let from = (namespace.as_str(), "execpod-affinity");
    let to = match kind {
        "NodePort" => format!("192.168.77.1:{}", made["spec"]["ports"][0]["nodePort"]),
        _ => format!("{}:80", text(&made, "/spec/clusterIP")),
    };
    if switch {
        sticks(&cluster, from, &to, false);
        let path = format!("{}/affinity", services(&namespace));
        change(&cluster, &path, |object| object["spec"]["sessionAffinity"] = json!("ClientIP"));
        sticks(&cluster, from, &to, true);
        change(&cluster, &path, |object| {
            object["spec"]["sessionAffinity"] = json!("None");
            object["spec"].as_object_mut().unwrap().remove("sessionAffinityConfig");
        });
        sticks(&cluster, from, &to, false);
    } else {
        sticks(&cluster, from, &to, true);
        let one = dial(&cluster, from, "http", &to, "hostname", 15);
        assert_eq!(one, dial(&cluster, from, "http", &to, "hostname", 15), "the same pod as before");
    }
}

/// [sig-network] Services should have session affinity work for service with type clusterIP [LinuxOnly] [Conformance]
#[test]
fn services_should_have_session_affinity_work_for_cluster_ip() {
    affinity("ClusterIP", false);
}

/// [sig-network] Services should be able to switch session affinity for service with type clusterIP [LinuxOnly] [Conformance]
#[test]
fn services_should_be_able_to_switch_session_affinity_for_cluster_ip() {
    affinity("ClusterIP", true);
}

/// [sig-network] Services should have session affinity work for NodePort service [LinuxOnly] [Conformance]
#[test]
fn services_should_have_session_affinity_work_for_node_port() {
    affinity("NodePort", false);
}

/// [sig-network] Services should be able to switch session affinity for NodePort service [LinuxOnly] [Conformance]
#[test]
fn services_should_be_able_to_switch_session_affinity_for_node_port() {
    affinity("NodePort", true);
}

/// [sig-network] Services should be able to create a functioning NodePort service [Conformance]
#[test]
fn services_should_be_able_to_create_a_functioning_node_port_service() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let more = json!({ "type": "NodePort", "ports": [{ "port": 80, "targetPort": 8080 }] });
    let made =
        serve(&cluster, &namespace, &service("nodeport-test", &json!({ "name": "nodeport-test" }), more));
    let pods = deployed(&cluster, &namespace, "nodeport-test", 2);
    let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
    cluster.running(&namespace, &client("execpod"));
    let from = (namespace.as_str(), "execpod");
    let port = &made["spec"]["ports"][0]["nodePort"];
    for to in ["nodeport-test:80", &format!("{}:80", text(&made, "/spec/clusterIP"))] {
        hears(&cluster, from, "http", to, &pods);
    }
    for node in Shared::NODES {
        let to = format!("{}:{port}", cluster.node_address(node).unwrap());
        hears(&cluster, from, "http", &to, &pods);
    }
}

/// How many services of one pod are made, and how many at a time.
const MEASURED: usize = 200;
const AT_ONCE: usize = 15;
/// What half and 99 of a hundred services may take at most.
const LIMITS: [(usize, Duration); 2] = [(50, Duration::from_secs(20)), (99, Duration::from_secs(50))];

/// [sig-network] Service endpoints latency should not be very high [Conformance]
#[test]
fn service_endpoints_latency_should_not_be_very_high() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    deployed(&cluster, &namespace, "svc-latency-rc", 1);
    let next = AtomicUsize::new(0);
    let slices = format!("/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices");
    let mut seen = cluster.watch(&slices);
    let ports = json!({ "ports": [{ "port": 80, "targetPort": 8080 }] });
    let object = |at: usize| {
        service(&format!("latency-svc-{at}"), &json!({ "name": "svc-latency-rc" }), ports.clone())
    };
    let mut started = vec![Instant::now(); MEASURED];
    let mut took = Vec::new();
    let start = |started: &mut Vec<Instant>| {
        let at = next.fetch_add(1, Ordering::Relaxed);
        if at < MEASURED {
            started[at] = Instant::now();
            cluster.post(&services(&namespace), &object(at));
        }
    };
    for _ in 0..AT_ONCE {
        start(&mut started);
    }
    let mut known = std::collections::BTreeSet::new();
    while took.len() < MEASURED {
        let (_, slice) = seen.event();
        let of = slice["metadata"]["labels"]["kubernetes.io/service-name"].as_str().unwrap_or_default();
        let Some(at) = of.strip_prefix("latency-svc-").and_then(|at| at.parse::<usize>().ok()) else {
            continue;
        };
        let filled = slice["endpoints"].as_array().is_some_and(|all| !all.is_empty());
        if filled && known.insert(at) {
            took.push(started[at].elapsed());
            start(&mut started);
        }
    }
    took.sort_unstable();
    for (percent, limit) in LIMITS {
        let found = took[(MEASURED * percent / 100).min(MEASURED - 1)];
        assert!(found < limit, "{percent} of a hundred took {found:?}");
    }
}
