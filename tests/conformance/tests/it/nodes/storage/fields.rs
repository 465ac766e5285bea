//! Fields of a pod as files.

use serde_json::{Value, json};

use super::{Place, mount, place, pod, repeat};

/// Whether a volume is the pod's fields, or has them beside other sources.
#[derive(Clone, Copy)]
enum Form {
    Plain,
    Projected,
}

use Form::{Plain, Projected};

impl Form {
    fn volume(self, item: Value, mode: Option<u32>) -> Value {
        let fields = json!({ "items": [item] });
        let (kind, mut whole) = match self {
            Plain => ("downwardAPI", fields),
            Projected => ("projected", json!({ "sources": [{ "downwardAPI": fields }] })),
        };
        if let Some(mode) = mode {
            whole["defaultMode"] = json!(mode);
        }
        json!({ "name": "info", kind: whole })
    }
}

fn field(path: &str, field: &str) -> Value {
    json!({ "path": path, "fieldRef": { "apiVersion": "v1", "fieldPath": field } })
}

/// A pod with a field in `/etc/info`, and a script.
fn with_field(form: Form, item: Value, mode: Option<u32>, script: &str) -> Value {
    let mut pod = pod(script);
    mount(&mut pod, form.volume(item, mode), "/etc/info");
    pod
}

fn podname(form: Form) {
    let pod = with_field(form, field("podname", "metadata.name"), None, "cat /etc/info/podname");
    assert_eq!(place().output(&pod), "pod");
}

/// The mode that a file has, by the volume's default or its own.
fn mode(form: Form, default: Option<u32>, own: Option<u32>) {
    let mut item = field("podname", "metadata.name");
    if let Some(own) = own {
        item["mode"] = json!(own);
    }
    let pod = with_field(form, item, default, "stat -L -c %A /etc/info/podname");
    assert_eq!(place().output(&pod), "-r--------\n");
}

/// A pod prints its labels or annotations on and on; one of them changes.
fn follows(form: Form, which: &str, before: (&str, &str), after: (&str, &str)) {
    let place = place();
    let file = format!("/etc/info/{which}");
    let mut pod = with_field(form, field(which, &format!("metadata.{which}")), None, &repeat(&file));
    pod["metadata"][which] = json!({ before.0: before.1 });
    place.running(&place.namespace, &pod);
    place.until_said("main", &format!("{}=\"{}\"\n", before.0, before.1));
    let path = place.path("pods/pod");
    place.merge(&path, &json!({ "metadata": { which: { after.0: after.1 } } }));
    place.until_said("main", &format!("{}=\"{}\"\n", after.0, after.1));
}

fn labels(form: Form) {
    follows(form, "labels", ("key1", "value1"), ("key3", "value3"));
}

fn annotations(form: Form) {
    follows(form, "annotations", ("builder", "bar"), ("builder", "foo"));
}

/// What a file says of a resource of its container; `has_limits` or not.
fn resource(place: &Place, form: Form, resource: &str, has_limits: bool) -> String {
    let item =
        json!({ "path": "file", "resourceFieldRef": { "containerName": "main", "resource": resource } });
    let mut pod = with_field(form, item, None, "cat /etc/info/file");
    let requests = json!({ "cpu": "250m", "memory": "32Mi" });
    if has_limits {
        let limits = json!({ "cpu": "1250m", "memory": "64Mi" });
        pod["spec"]["containers"][0]["resources"] = json!({ "requests": requests, "limits": limits });
    }
    place.output(&pod)
}

fn given(form: Form, what: &str, expected: &str) {
    assert_eq!(resource(&place(), form, what, true), expected);
}

/// Who has no limit may take what the node has for pods.
fn of_the_node(form: Form, what: &str) {
    let place = place();
    let said: u64 = resource(&place, form, &format!("limits.{what}"), false).parse().unwrap();
    let pod = place.get(&place.path("pods/pod"));
    let node = place.get(&format!("/api/v1/nodes/{}", pod["spec"]["nodeName"].as_str().unwrap()));
    let has = node["status"]["allocatable"][what].as_str().unwrap();
    assert_eq!(said, whole(has), "{has}");
}

