//! Custom resources in discovery, and selected by their fields.

use serde_json::{Value, json};

use crate::nodes::defined::Defined;
use crate::rig::{rig, wait_for};

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

fn anything() -> Value {
    json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// The resources of a group's version in an aggregated document.
fn resources(document: &Value, group: &str, version: &str) -> Vec<Value> {
    let all = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let groups = all(&document["items"]);
    let found = groups.iter().find(|found| found["metadata"]["name"] == group);
    let versions = found.map(|found| all(&found["versions"])).unwrap_or_default();
    versions
        .iter()
        .find(|found| found["version"] == version)
        .map(|found| all(&found["resources"]))
        .unwrap_or_default()
}

/// [sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery request for CRDs [Conformance]
#[test]
fn aggregated_discovery_should_support_raw_request_for_crds() {
    let rig = rig();
    let defined = Defined::with(&rig, &[("v1", anything())], json!({}));
    let found = || {
        let document = rig.get_as("/apis", AGGREGATED).ok();
        assert_eq!(document["kind"], "APIGroupDiscoveryList");
        resources(&document, defined.group(), "v1")
    };
    wait_for("the group in the document", || !found().is_empty());
    let resource = &found()[0];
    assert_eq!(resource["resource"], *defined.plural());
    assert_eq!(resource["responseKind"]["kind"], *defined.kind());
    assert_eq!(resource["scope"], "Namespaced");
}

/// [sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface for CRDs [Conformance]
#[test]
fn aggregated_discovery_should_support_interface_for_crds() {
    let rig = rig();
    let defined = Defined::with(&rig, &[("v1", anything()), ("v2", anything())], json!({}));
    // A client takes groups and their resources from one document, and goes by it.
    let accept = format!(
        "{AGGREGATED},application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
    );
    wait_for("both versions", || {
        let document = rig.get_as("/apis", &accept).ok();
        ["v1", "v2"].iter().all(|version| {
            resources(&document, defined.group(), version)
                .iter()
                .any(|found| found["resource"] == *defined.plural())
        })
    });
    let namespace = rig.namespace();
    for version in ["v1", "v2"] {
        rig.get(&defined.objects(version, &namespace)).ok();
    }
    let said = rig.kubectl(&["api-resources", "--api-group", defined.group(), "-o", "name"]);
    assert_eq!(said.trim(), format!("{}.{}", defined.plural(), defined.group()));
}

/// [sig-api-machinery] CustomResourceFieldSelectors [Privileged:ClusterAdmin] CustomResourceFieldSelectors MUST list and watch custom resources matching the field selector [Conformance]
#[test]
fn custom_resource_field_selectors_must_list_and_watch() {
    let rig = rig();
    let text = json!({ "type": "string" });
    let schema = json!({ "type": "object", "properties": { "color": text, "quantity": { "type": "integer" }, "hostPort": text } });
    let selectable =
        json!([{ "jsonPath": ".hostPort" }, { "jsonPath": ".color" }, { "jsonPath": ".quantity" }]);
    let version = |name: &str, storage: bool| {
        json!({ "name": name, "served": true, "storage": storage, "selectableFields": selectable,
            "schema": { "openAPIV3Schema": schema } })
    };
    let versions = json!({ "versions": [version("v1", true), version("v2", false)] });
    let defined = Defined::with(&rig, &[("v1", schema.clone()), ("v2", schema.clone())], versions);
    let namespace = rig.namespace();
    for version in ["v1", "v2"] {
        let objects = defined.objects(version, &namespace);
        let selected = format!("{objects}?fieldSelector=hostPort%3Dhost1%3A80%2Ccolor%3Dblue");
        let mut watch = rig.watch(&selected);
        for (name, color, host) in
            [("a", "blue", "host1:80"), ("b", "red", "host1:80"), ("c", "blue", "host2:8080")]
        {
            let mut object = defined.object(version, &format!("{version}-{name}"));
            object["color"] = json!(color);
            object["hostPort"] = json!(host);
            object["quantity"] = json!(10);
            rig.create(&objects, &object).ok();
        }
        let list = rig.get(&selected).ok();
        let names: Vec<&str> = list["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| item["metadata"]["name"].as_str().unwrap())
            .collect();
        assert_eq!(names, [format!("{version}-a")]);
        let first = format!("{version}-a");
        watch.until("ADDED", |object| object["metadata"]["name"] == *first);
        // What no longer fits has gone, for whoever selects.
        let patch = json!({ "color": "green" });
        rig.patch(&format!("{objects}/{first}"), crate::rig::MERGE_PATCH, &patch).ok();
        watch.until("DELETED", |object| object["metadata"]["name"] == *first);
        rig.get(&format!("{objects}?fieldSelector=shape%3Dround")).refused(400);
        let ten = rig.get(&format!("{objects}?fieldSelector=quantity%3D10%2Ccolor%3Dred")).ok();
        assert_eq!(ten["items"].as_array().unwrap().len(), 1);
        rig.delete(&objects).ok();
    }
}
