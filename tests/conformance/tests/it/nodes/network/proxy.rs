//! Pods and services through the API server.

use serde_json::{Value, json};
use testkit::wait_until;

use super::{PATIENCE, serve, service};
use crate::nodes::peer::pod;
use crate::nodes::{Shared, cluster, name};

/// What is asked of every pod and service, as often as a rare fault would take to show.
const ATTEMPTS: usize = 20;

/// A pod whose ports answer with texts: variables by port.
fn porter(pod_name: &str, labels: Value, args: &[&str], texts: &[(&str, &str)]) -> Value {
    let mut made = pod(pod_name, labels, &[&["porter"], args].concat());
    let variables: Vec<Value> =
        texts.iter().map(|(port, text)| json!({ "name": format!("SERVE_{port}"), "value": text })).collect();
    made["spec"]["containers"][0]["env"] = json!(variables);
    made
}

/// What is read through each way to the service and to its pod.
fn expected(namespace: &str, pod: &str) -> Vec<(String, String)> {
    let of_service = |name: &str| format!("/api/v1/namespaces/{namespace}/services/{name}/proxy");
    let of_pod = |name: String| format!("/api/v1/namespaces/{namespace}/pods/{name}/proxy");
    let mut expected: Vec<(String, String)> = Vec::new();
    for (name, text) in [
        ("proxy-service:portname1", "foo"),
        ("http:proxy-service:portname1", "foo"),
        ("proxy-service:portname2", "bar"),
        ("http:proxy-service:portname2", "bar"),
        ("https:proxy-service:tlsportname1", "tls baz"),
        ("https:proxy-service:tlsportname2", "tls qux"),
    ] {
        expected.push((of_service(name), text.to_owned()));
    }
    for (name, text) in [
        (format!("{pod}:160"), "foo"),
        (format!("http:{pod}:160"), "foo"),
        (format!("{pod}:162"), "bar"),
        (format!("http:{pod}:162"), "bar"),
        (format!("https:{pod}:460"), "tls baz"),
        (format!("https:{pod}:462"), "tls qux"),
    ] {
        expected.push((of_pod(name), text.to_owned()));
    }
    // Links of a page lead to where it was read.
    for (name, link) in [
        (pod.to_owned(), "rewriteme"),
        (format!("{pod}:1080"), "rewriteme"),
        (format!("http:{pod}:1080"), "rewriteme"),
        (format!("https:{pod}:443"), "tlsrewriteme"),
    ] {
        let path = of_pod(name);
        let page = format!(r#"<a href="{path}/{link}">test</a>"#);
        expected.push((path, page));
    }
    expected
}

/// [sig-network] Proxy version v1 should proxy through a service and a pod [Conformance]
#[test]
fn proxy_should_proxy_through_a_service_and_a_pod() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let labels = json!({ "proxy-service-target": "true" });
    let ports = json!({ "ports": [
        { "name": "portname1", "port": 80, "targetPort": "dest1" },
        { "name": "portname2", "port": 81, "targetPort": 162 },
        { "name": "tlsportname1", "port": 443, "targetPort": "tlsdest1" },
        { "name": "tlsportname2", "port": 444, "targetPort": 462 },
    ] });
    serve(&cluster, &namespace, &service("proxy-service", &labels, ports));
    let page = r#"<a href="/rewriteme">test</a>"#;
    let texts = [
        ("PORT_80", page),
        ("PORT_1080", page),
        ("PORT_160", "foo"),
        ("PORT_162", "bar"),
        ("TLS_PORT_443", r#"<a href="/tlsrewriteme">test</a>"#),
        ("TLS_PORT_460", "tls baz"),
        ("TLS_PORT_462", "tls qux"),
    ];
    let mut made = porter("proxy-pod", labels.clone(), &[], &texts);
    made["spec"]["containers"][0]["ports"] = json!([
        { "containerPort": 80 }, { "name": "dest1", "containerPort": 160 }, { "name": "dest2", "containerPort": 162 },
        { "name": "tlsdest1", "containerPort": 460 }, { "name": "tlsdest2", "containerPort": 462 },
    ]);
    made["spec"]["containers"][0]["readinessProbe"] =
        json!({ "httpGet": { "path": "/", "port": 80 }, "periodSeconds": 1 });
    let controllers = format!("/api/v1/namespaces/{namespace}/replicationcontrollers");
    let controller = json!({
        "apiVersion": "v1", "kind": "ReplicationController", "metadata": { "name": "proxy-service" },
        "spec": { "replicas": 1, "selector": labels, "template": {
            "metadata": { "labels": labels }, "spec": made["spec"],
        } },
    });
    cluster.post(&controllers, &controller);
    cluster.until(&format!("{controllers}/proxy-service"), |found| found["status"]["readyReplicas"] == 1);
    let pods = cluster.get(&format!("/api/v1/namespaces/{namespace}/pods"));
    let expected = expected(&namespace, name(&pods["items"][0]));
    let service = &expected[0].0;
    assert!(
        wait_until(PATIENCE, || cluster.rig().get(&format!("{service}/")).code == 200),
        "the service's endpoint"
    );
    for _ in 0..ATTEMPTS {
        for (path, text) in &expected {
            let answer = cluster.rig().get(&format!("{path}/"));
            assert_eq!((answer.code, answer.text()), (200, text.as_str()), "{path}");
        }
    }
}

/// A pod and its service that answer with the method they were asked with.
fn answering(cluster: &Shared, namespace: &str, service_name: &str) -> [String; 2] {
    let labels = json!({ "test": "response" });
    let made = porter("agnhost", labels.clone(), &["--json-response"], &[("PORT_80", "foo")]);
    cluster.running(namespace, &made);
    let ports = json!({ "ports": [{ "port": 80, "targetPort": 80, "protocol": "TCP" }] });
    serve(cluster, namespace, &service(service_name, &labels, ports));
    ["pods/agnhost", &format!("services/{service_name}")]
        .map(|of| format!("/api/v1/namespaces/{namespace}/{of}/proxy"))
}

/// Waits until a request with this method is answered with it.
#[track_caller]
fn answers(cluster: &Shared, method: &str, path: &str) {
    let mut last = None;
    let met = wait_until(PATIENCE, || {
        let answer = cluster.rig().send(method, path, &[], "");
        let fits = answer.code == 200
            && (method == "HEAD"
                || serde_json::from_slice::<Value>(&answer.body)
                    .is_ok_and(|said| said["method"] == method && said["body"] == "foo"));
        last = Some(answer);
        fits
    });
    assert!(met, "{method} {path}: {last:?}");
}

/// [sig-network] Proxy version v1 A set of valid responses are returned for both pod and service ProxyWithPath [Conformance]
#[test]
fn proxy_with_path_answers_every_method_for_pod_and_service() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    for path in answering(&cluster, &namespace, "test-service") {
        for method in ["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"] {
            answers(&cluster, method, &format!("{path}/some/path/with/{method}"));
        }
    }
}

/// [sig-network] Proxy version v1 A set of valid responses are returned for both pod and service Proxy [Conformance]
#[test]
fn proxy_answers_every_method_for_pod_and_service() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    for path in answering(&cluster, &namespace, "e2e-proxy-test-service") {
        for method in ["DELETE", "OPTIONS", "PATCH", "POST", "PUT"] {
            answers(&cluster, method, &format!("{path}?method={method}"));
        }
        // Those that read are led to the root.
        for method in ["GET", "HEAD"] {
            let answer = cluster.rig().send(method, &format!("{path}?method={method}"), &[], "");
            assert_eq!(answer.code, 301, "{method} {path}: {answer:?}");
        }
    }
}