/// A quantity in whole units, as the API writes what nodes have.
pub(in crate::nodes) fn whole(quantity: &str) -> u64 {
    let end = quantity.find(|it: char| !it.is_ascii_digit()).unwrap_or(quantity.len());
    let (number, unit) = quantity.split_at(end);
    let number: u64 = number.parse().unwrap();
    match unit {
        "" => number,
        "m" => number.div_ceil(1000),
        "Ki" => number << 10,
        "Mi" => number << 20,
        "Gi" => number << 30,
        unit => panic!("{unit}"),
    }
}

/// `[sig-storage] Downward API volume should provide podname only [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_podname_only() {
    podname(Plain);
}

/// `[sig-storage] Downward API volume should set DefaultMode on files [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_set_default_mode_on_files() {
    mode(Plain, Some(0o400), None);
}

/// `[sig-storage] Downward API volume should set mode on item file [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_set_mode_on_item_file() {
    mode(Plain, None, Some(0o400));
}

/// `[sig-storage] Downward API volume should update labels on modification [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_update_labels_on_modification() {
    labels(Plain);
}

/// `[sig-storage] Downward API volume should update annotations on modification [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_update_annotations_on_modification() {
    annotations(Plain);
}

/// `[sig-storage] Downward API volume should provide container's cpu limit [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_container_cpu_limit() {
    given(Plain, "limits.cpu", "2");
}

/// `[sig-storage] Downward API volume should provide container's memory limit [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_container_memory_limit() {
    given(Plain, "limits.memory", "67108864");
}

/// `[sig-storage] Downward API volume should provide container's cpu request [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_container_cpu_request() {
    given(Plain, "requests.cpu", "1");
}

/// `[sig-storage] Downward API volume should provide container's memory request [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_container_memory_request() {
    given(Plain, "requests.memory", "33554432");
}

/// `[sig-storage] Downward API volume should provide node allocatable (cpu) as default cpu limit if the limit is not set [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_node_allocatable_cpu_as_default_cpu_limit_if_the_limit_is_not_set() {
    of_the_node(Plain, "cpu");
}

/// `[sig-storage] Downward API volume should provide node allocatable (memory) as default memory limit if the limit is not set [NodeConformance] [Conformance]`
#[test]
fn downward_api_volume_should_provide_node_allocatable_memory_as_default_memory_limit_if_the_limit_is_not_set()
 {
    of_the_node(Plain, "memory");
}

/// `[sig-storage] Projected downwardAPI should provide podname only [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_podname_only() {
    podname(Projected);
}

/// `[sig-storage] Projected downwardAPI should set DefaultMode on files [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_set_default_mode_on_files() {
    mode(Projected, Some(0o400), None);
}

/// `[sig-storage] Projected downwardAPI should set mode on item file [LinuxOnly] [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_set_mode_on_item_file() {
    mode(Projected, None, Some(0o400));
}

/// `[sig-storage] Projected downwardAPI should update labels on modification [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_update_labels_on_modification() {
    labels(Projected);
}

/// `[sig-storage] Projected downwardAPI should update annotations on modification [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_update_annotations_on_modification() {
    annotations(Projected);
}

/// `[sig-storage] Projected downwardAPI should provide container's cpu limit [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_container_cpu_limit() {
    given(Projected, "limits.cpu", "2");
}

/// `[sig-storage] Projected downwardAPI should provide container's memory limit [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_container_memory_limit() {
    given(Projected, "limits.memory", "67108864");
}

/// `[sig-storage] Projected downwardAPI should provide container's cpu request [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_container_cpu_request() {
    given(Projected, "requests.cpu", "1");
}

/// `[sig-storage] Projected downwardAPI should provide container's memory request [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_container_memory_request() {
    given(Projected, "requests.memory", "33554432");
}

/// `[sig-storage] Projected downwardAPI should provide node allocatable (cpu) as default cpu limit if the limit is not set [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_node_allocatable_cpu_as_default_cpu_limit_if_the_limit_is_not_set() {
    of_the_node(Projected, "cpu");
}

/// `[sig-storage] Projected downwardAPI should provide node allocatable (memory) as default memory limit if the limit is not set [NodeConformance] [Conformance]`
#[test]
fn projected_downward_api_should_provide_node_allocatable_memory_as_default_memory_limit_if_the_limit_is_not_set()
 {
    of_the_node(Projected, "memory");
}
