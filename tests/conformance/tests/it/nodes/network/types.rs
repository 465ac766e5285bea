//! Services that change their type.

use serde_json::{Value, json};
use testkit::wait_until;

use super::{PATIENCE, deployed, hears, serve, service, services, text};
use crate::life::change;
use crate::nodes::peer::client;
use crate::nodes::{Shared, cluster};

/// The ports of a service whose pods are this module's servers.
fn ports() -> Value {
    json!([{ "port": 80, "targetPort": 8080, "protocol": "TCP" }])
}

/// A service of type ExternalName becomes one of `kind` that pods answer.
fn from_external_name(kind: &str) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let external = json!({ "type": "ExternalName", "externalName": "foo.example.com" });
    let mut alias = service("externalname-service", &Value::Null, external);
    alias["spec"].as_object_mut().unwrap().remove("selector");
    serve(&cluster, &namespace, &alias);
    deployed(&cluster, &namespace, "externalname-service", 2);
    let path = format!("{}/externalname-service", services(&namespace));
    let changed = change(&cluster, &path, |object| {
        object["spec"] = json!({
            "type": kind, "ports": ports(), "selector": { "name": "externalname-service" },
        });
    });
    let pods = cluster.get(&format!("/api/v1/namespaces/{namespace}/pods"));
    let pods: Vec<&str> =
        pods["items"].as_array().unwrap().iter().map(|pod| text(pod, "/metadata/name")).collect();
    cluster.running(&namespace, &client("execpod"));
    let from = (namespace.as_str(), "execpod");
    hears(&cluster, from, "http", "externalname-service:80", &pods);
    hears(&cluster, from, "http", &format!("{}:80", text(&changed, "/spec/clusterIP")), &pods);
    if kind == "NodePort" {
        let port = &changed["spec"]["ports"][0]["nodePort"];
        for node in Shared::NODES {
            let to = format!("{}:{port}", cluster.node_address(node).unwrap());
            hears(&cluster, from, "http", &to, &pods);
        }
    }
}

/// A service of `kind` becomes another name of a service beside it.
fn to_external_name(kind: &str) {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let selector = json!({ "name": "externalsvc" });
    serve(
        &cluster,
        &namespace,
        &service("changing-service", &selector, json!({ "type": kind, "ports": ports() })),
    );
    serve(&cluster, &namespace, &service("externalsvc", &selector, json!({ "ports": ports() })));
    deployed(&cluster, &namespace, "externalsvc", 2);
    let name = format!("externalsvc.{namespace}.svc.cluster.local");
    let path = format!("{}/changing-service", services(&namespace));
    let changed = change(&cluster, &path, |object| {
        object["spec"] = json!({ "type": "ExternalName", "externalName": name });
    });
    assert!(changed["spec"]["clusterIP"].is_null(), "{changed}");
    cluster.running(&namespace, &client("execpod"));
    // As upstream asks it: a name server's answer names both.
    let full = format!("changing-service.{namespace}.svc.cluster.local");
    let mut last = String::new();
    let met = wait_until(PATIENCE, || {
        last = cluster.exec(&namespace, "execpod", "main", &["nslookup", &full]).stdout;
        last.contains(&name) && last.contains("Address")
    });
    assert!(met, "{full}: {last}");
}

/// [sig-network] Services should be able to change the type from ExternalName to ClusterIP [Conformance]
#[test]
fn services_should_be_able_to_change_from_external_name_to_cluster_ip() {
    from_external_name("ClusterIP");
}

/// [sig-network] Services should be able to change the type from ExternalName to NodePort [Conformance]
#[test]
fn services_should_be_able_to_change_from_external_name_to_node_port() {
    from_external_name("NodePort");
}

/// [sig-network] Services should be able to change the type from ClusterIP to ExternalName [Conformance]
#[test]
fn services_should_be_able_to_change_from_cluster_ip_to_external_name() {
    to_external_name("ClusterIP");
}

/// [sig-network] Services should be able to change the type from NodePort to ExternalName [Conformance]
#[test]
fn services_should_be_able_to_change_from_node_port_to_external_name() {
    to_external_name("NodePort");
}
