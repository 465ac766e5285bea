//! `FieldValidation`: unknown and repeated fields under `fieldValidation=Strict`.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::rig::{Answer, Rig, rig, unique, wait_for};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const STRICT: &str = "fieldManager=field_validation_mgr&fieldValidation=Strict";

/// A cluster-scoped definition with two versions, and a name for an object of it.
struct Crd {
    rig: Arc<Rig>,
    kind: String,
    plural: String,
}

impl Crd {
    fn create(schema: &Value) -> Self {
        let rig = rig();
        let singular = unique("noxu");
        let (kind, plural) = (format!("WishIHadChosenNoxu{singular}"), format!("{singular}s"));
        let of_version = |name: &str| {
            json!({"name": name, "served": true, "storage": name == "v1beta1",
                "schema": {"openAPIV3Schema": schema}, "subresources": {}})
        };
        let object = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.mygroup.example.com")},
            "spec": {"group": "mygroup.example.com", "scope": "Cluster",
                "names": {"plural": plural, "singular": singular, "kind": kind,
                    "listKind": format!("{kind}ItemList")},
                "versions": [of_version("v1beta1"), of_version("v1")]}});
        rig.create(CRDS, &object).ok();
        let crd = Self { rig, kind, plural };
        for version in ["v1beta1", "v1"] {
            let path = format!("/apis/mygroup.example.com/{version}");
            wait_for(&path, || {
                let list = crd.rig.get(&path);
                let is_it = |resource: &Value| resource["name"] == *crd.plural;
                list.code == 200 && list.json()["resources"].as_array().unwrap().iter().any(is_it)
            });
            wait_for("a watch of the new objects", || crd.rig.get(&crd.collection(version)).code == 200);
            drop(crd.rig.watch(&crd.collection(version)));
        }
        crd
    }

    fn collection(&self, version: &str) -> String {
        format!("/apis/mygroup.example.com/{version}/{}", self.plural)
    }

    /// Applies an object: the members behind its type and the beginning of its metadata, as YAML.
    fn apply(&self, rest: &str) -> Answer {
        let head = format!(
            "\napiVersion: mygroup.example.com/v1beta1\nkind: {}\nmetadata:\n  name: mytest\n",
            self.kind
        );
        let path = format!("{}/mytest?{STRICT}", self.collection("v1beta1"));
        let headers = [("content-type", "application/apply-patch+yaml")];
        self.rig.send("PATCH", &path, &headers, head + rest)
    }

    /// Ends the object, if there is one, and the definition.
    fn clean_up(self) {
        let path = format!("{}/mytest", self.collection("v1beta1"));
        let free = json!({"metadata": {"finalizers": null}});
        if self.rig.patch(&path, crate::rig::MERGE_PATCH, &free).code == 200 {
            self.rig.delete(&path).ok();
        }
        self.rig.delete(&format!("{CRDS}/{}.mygroup.example.com", self.plural)).ok();
    }
}

/// The schema of the specs' objects, whose spec has `more` besides.
fn schema(more: &Value) -> Value {
    let number = json!({"type": "integer", "format": "int32"});
    let text = json!({"type": "string"});
    let mut spec = json!({"type": "object", "properties": {
        "foo": text,
        "cronSpec": {"type": "string", "pattern": "^(\\d+|\\*)(/\\d+)?(\\s+(\\d+|\\*)(/\\d+)?){4}$"},
        "ports": {"type": "array", "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["containerPort", "protocol"],
            "items": {"type": "object", "required": ["containerPort", "protocol"], "properties": {
                "containerPort": number, "hostIP": text, "hostPort": number, "name": text,
                "protocol": text}}}}});
    let fields = spec.as_object_mut().unwrap();
    for (name, value) in more.as_object().unwrap() {
        match (fields.get_mut(name), value) {
            (Some(Value::Object(old)), Value::Object(new)) => old.extend(new.clone()),
            _ => drop(fields.insert(name.clone(), value.clone())),
        }
    }
    json!({"type": "object", "properties": {"spec": spec}})
}

const PORTS: &str =
    "  cronSpec: \"* * * * */5\"\n  ports:\n  - name: x\n    containerPort: 80\n    protocol: TCP";
const FINALIZERS: &str = "  finalizers:\n  - test-finalizer\n";

/// A deployment as the specs write it, with more members in its metadata and its spec.
fn deployment(metadata: &str, spec: &str) -> String {
    format!(
        r#"{{"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {{"name": "my-dep", {metadata} "labels": {{"app": "nginx"}}}},
            "spec": {{{spec} "selector": {{"matchLabels": {{"app": "nginx"}}}},
                "template": {{"metadata": {{"labels": {{"app": "nginx"}}}},
                    "spec": {{"containers": [{{"name": "nginx", "image": "nginx:latest"}}]}}}}}}}}"#
    )
}

