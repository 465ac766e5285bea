//! The cluster's names.

use serde_json::{Value, json};
use testkit::wait_until;

use super::{PATIENCE, serve, service, services, text};
use crate::life::change;
use crate::nodes::peer::client;
use crate::nodes::{Shared, cluster};

/// The pod that asks, its labels those of the headless service's pods.
const QUERIER: &str = "dns-querier";

fn querier(labels: Value) -> Value {
    let mut pod = client(QUERIER);
    pod["metadata"]["labels"] = labels;
    pod
}

/// What dig of the querier prints for a question; over TCP where `more` says so.
fn dig(cluster: &Shared, namespace: &str, more: &[&str]) -> String {
    let command = [&["dig", "+time=2"], more].concat();
    cluster.exec(namespace, QUERIER, "main", &command).stdout
}

/// Waits until there is an answer to a question, over UDP and over TCP.
#[track_caller]
fn resolves(cluster: &Shared, namespace: &str, name: &str, kind: &str, fits: impl Fn(&str) -> bool) {
    for transport in ["+notcp", "+tcp"] {
        let mut last = String::new();
        let met = wait_until(PATIENCE, || {
            last = dig(cluster, namespace, &["+noall", "+answer", "+search", transport, name, kind]);
            !last.trim().is_empty() && fits(&last)
        });
        assert!(met, "{name} {kind} {transport}: {last:?}");
    }
}

/// Waits until the C library of the querier finds a name's address.
#[track_caller]
fn found_by_libc(cluster: &Shared, namespace: &str, name: &str, address: &str) {
    let mut last = String::new();
    let met = wait_until(PATIENCE, || {
        last = cluster.exec(namespace, QUERIER, "main", &["ping", "-c", "1", "-W", "1", name]).stdout;
        last.contains(address)
    });
    assert!(met, "{name}: {last:?} instead of {address}");
}

/// [sig-network] DNS should provide DNS for the cluster [Conformance]
#[test]
fn dns_should_provide_dns_for_the_cluster() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let pod = cluster.running(&namespace, &querier(json!({})));
    let master = cluster.get("/api/v1/namespaces/default/services/kubernetes");
    let address = text(&master, "/spec/clusterIP");
    resolves(&cluster, &namespace, "kubernetes.default.svc.cluster.local", "A", |said| {
        said.contains(address)
    });
    let own = text(&pod, "/status/podIP");
    let record = format!("{}.{namespace}.pod.cluster.local", own.replace('.', "-"));
    resolves(&cluster, &namespace, &record, "A", |said| said.contains(own));
}

/// [sig-network] DNS should provide /etc/hosts entries for the cluster [Conformance]
#[test]
fn dns_should_provide_etc_hosts_entries_for_the_cluster() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = querier(json!({}));
    pod["spec"]["hostname"] = json!("dns-querier-1");
    pod["spec"]["subdomain"] = json!("dns-test-service");
    let pod = cluster.running(&namespace, &pod);
    let address = text(&pod, "/status/podIP");
    let hosts = cluster.exec(&namespace, QUERIER, "main", &["cat", "/etc/hosts"]).ok().to_owned();
    let full = format!("dns-querier-1.dns-test-service.{namespace}.svc.cluster.local");
    for name in [full.as_str(), "dns-querier-1"] {
        let line = hosts.lines().find(|line| line.split_whitespace().skip(1).any(|found| found == name));
        assert!(line.is_some_and(|line| line.starts_with(address)), "{name} {address} in {hosts}");
    }
}

/// A headless service, another with an address, and a pod of both that asks.
fn with_services() -> (Shared, String, String, String) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "dns-test": "true" });
    let ports = json!([{ "name": "http", "port": 80, "protocol": "TCP" }]);
    let headless = json!({ "clusterIP": "None", "ports": ports });
    serve(&cluster, &namespace, &service("dns-test-service", &labels, headless));
    let regular = serve(&cluster, &namespace, &service("test-service-2", &labels, json!({ "ports": ports })));
    let pod = cluster.running(&namespace, &querier(labels));
    let (pod, address) =
        (text(&pod, "/status/podIP").to_owned(), text(&regular, "/spec/clusterIP").to_owned());
    (cluster, namespace, pod, address)
}

/// An address's name in the reverse tree.
fn reverse(address: &str) -> String {
    let parts: Vec<&str> = address.split('.').rev().collect();
    format!("{}.in-addr.arpa.", parts.join("."))
}

/// [sig-network] DNS should provide DNS for services [Conformance]
#[test]
fn dns_should_provide_dns_for_services() {
    let (cluster, namespace, pod, address) = with_services();
    let inside = format!("{namespace}.svc.cluster.local");
    resolves(&cluster, &namespace, &format!("dns-test-service.{inside}"), "A", |said| said.contains(&pod));
    for service in ["dns-test-service", "test-service-2"] {
        let name = format!("_http._tcp.{service}.{inside}");
        resolves(&cluster, &namespace, &name, "SRV", |said| {
            said.contains(&format!(".{service}.{inside}.")) || said.contains(&format!(" {service}.{inside}."))
        });
    }
    resolves(&cluster, &namespace, &reverse(&address), "PTR", |said| {
        said.contains(&format!("test-service-2.{inside}."))
    });
}

