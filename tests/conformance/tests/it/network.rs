//! [sig-network]

use serde_json::{Value, json};

use crate::api::{Api, server};
use crate::life::{Life, change, contains, revision};

fn items(list: &Value) -> &[Value] {
    list["items"].as_array().map_or(&[], Vec::as_slice)
}

fn service(name: &str, spec: Value) -> Value {
    json!({ "apiVersion": "v1", "kind": "Service", "metadata": { "name": name }, "spec": spec })
}

/// A service whose selector no pod matches.
fn lonely(name: &str) -> Value {
    let ports = json!([{ "name": "example", "port": 80, "protocol": "TCP" }]);
    service(
        name,
        json!({ "selector": { "does-not-match-anything": "endpoints-and-slices" }, "ports": ports }),
    )
}

/// `[sig-network] EndpointSlice should support creating EndpointSlice API operations [Conformance]`
#[test]
fn endpoint_slice_should_support_creating_endpoint_slice_api_operations() {
    let api = server();
    let namespace = api.namespace();
    Life {
        version: "discovery.k8s.io/v1",
        resource: "endpointslices",
        kind: "EndpointSlice",
        namespace: Some(&namespace),
        names: ["one", "two", "three"],
        body: json!({
            "addressType": "IPv4",
            "endpoints": [{ "addresses": ["1.2.3.4", "5.6.7.8"] }],
        }),
        phase: None,
        status: None,
    }
    .run(&api);
}

/// `[sig-network] EndpointSlice should create and delete EndpointSlices for a Service with a selector that matches no
/// pods [Conformance]`
#[test]
fn endpoint_slice_should_create_and_delete_endpoint_slices_for_a_service_that_matches_no_pods() {
    let api = server();
    let namespace = api.namespace();
    let services = format!("/api/v1/namespaces/{namespace}/services");
    api.post(&services, &lonely("lonely"));
    let slices = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dlonely"
    );
    let list = api.until(&slices, |list| items(list).len() == 1);
    assert_eq!(items(&list)[0].get("endpoints").and_then(Value::as_array).map_or(0, Vec::len), 0, "{list}");
    api.delete(&format!("{services}/lonely"));
    api.gone(&format!("{services}/lonely"));
    api.until(&slices, |list| items(list).is_empty());
}

/// `[sig-network] EndpointsController should create and delete Endpoints for a Service with a selector that matches no
/// pods [Conformance]`
#[test]
fn endpoints_controller_should_create_and_delete_endpoints_for_a_service_that_matches_no_pods() {
    let api = server();
    let namespace = api.namespace();
    let services = format!("/api/v1/namespaces/{namespace}/services");
    api.post(&services, &lonely("lonely"));
    let list = format!("/api/v1/namespaces/{namespace}/endpoints");
    let found = api.until(&list, |list| items(list).len() == 1);
    assert_eq!(items(&found)[0]["metadata"]["name"], "lonely");
    let endpoints = api.get(&format!("{list}/lonely"));
    assert_eq!(endpoints.get("subsets").and_then(Value::as_array).map_or(0, Vec::len), 0, "{endpoints}");
    api.delete(&format!("{services}/lonely"));
    api.gone(&format!("{services}/lonely"));
    api.gone(&format!("{list}/lonely"));
}

/// The address in the only endpoint of the only slice.
fn only_address(list: &Value) -> Option<&str> {
    let [slice] = items(list) else { return None };
    let (endpoints, ports) = (slice["endpoints"].as_array()?, slice["ports"].as_array()?);
    assert_eq!(ports.len(), 1, "{slice}");
    assert_eq!(ports[0]["port"], 80);
    if endpoints.len() == 1 { endpoints[0]["addresses"][0].as_str() } else { None }
}

/// `[sig-network] EndpointSliceMirroring should mirror a custom Endpoints resource through create update and delete
/// [Conformance]`
#[test]
fn endpoint_slice_mirroring_should_mirror_a_custom_endpoints_resource() {
    let api = server();
    let namespace = api.namespace();
    let name = "example-custom-endpoints";
    let ports = json!([{ "name": "example", "port": 80, "protocol": "TCP" }]);
    api.post(&format!("/api/v1/namespaces/{namespace}/services"), &service(name, json!({ "ports": ports })));
    let path = format!("/api/v1/namespaces/{namespace}/endpoints");
    let endpoints = |ip: &str| {
        let subset = json!({ "ports": [{ "port": 80 }], "addresses": [{ "ip": ip }] });
        json!({ "apiVersion": "v1", "kind": "Endpoints", "metadata": { "name": name }, "subsets": [subset] })
    };
    let slices = format!(
        "/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3D{name}"
    );
    api.post(&path, &endpoints("10.1.2.3"));
    api.until(&slices, |list| only_address(list) == Some("10.1.2.3"));
    api.put(&format!("{path}/{name}"), &endpoints("10.2.3.4"));
    api.until(&slices, |list| only_address(list) == Some("10.2.3.4"));
    api.delete(&format!("{path}/{name}"));
    api.until(&slices, |list| items(list).is_empty());
}

