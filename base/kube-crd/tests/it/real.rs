//! A definition as operators ship them, from its creation to its objects.

use kube_crd::convert::Plan;
use kube_crd::value::Malformed;
use kube_crd::{Definition, convert, default_crd, publish, status_plan, validate_crd};
use kube_object::apply::typed;
use kube_object::shape::Shape;
use kube_object::time::Time;
use serde_json::{Value, json};

fn crd() -> Value {
    let schema = json!({"type": "object", "description": "Schedules jobs.", "required": ["spec"], "properties": {
        "apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object"},
        "spec": {"type": "object", "required": ["cronSpec", "image"], "properties": {
            "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
            "image": {"type": "string"},
            "replicas": {"type": "integer", "format": "int32", "minimum": 1, "maximum": 10, "default": 1},
            "port": {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": true},
            "env": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                "items": {"type": "object", "required": ["name"], "properties": {
                    "name": {"type": "string"}, "value": {"type": "string"}}}}}},
        "status": {"type": "object", "properties": {"replicas": {"type": "integer"}, "phase": {"type": "string"}}}}});
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "crontabs.stable.example.com"},
        "spec": {"group": "stable.example.com", "scope": "Namespaced",
            "names": {"plural": "crontabs", "singular": "crontab", "kind": "CronTab", "shortNames": ["ct"]},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema},
                "subresources": {"status": {}, "scale": {"specReplicasPath": ".spec.replicas",
                    "statusReplicasPath": ".status.replicas"}},
                "additionalPrinterColumns": [
                    {"name": "Spec", "type": "string", "jsonPath": ".spec.cronSpec"},
                    {"name": "Replicas", "type": "integer", "jsonPath": ".spec.replicas"},
                    {"name": "Age", "type": "date", "jsonPath": ".metadata.creationTimestamp"}]},
                {"name": "v1beta1", "served": true, "storage": false, "schema": {"openAPIV3Schema":
                    {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}]}})
}

#[test]
fn from_definition_to_object() {
    let mut crd = crd();
    default_crd(&mut crd);
    assert_eq!(validate_crd(&crd, None), []);
    let now = Time::parse("2026-01-01T00:10:00Z").unwrap();
    let plan = status_plan(&crd, &[], now);
    assert!(plan.established);
    let definition = Definition::compile(&crd).unwrap();
    let v1 = definition.version("v1").unwrap();

    let mut object = json!({"apiVersion": "stable.example.com/v1", "kind": "CronTab",
        "metadata": {"name": "my", "creationTimestamp": "2026-01-01T00:00:00Z"},
        "spec": {"cronSpec": "* * * * */5", "image": "img", "port": "http", "typo": true,
            "env": [{"name": "A", "value": "1"}]}, "status": {"replicas": 4}});
    let unknown = v1.schema.admit(&mut object, Malformed::Refuse).unwrap();
    assert_eq!(unknown, ["spec.typo"]);
    v1.schema.default(&mut object);
    v1.prepare_create(&mut object);
    assert_eq!(v1.validate_create(&object, Vec::new()), []);
    assert_eq!(object["spec"]["replicas"], 1);
    assert_eq!(object.get("status"), None);
    let cells: Vec<Value> = v1.columns().iter().map(|column| column.cell(&object, now)).collect();
    assert_eq!(cells, [json!("* * * * */5"), json!(1), json!("10m")]);

    let config = json!({"spec": {"env": [{"name": "B", "value": "2"}]}});
    let shape: &dyn Shape = &*v1.schema;
    let merged = typed::merge(&object, &config, Some(shape)).unwrap();
    assert_eq!(merged["spec"]["env"], json!([{"name": "A", "value": "1"}, {"name": "B", "value": "2"}]));

    let mut bad = object.clone();
    bad["spec"] = json!({"cronSpec": "x", "replicas": "11", "env": [{"name": "A"}, {"name": "A"}]});
    let errors: Vec<String> = v1.validate_create(&bad, Vec::new()).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "spec.cronSpec: Invalid value: \"x\": spec.cronSpec in body should match '^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$'",
            "spec.replicas: Invalid value: \"string\": spec.replicas in body must be of type integer: \"string\"",
            "spec.image: Required value",
            ".spec.replicas: Invalid value: 0: .spec.replicas accessor error: 11 is of the type string, expected int64",
            "spec.env[1]: Duplicate value: {\"name\":\"A\"}",
        ]
    );
    let Ok(Plan::Done(converted)) = convert::plan(&definition, vec![object], "v1beta1", "uid") else {
        panic!("no webhook is needed");
    };
    assert_eq!(converted[0]["apiVersion"], "stable.example.com/v1beta1");
}

#[test]
fn is_published() {
    let v3 = publish::schema(&crd(), "v1", publish::Flavour::V3, &publish::Words::default()).unwrap();
    assert_eq!(v3["properties"]["spec"]["properties"]["port"]["anyOf"][0]["type"], "integer");
    assert_eq!(v3["description"], "Schedules jobs.");
    let v2 = publish::schema(&crd(), "v1beta1", publish::Flavour::V2, &publish::Words::default()).unwrap();
    assert_eq!(v2.get("properties"), None);
}