/// [sig-network] DNS should resolve DNS of partial qualified names for services [LinuxOnly] [Conformance]
#[test]
fn dns_should_resolve_partial_qualified_names_for_services() {
    let (cluster, namespace, pod, address) = with_services();
    let partial = [
        "dns-test-service".to_owned(),
        format!("dns-test-service.{namespace}"),
        format!("dns-test-service.{namespace}.svc"),
    ];
    for name in &partial {
        resolves(&cluster, &namespace, name, "A", |said| said.contains(&pod));
        found_by_libc(&cluster, &namespace, name, &pod);
    }
    found_by_libc(&cluster, &namespace, &format!("test-service-2.{namespace}.svc"), &address);
    for service in ["dns-test-service", "test-service-2"] {
        let name = format!("_http._tcp.{service}.{namespace}.svc");
        resolves(&cluster, &namespace, &name, "SRV", |said| said.contains(service));
    }
    resolves(&cluster, &namespace, &reverse(&address), "PTR", |said| said.contains("test-service-2"));
}

/// A pod with a host name in the domain of a headless service.
fn with_hostname() -> (Shared, String, String) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "dns-test-hostname-attribute": "true" });
    let headless = json!({ "clusterIP": "None", "ports": [{ "name": "http", "port": 80 }] });
    serve(&cluster, &namespace, &service("dns-test-service-2", &labels, headless));
    let mut pod = querier(labels);
    pod["spec"]["hostname"] = json!("dns-querier-2");
    pod["spec"]["subdomain"] = json!("dns-test-service-2");
    let pod = cluster.running(&namespace, &pod);
    let address = text(&pod, "/status/podIP").to_owned();
    (cluster, namespace, address)
}

/// [sig-network] DNS should provide DNS for pods for Hostname [Conformance]
#[test]
fn dns_should_provide_dns_for_pods_for_hostname() {
    let (cluster, namespace, address) = with_hostname();
    let full = format!("dns-querier-2.dns-test-service-2.{namespace}.svc.cluster.local");
    for name in [full.as_str(), "dns-querier-2"] {
        found_by_libc(&cluster, &namespace, name, &address);
    }
    resolves(&cluster, &namespace, &full, "A", |said| said.contains(&address));
    let said = cluster.exec(&namespace, QUERIER, "main", &["hostname", "-f"]);
    assert_eq!(said.ok(), full);
}

/// [sig-network] DNS should provide DNS for pods for Subdomain [Conformance]
#[test]
fn dns_should_provide_dns_for_pods_for_subdomain() {
    let (cluster, namespace, address) = with_hostname();
    let subdomain = format!("dns-test-service-2.{namespace}.svc.cluster.local");
    for name in [format!("dns-querier-2.{subdomain}"), subdomain] {
        resolves(&cluster, &namespace, &name, "A", |said| said.contains(&address));
    }
}

/// [sig-network] DNS should provide DNS for ExternalName services [Conformance]
#[test]
fn dns_should_provide_dns_for_external_name_services() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let made = json!({
        "apiVersion": "v1", "kind": "Service", "metadata": { "name": "dns-test-service-3" },
        "spec": { "type": "ExternalName", "externalName": "foo.example.com" },
    });
    serve(&cluster, &namespace, &made);
    cluster.running(&namespace, &querier(json!({})));
    let full = format!("dns-test-service-3.{namespace}.svc.cluster.local");
    let asks = |kind: &str, answer: &str| {
        let mut last = String::new();
        let met = wait_until(PATIENCE, || {
            last = dig(&cluster, &namespace, &["+short", &full, kind]);
            last.trim() == answer
        });
        assert!(met, "{full} {kind}: {last:?} instead of {answer}");
    };
    asks("CNAME", "foo.example.com.");
    let path = format!("{}/dns-test-service-3", services(&namespace));
    change(&cluster, &path, |object| object["spec"]["externalName"] = json!("bar.example.com"));
    asks("CNAME", "bar.example.com.");
    let changed = change(&cluster, &path, |object| {
        object["spec"]["type"] = json!("ClusterIP");
        object["spec"]["ports"] = json!([{ "name": "http", "port": 80, "protocol": "TCP" }]);
    });
    asks("A", text(&changed, "/spec/clusterIP"));
}

/// [sig-network] DNS should support configurable pod DNS nameservers [Conformance]
#[test]
fn dns_should_support_configurable_pod_dns_nameservers() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let mut pod = querier(json!({}));
    pod["spec"]["dnsPolicy"] = json!("None");
    pod["spec"]["dnsConfig"] = json!({ "nameservers": ["1.1.1.1"], "searches": ["resolv.conf.local"] });
    cluster.running(&namespace, &pod);
    let said = cluster.exec(&namespace, QUERIER, "main", &["cat", "/etc/resolv.conf"]);
    let lines: Vec<&str> = said.ok().lines().map(str::trim).collect();
    assert!(lines.contains(&"search resolv.conf.local"), "{lines:?}");
    let servers: Vec<&&str> = lines.iter().filter(|line| line.starts_with("nameserver")).collect();
    assert_eq!(servers, [&"nameserver 1.1.1.1"]);
}