fn create_strictly(deployment: String) -> Answer {
    let rig = rig();
    let path = format!("/apis/apps/v1/namespaces/{}/deployments?{STRICT}", rig.namespace());
    rig.send("POST", &path, &[("content-type", "application/json")], deployment)
}

fn says(answer: &Answer, code: u16, words: &str) {
    let status = answer.refused(code);
    assert!(status["message"].as_str().unwrap().contains(words), "{status}");
}

/// [sig-api-machinery] FieldValidation should detect unknown and duplicate fields of a typed object [Conformance]
#[test]
fn field_validation_should_detect_unknown_and_duplicate_fields_of_a_typed_object() {
    let spec = r#""unknownField": "foo", "replicas": 2, "replicas": 3,"#;
    let answer = create_strictly(deployment("", spec));
    let words =
        "strict decoding error: unknown field \"spec.unknownField\", duplicate field \"spec.replicas\"";
    says(&answer, 400, words);
}

/// [sig-api-machinery] FieldValidation should detect unknown metadata fields of a typed object [Conformance]
#[test]
fn field_validation_should_detect_unknown_metadata_fields_of_a_typed_object() {
    let answer = create_strictly(deployment(r#""unknownMeta": "foo","#, ""));
    says(&answer, 400, "strict decoding error: unknown field \"metadata.unknownMeta\"");
}

/// [sig-api-machinery] FieldValidation should create/apply a valid CR for CRD with validation schema [Conformance]
#[test]
fn field_validation_should_apply_a_valid_cr_for_crd_with_validation_schema() {
    let crd = Crd::create(&schema(&json!({})));
    let made = crd.apply(&format!("{FINALIZERS}spec:\n  foo: foo1\n{PORTS}"));
    assert_eq!((made.code, &made.json()["spec"]["foo"]), (201, &json!("foo1")));
    crd.clean_up();
}

/// [sig-api-machinery] FieldValidation should create/apply a CR with unknown fields for CRD with no validation schema [Conformance]
#[test]
fn field_validation_should_apply_a_cr_with_unknown_fields_for_crd_with_no_validation_schema() {
    let crd = Crd::create(&json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true}));
    let made = crd.apply(&format!("{FINALIZERS}spec:\n  unknown: uk1\n{PORTS}"));
    assert_eq!((made.code, &made.json()["spec"]["unknown"]), (201, &json!("uk1")));
    crd.clean_up();
}

/// [sig-api-machinery] FieldValidation should create/apply an invalid CR with extra properties for CRD with validation schema [Conformance]
#[test]
fn field_validation_should_refuse_an_invalid_cr_with_extra_properties() {
    let crd = Crd::create(&schema(&json!({})));
    let answer = crd.apply(&format!("{FINALIZERS}unknownField: unknown\nspec:\n  foo: foo1\n{PORTS}"));
    says(&answer, 400, ".unknownField: field not declared in schema");
    crd.clean_up();
}

/// [sig-api-machinery] FieldValidation should detect unknown metadata fields in both the root and embedded object of a CR [Conformance]
#[test]
fn field_validation_should_detect_unknown_metadata_fields_in_root_and_embedded_object() {
    let template = json!({"type": "object", "x-kubernetes-embedded-resource": true, "properties": {
        "metadata": {"type": "object", "properties": {"name": {"type": "string"}}},
        "spec": {"type": "object"}}});
    let more = json!({"x-kubernetes-preserve-unknown-fields": true, "properties": {"template": template}});
    let crd = Crd::create(&schema(&more));
    let embedded = "  template:\n    apiversion: foo/v1\n    kind: Sub\n    metadata:\n        \
                    unknownSubMeta: unknown\n        name: subobject\n        namespace: default\n";
    let rest = format!("  unknownMeta: unknown\n{FINALIZERS}spec:\n{embedded}  foo: foo1\n{PORTS}");
    let answer = crd.apply(&rest);
    says(&answer, 400, ".metadata.unknownMeta: field not declared in schema");
    let answer = crd.apply(&rest.replace("  unknownMeta: unknown\n", "").replace("apiversion", "apiVersion"));
    says(&answer, 400, ".spec.template.metadata.unknownSubMeta: field not declared in schema");
    crd.clean_up();
}

/// [sig-api-machinery] FieldValidation should detect duplicates in a CR when preserving unknown fields [Conformance]
#[test]
fn field_validation_should_detect_duplicates_in_a_cr_when_preserving_unknown_fields() {
    let crd = Crd::create(&schema(&json!({"x-kubernetes-preserve-unknown-fields": true})));
    let answer = crd.apply(&format!("{FINALIZERS}spec:\n  unknown: uk1\n  foo: foo1\n  foo: foo2\n{PORTS}"));
    says(&answer, 400, "line 11: key \"foo\" already set in map");
    crd.clean_up();
}