/// `[sig-network] Endpoints should test the lifecycle of an Endpoint [Conformance]`
#[test]
fn endpoints_should_test_the_lifecycle_of_an_endpoint() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/endpoints");
    let one = format!("{path}/testservice");
    let mut events = api.watch(&format!("{path}?labelSelector=test-endpoint-static%3Dtrue"));
    let subset = |ip: &str, port: u32| json!([{ "addresses": [{ "ip": ip }], "ports": [{ "name": "http", "port": port, "protocol": "TCP" }] }]);
    let object = json!({
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": { "name": "testservice", "labels": { "test-endpoint-static": "true" } },
        "subsets": subset("10.0.0.24", 80),
    });
    api.post(&path, &object);
    events.until("ADDED", |object| object["metadata"]["name"] == "testservice");
    let all = api.get("/api/v1/endpoints?labelSelector=test-endpoint-static%3Dtrue");
    assert_eq!(items(&all).len(), 1);
    change(&api, &one, |object| object["metadata"]["labels"]["test-service"] = json!("updated"));
    events.until("MODIFIED", |object| object["metadata"]["labels"]["test-service"] == "updated");
    assert_eq!(api.get(&one)["metadata"]["labels"]["test-service"], "updated");
    let patch = json!({
        "metadata": { "labels": { "test-service": "patched" } },
        "subsets": subset("10.0.0.25", 8080),
    });
    api.strategic(&one, &patch);
    events.until("MODIFIED", |object| object["metadata"]["labels"]["test-service"] == "patched");
    assert_eq!(api.get(&one)["subsets"], subset("10.0.0.25", 8080));
    api.delete(&format!("{path}?labelSelector=test-endpoint-static%3Dtrue"));
    events.until("DELETED", |object| object["metadata"]["name"] == "testservice");
    api.gone(&one);
}

/// `[sig-network] Ingress API should support creating Ingress API operations [Conformance]`
#[test]
fn ingress_api_should_support_creating_ingress_api_operations() {
    let api = server();
    let namespace = api.namespace();
    let backend = json!({ "service": { "name": "default-backend", "port": { "number": 8080 } } });
    let paths = json!([{ "path": "/", "pathType": "ImplementationSpecific", "backend": backend }]);
    Life {
        version: "networking.k8s.io/v1",
        resource: "ingresses",
        kind: "Ingress",
        namespace: Some(&namespace),
        names: ["one", "two", "three"],
        body: json!({ "spec": {
            "defaultBackend": backend,
            "rules": [{ "host": "foo.example", "http": { "paths": paths } }],
        } }),
        phase: None,
        status: Some([
            json!({ "loadBalancer": { "ingress": [{ "ip": "169.1.1.1" }] } }),
            json!({ "loadBalancer": { "ingress": [{ "ip": "169.1.1.2" }] } }),
        ]),
    }
    .run(&api);
}

/// `[sig-network] IngressClass API should support creating IngressClass API operations [Conformance]`
#[test]
fn ingress_class_api_should_support_creating_ingress_class_api_operations() {
    Life {
        version: "networking.k8s.io/v1",
        resource: "ingressclasses",
        kind: "IngressClass",
        namespace: None,
        names: ["ic-one", "ic-two", "ic-three"],
        body: json!({ "spec": { "controller": "example.com/controller" } }),
        phase: None,
        status: None,
    }
    .run(&server());
}

/// `[sig-network] ServiceCIDR and IPAddress API should support IPAddress API operations [Conformance]`
#[test]
fn service_cidr_and_ip_address_api_should_support_ip_address_api_operations() {
    Life {
        version: "networking.k8s.io/v1",
        resource: "ipaddresses",
        kind: "IPAddress",
        namespace: None,
        names: ["255.255.255.255", "fe80::42:1dff:fe84:f9e2", "255.255.255.254"],
        body: json!({ "spec": { "parentRef": {
            "group": "mygroup", "resource": "myresources", "namespace": "foo", "name": "bar",
        } } }),
        phase: None,
        status: None,
    }
    .run(&server());
}

