//! Config maps, secrets and fields of the pod as environment variables.

use serde_json::{Value, json};

use super::storage::{Place, place, pod};

/// An object with three values.
fn object(kind: &str) -> Value {
    let mut object = json!({ "apiVersion": "v1", "kind": kind, "metadata": { "name": "data" } });
    let field = if kind == "Secret" { "stringData" } else { "data" };
    object[field] = json!({ "data-1": "value-1", "data-2": "value-2", "data-3": "value-3" });
    object
}

/// The environment of a container, sorted.
fn environment(place: &Place, change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut pod = pod("");
    let container = &mut pod["spec"]["containers"][0];
    // A shell would not pass on what it cannot call a variable.
    container["command"] = json!(["env"]);
    change(container);
    let mut lines: Vec<String> = place.output(&pod).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[track_caller]
fn has(environment: &[String], wanted: &str) {
    assert!(environment.iter().any(|line| line == wanted), "no {wanted:?} in {environment:#?}");
}

/// One value under a name of the container's own.
fn one_value(kind: &str, reference: &str) {
    let place = place();
    place.post(&place.path(&resource(kind)), &object(kind));
    let from = json!({ reference: { "name": "data", "key": "data-1" } });
    let found = environment(&place, |container| {
        container["env"] = json!([{ "name": "FROM_OBJECT", "valueFrom": from }]);
    });
    has(&found, "FROM_OBJECT=value-1");
}

/// All values, under their keys behind these prefixes.
fn all_values(kind: &str, reference: &str, prefixes: &[&str]) {
    let place = place();
    place.post(&place.path(&resource(kind)), &object(kind));
    let from = |prefix: &&str| json!({ "prefix": prefix, reference: { "name": "data" } });
    let found = environment(&place, |container| {
        container["envFrom"] = prefixes.iter().map(from).collect();
    });
    for prefix in prefixes {
        (1..=3).for_each(|number| has(&found, &format!("{prefix}data-{number}=value-{number}")));
    }
}

fn resource(kind: &str) -> String {
    format!("{}s", kind.to_lowercase())
}

/// The value of a variable made of a field of the pod; the pod as it is afterwards.
fn of_fields(fields: &[(&str, &str)]) -> (Place, Vec<String>, Value) {
    let place = place();
    let variable = |(name, path): &(&str, &str)| json!({ "name": name, "valueFrom": { "fieldRef": { "apiVersion": "v1", "fieldPath": path } } });
    let found = environment(&place, |container| {
        container["env"] = fields.iter().map(variable).collect();
    });
    let pod = place.get(&place.path("pods/pod"));
    (place, found, pod)
}

/// Variables made of the container's resources.
fn of_resources(names: &[&str], resources: Value) -> (Place, Vec<String>) {
    let place = place();
    let variable = |name: &&str| json!({ "name": name.to_uppercase().replace('.', "_"), "valueFrom": { "resourceFieldRef": { "resource": name } } });
    let found = environment(&place, |container| {
        container["env"] = names.iter().map(variable).collect();
        container["resources"] = resources;
    });
    (place, found)
}

const PREFIXES: &[&str] = &["", "p-"];
/// Whatever can be printed but `=` may be in a variable's name.
const VARIOUS: &[&str] = &["1-", "$_-", "#p.", "@p_", "p p-", "?"];

/// `[sig-node] ConfigMap should be consumable via environment variable [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_via_environment_variable() {
    one_value("ConfigMap", "configMapKeyRef");
}

/// `[sig-node] ConfigMap should be consumable via the environment [NodeConformance] [Conformance]`
#[test]
fn config_map_should_be_consumable_via_the_environment() {
    all_values("ConfigMap", "configMapRef", PREFIXES);
}

/// `[sig-node] ConfigMap should be consumable as environment variable names with various prefixes [Conformance]`
#[test]
fn config_map_should_be_consumable_as_environment_variable_names_with_various_prefixes() {
    all_values("ConfigMap", "configMapRef", VARIOUS);
}

/// `[sig-node] Secrets should be consumable from pods in env vars [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_from_pods_in_env_vars() {
    one_value("Secret", "secretKeyRef");
}

/// `[sig-node] Secrets should be consumable via the environment [NodeConformance] [Conformance]`
#[test]
fn secrets_should_be_consumable_via_the_environment() {
    all_values("Secret", "secretRef", PREFIXES);
}

/// `[sig-node] Secrets should be consumable as environment variable names variable names with various prefixes [Conformance]`
#[test]
fn secrets_should_be_consumable_as_environment_variable_names_variable_names_with_various_prefixes() {
    all_values("Secret", "secretRef", VARIOUS);
}

/// `[sig-node] Downward API should provide pod name, namespace and IP address as env vars [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_pod_name_namespace_and_ip_address_as_env_vars() {
    let fields =
        [("POD_NAME", "metadata.name"), ("POD_NAMESPACE", "metadata.namespace"), ("POD_IP", "status.podIP")];
    let (place, found, pod) = of_fields(&fields);
    has(&found, "POD_NAME=pod");
    has(&found, &format!("POD_NAMESPACE={}", place.namespace));
    has(&found, &format!("POD_IP={}", pod["status"]["podIP"].as_str().unwrap()));
}

/// `[sig-node] Downward API should provide host IP as an env var [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_host_ip_as_an_env_var() {
    let (_place, found, pod) = of_fields(&[("HOST_IP", "status.hostIP")]);
    has(&found, &format!("HOST_IP={}", pod["status"]["hostIP"].as_str().unwrap()));
}

/// `[sig-node] Downward API should provide hostIPs as an env var [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_host_ips_as_an_env_var() {
    let (_place, found, pod) = of_fields(&[("HOST_IPS", "status.hostIPs")]);
    let all = pod["status"]["hostIPs"].as_array().unwrap().iter();
    let all: Vec<&str> = all.map(|one| one["ip"].as_str().unwrap()).collect();
    has(&found, &format!("HOST_IPS={}", all.join(",")));
}

/// `[sig-node] Downward API should provide pod UID as env vars [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_pod_uid_as_env_vars() {
    let (_place, found, pod) = of_fields(&[("POD_UID", "metadata.uid")]);
    has(&found, &format!("POD_UID={}", pod["metadata"]["uid"].as_str().unwrap()));
}

/// `[sig-node] Downward API should provide container's limits.cpu/memory and requests.cpu/memory as env vars [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_containers_limits_and_requests_as_env_vars() {
    let resources = json!({
        "requests": { "cpu": "250m", "memory": "32Mi" }, "limits": { "cpu": "1250m", "memory": "64Mi" },
    });
    let names = ["limits.cpu", "limits.memory", "requests.cpu", "requests.memory"];
    let (_place, found) = of_resources(&names, resources);
    for wanted in ["LIMITS_CPU=2", "LIMITS_MEMORY=67108864", "REQUESTS_CPU=1", "REQUESTS_MEMORY=33554432"] {
        has(&found, wanted);
    }
}

/// `[sig-node] Downward API should provide default limits.cpu/memory from node allocatable [NodeConformance] [Conformance]`
#[test]
fn downward_api_should_provide_default_limits_from_node_allocatable() {
    let (place, found) = of_resources(&["limits.cpu", "limits.memory"], json!({}));
    let pod = place.get(&place.path("pods/pod"));
    let node = place.get(&format!("/api/v1/nodes/{}", pod["spec"]["nodeName"].as_str().unwrap()));
    for (name, resource) in [("LIMITS_CPU", "cpu"), ("LIMITS_MEMORY", "memory")] {
        let has_it = node["status"]["allocatable"][resource].as_str().unwrap();
        has(&found, &format!("{name}={}", super::storage::whole(has_it)));
    }
}