/// `[sig-network] ServiceCIDR and IPAddress API should support ServiceCIDR API operations [Conformance]`
#[test]
fn service_cidr_and_ip_address_api_should_support_service_cidr_api_operations() {
    let api = server();
    let path = "/apis/networking.k8s.io/v1/servicecidrs";
    let default = api.get(&format!("{path}/kubernetes"));
    let status = api.get(&format!("{path}/kubernetes/status"));
    assert_eq!(
        (&status["apiVersion"], &status["kind"]),
        (&json!("networking.k8s.io/v1"), &json!("ServiceCIDR"))
    );
    assert_eq!(status["metadata"]["uid"], default["metadata"]["uid"]);
    let list = api.get(path);
    assert!(items(&list).iter().any(|cidr| cidr["metadata"]["name"] == "kubernetes"), "{list}");
    let mut events = api.watch(path);
    events.until("ADDED", |cidr| cidr["metadata"]["name"] == "kubernetes");
}

/// `[sig-network] Services should find a service from listing all namespaces [Conformance]`
#[test]
fn services_should_find_a_service_from_listing_all_namespaces() {
    let list = server().get("/api/v1/services");
    let found = |service: &&Value| {
        service["metadata"]["name"] == "kubernetes" && service["metadata"]["namespace"] == "default"
    };
    assert!(items(&list).iter().any(|service| found(&service)), "{list}");
}

/// `[sig-network] Services should delete a collection of services [Conformance]`
#[test]
fn services_should_delete_a_collection_of_services() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/services");
    for (name, label) in [("e2e-svc-a", "yes"), ("e2e-svc-b", "yes"), ("e2e-svc-c", "no")] {
        let mut object = service(name, json!({ "ports": [{ "name": "http", "port": 8001 }] }));
        object["metadata"]["labels"] = json!({ "collection": label });
        api.post(&path, &object);
    }
    assert_eq!(items(&api.get(&path)).len(), 3);
    api.delete(&format!("{path}?labelSelector=collection%3Dyes"));
    let left = api.until(&path, |list| items(list).len() == 1);
    assert_eq!(items(&left)[0]["metadata"]["name"], "e2e-svc-c");
}

/// Sets the status in both ways, which leave the specification alone.
fn service_status(api: &Api, one: &str) {
    let status = format!("{one}/status");
    let ingress = json!([{ "ip": "203.0.113.1" }]);
    let patch = json!({
        "metadata": { "annotations": { "patchedstatus": "true" } },
        "status": { "loadBalancer": { "ingress": ingress } },
    });
    let patched = api.merge(&status, &patch);
    contains(&patched, &patch);
    contains(&api.get(&status)["status"], &patch["status"]);
    let condition = json!({
        "type": "StatusUpdate",
        "status": "True",
        "reason": "E2E",
        "message": "Set from e2e test",
        "lastTransitionTime": "2026-01-02T03:04:05Z",
    });
    let updated = change(api, &status, |object| object["status"]["conditions"] = json!([condition]));
    contains(&updated["status"], &json!({ "conditions": [condition] }));
    assert!(revision(&patched) < revision(&updated));
    assert_eq!(updated["spec"], patched["spec"]);
}

/// `[sig-network] Services should complete a service status lifecycle [Conformance]`
#[test]
fn services_should_complete_a_service_status_lifecycle() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/api/v1/namespaces/{namespace}/services");
    let one = format!("{path}/test-service");
    let port = json!({ "name": "http", "protocol": "TCP", "port": 80, "targetPort": 80 });
    let mut object = service("test-service", json!({ "type": "LoadBalancer", "ports": [port] }));
    object["metadata"]["labels"] = json!({ "test-service-static": "true" });
    let mut events = api.watch(&format!("{path}?labelSelector=test-service-static%3Dtrue"));
    api.post(&path, &object);
    events.until("ADDED", |object| object["metadata"]["name"] == "test-service");
    assert_eq!(items(&api.get("/api/v1/services?labelSelector=test-service-static%3Dtrue")).len(), 1);
    service_status(&api, &one);
    events.until("MODIFIED", |object| {
        object["status"]["loadBalancer"]["ingress"][0]["ip"] == "203.0.113.1"
            && object["metadata"]["annotations"]["patchedstatus"] == "true"
    });
    events.until("MODIFIED", |object| object["status"]["conditions"][0]["reason"] == "E2E");
    let patch = json!({ "metadata": { "labels": { "test-service": "patched" } } });
    api.strategic(&one, &patch);
    events.until("MODIFIED", |object| object["metadata"]["labels"]["test-service"] == "patched");
    api.delete(&one);
    events.until("DELETED", |object| object["metadata"]["name"] == "test-service");
    api.gone(&one);
}
