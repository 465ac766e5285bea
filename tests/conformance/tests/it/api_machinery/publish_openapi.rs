//! `CustomResourcePublishOpenAPI`: what `/openapi/v2` says of custom resources, and what kubectl
//! makes of it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::rig::{Answer, JSON_PATCH, Rig, rig, unique, wait_for};

const CRDS: &str = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";

/// So often in a row must a document be as wanted.
const IN_A_ROW: usize = 10;

/// A definition, and the server that has it.
struct Crd {
    rig: Arc<Rig>,
    group: String,
    plural: String,
    kind: String,
    versions: Vec<String>,
}

impl Crd {
    /// A definition whose versions all have this schema, and whose publication says `expected`.
    fn publish(schema: &Value, expected: Option<&Value>, suffix: &str, versions: &[&str]) -> Self {
        let rig = rig();
        let kind = unique("e2e-test-crd-publish-openapi-crd");
        let plural = format!("{kind}s");
        let group = format!("crd-publish-openapi-test-{suffix}.example.com");
        let of_version = |(at, name): (usize, &&str)| {
            json!({"name": name, "served": true, "storage": at == 0,
                "schema": {"openAPIV3Schema": schema}})
        };
        let all: Vec<Value> = versions.iter().enumerate().map(of_version).collect();
        let object = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
            "metadata": {"name": format!("{plural}.{group}")},
            "spec": {"group": group, "scope": "Namespaced", "versions": all,
                "names": {"plural": plural, "singular": kind, "kind": kind,
                    "listKind": format!("{kind}-list")}}});
        rig.create(CRDS, &object).ok();
        let versions = versions.iter().map(|name| (*name).to_owned()).collect();
        let crd = Self { rig, group, plural, kind, versions };
        for version in &crd.versions {
            let path = format!("/apis/{}/{version}", crd.group);
            wait_for(&path, || {
                let list = crd.rig.get(&path);
                list.code == 200 && crd.is_listed(&list.json())
            });
            crd.wait_for_definition(version, expected);
        }
        crd
    }

    fn is_listed(&self, list: &Value) -> bool {
        list["resources"].as_array().unwrap().iter().any(|resource| resource["name"] == *self.plural)
    }

    fn path(&self) -> String {
        format!("{CRDS}/{}.{}", self.plural, self.group)
    }

    fn definition(&self, version: &str) -> String {
        let parts: Vec<&str> = self.group.rsplit('.').collect();
        format!("{}.{version}.{}", parts.join("."), self.kind)
    }

    /// Waits until the definition of a version is there, and says this if anything is expected.
    fn wait_for_definition(&self, version: &str, expected: Option<&Value>) {
        let name = self.definition(version);
        let mut found = Value::Null;
        let holds = |document: &Value| {
            found = document["definitions"][&name].clone();
            let Some(fields) = found.as_object_mut() else { return false };
            fields.remove("x-kubernetes-group-version-kind");
            if let Some(properties) = fields.get_mut("properties").and_then(Value::as_object_mut) {
                properties.retain(|name, _| !["metadata", "apiVersion", "kind"].contains(&name.as_str()));
            }
            expected.is_none_or(|expected| found == *expected)
        };
        self.rig.wait_for_document(&format!("the definition {name}"), holds);
        assert!(expected.is_none_or(|expected| found == *expected), "{found}");
    }

    fn wait_for_cleanup(&self, version: &str) {
        let name = self.definition(version);
        let gone = |document: &Value| document["definitions"].get(&name).is_none();
        self.rig.wait_for_document(&format!("the end of {name}"), gone);
    }

    /// Deletes the definition and waits until nothing is said of it.
    fn clean_up(self) {
        self.rig.delete(&self.path()).ok();
        for version in &self.versions {
            self.wait_for_cleanup(version);
        }
    }

    /// An object with these members besides its type and name.
    fn object(&self, name: &str, more: &Value) -> Value {
        let mut object = json!({"kind": self.kind, "metadata": {"name": name},
            "apiVersion": format!("{}/{}", self.group, self.versions[0])});
        let fields = object.as_object_mut().unwrap();
        fields.extend(more.as_object().unwrap().clone());
        object
    }

    /// kubectl takes an object in create and in apply.
    fn takes(&self, namespace: &str, more: &Value) {
        let object = self.object("test-cr", more);
        let file = self.rig.server.home().join(unique("object"));
        std::fs::write(&file, object.to_string()).unwrap();
        let file = file.to_str().unwrap();
        for verb in ["create", "apply"] {
            self.rig.kubectl(&["--namespace", namespace, verb, "-f", file]);
            self.rig.kubectl(&["--namespace", namespace, "delete", &self.plural, "test-cr"]);
        }
    }

    /// kubectl refuses an object in create and in apply, and says one of these.
    fn refuses(&self, namespace: &str, more: &Value, words: &[&str]) {
        let object = self.object("test-cr", more);
        let file = self.rig.server.home().join(unique("object"));
        std::fs::write(&file, object.to_string()).unwrap();
        for verb in ["create", "apply"] {
            let args = ["--namespace", namespace, verb, "-f", file.to_str().unwrap()];
            let output = self.rig.server.kubectl(&args);
            assert_ne!(output.code, 0, "{}", output.stdout);
            assert!(words.iter().any(|words| output.stderr.contains(words)), "{}", output.stderr);
        }
    }

    /// kubectl explains with these words, in this order.
    fn explains(&self, field: &str, words: &[&str]) {
        let said = self.rig.kubectl(&["explain", &format!("{}{field}", self.plural)]);
        let mut rest = said.as_str();
        for word in words {
            let at = rest.find(word).unwrap_or_else(|| panic!("no {word:?} in {said}"));
            rest = &rest[at + word.len()..];
        }
    }
}

impl Rig {
    /// Waits until `/openapi/v2` is as wanted several times in a row, asked as clients that keep it.
    fn wait_for_document(&self, what: &str, mut holds: impl FnMut(&Value) -> bool) {
        let mut tag = String::new();
        let mut document = Value::Null;
        wait_for(what, || {
            (0..IN_A_ROW).all(|_| {
                let known = [("if-none-match", tag.as_str())];
                let answer = self.send("GET", "/openapi/v2", if tag.is_empty() { &[] } else { &known }, "");
                if answer.code != 304 {
                    document = Answer::ok(&answer);
                    answer.header("etag").clone_into(&mut tag);
                }
                holds(&document)
            })
        });
    }
}

fn foo() -> Value {
    let name = json!({"description": "Name of Bar.", "type": "string"});
    json!({"description": "Foo CRD for Testing", "type": "object", "properties": {
        "spec": {"type": "object", "description": "Specification of Foo", "properties": {
            "bars": {"description": "List of Bars and their specs.", "type": "array", "items": {
                "type": "object", "required": ["name"], "properties": {
                    "name": name,
                    "age": {"description": "Age of Bar.", "type": "string"},
                    "feeling": {"description": "Whether Bar is feeling great.", "type": "string",
                        "enum": ["Great", "Down"]},
                    "bazs": {"description": "List of Bazs.", "type": "array", "items": {"type": "string"}}}}}}},
        "status": {"type": "object", "description": "Status of Foo", "properties": {
            "bars": {"description": "List of Bars and their statuses.", "type": "array", "items": {
                "type": "object", "properties": {
                    "name": name,
                    "available": {"description": "Whether the Bar is installed.", "type": "boolean"},
                    "quxType": {"description": "Indicates to external qux type.", "type": "string",
                        "pattern": "in-tree|out-of-tree"}}}}}}}})
}

fn waldo(description: &str) -> Value {
    json!({"description": description, "type": "object", "properties": {
        "spec": {"type": "object", "description": "Specification of Waldo",
            "properties": {"dummy": {"description": "Dummy property.", "type": "object"}}},
        "status": {"type": "object", "description": "Status of Waldo", "properties": {
            "bars": {"description": "List of Bars and their statuses.", "type": "array",
                "items": {"type": "object"}}}}}})
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD with validation schema [Conformance]
#[test]
fn works_for_crd_with_validation_schema() {
    let crd = Crd::publish(&foo(), Some(&foo()), "foo", &["v1"]);
    let namespace = crd.rig.namespace();
    crd.takes(&namespace, &json!({"spec": {"bars": [{"name": "test-bar"}]}}));
    let feeling = json!({"spec": {"bars": [{"name": "test-bar", "feeling": "NonExistentValue"}]}});
    crd.refuses(&namespace, &feeling, &["Unsupported value: \"NonExistentValue\""]);
    let unknown = json!({"spec": {"foo": true}});
    crd.refuses(&namespace, &unknown, &["unknown field \"foo\"", "unknown field \"spec.foo\""]);
    let incomplete = json!({"spec": {"bars": [{"age": "10"}]}});
    let missing = ["missing required field \"name\"", "spec.bars[0].name: Required value"];
    crd.refuses(&namespace, &incomplete, &missing);

    let whole = [
        "DESCRIPTION:",
        "Foo CRD for Testing",
        "FIELDS:",
        "apiVersion",
        "<string>",
        "APIVersion defines",
        "spec",
        "<Object>",
        "Specification of Foo",
    ];
    crd.explains("", &whole);
    let metadata = [
        "DESCRIPTION:",
        "Standard object's metadata",
        "FIELDS:",
        "creationTimestamp",
        "<string>",
        "CreationTimestamp is a timestamp",
    ];
    crd.explains(".metadata", &metadata);
    let spec = [
        "DESCRIPTION:",
        "Specification of Foo",
        "FIELDS:",
        "bars",
        "<[]Object>",
        "List of Bars and their specs",
    ];
    crd.explains(".spec", &spec);
    let bars = [
        "bars",
        "<[]Object>",
        "DESCRIPTION:",
        "List of Bars and their specs",
        "FIELDS:",
        "bazs",
        "<[]string>",
        "List of Bazs",
        "name",
        "<string>",
        "Name of Bar",
    ];
    crd.explains(".spec.bars", &bars);
    let absent = crd.rig.server.kubectl(&["explain", &format!("{}.spec.bars2", crd.plural)]);
    assert!(
        absent.code != 0 && absent.stderr.contains("field \"bars2\" does not exist"),
        "{}",
        absent.stderr
    );
    crd.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD without validation schema [Conformance]
#[test]
fn works_for_crd_without_validation_schema() {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let crd = Crd::publish(&open, Some(&json!({"type": "object"})), "empty", &["v1"]);
    crd.takes(&crd.rig.namespace(), &json!({"a": {"b": [{"c": "d"}]}}));
    crd.explains("", &["DESCRIPTION:", "<empty>"]);
    crd.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields at the schema root [Conformance]
#[test]
fn works_for_crd_preserving_unknown_fields_at_the_schema_root() {
    let mut schema = waldo("preserve-unknown-properties at root for Testing");
    schema["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let crd = Crd::publish(&schema, None, "unknown-at-root", &["v1"]);
    crd.takes(&crd.rig.namespace(), &json!({"a": {"b": [{"c": "d"}]}}));
    crd.explains("", &["KIND:", &crd.kind]);
    crd.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for CRD preserving unknown fields in an embedded object [Conformance]
#[test]
fn works_for_crd_preserving_unknown_fields_in_an_embedded_object() {
    let mut schema = waldo("preserve-unknown-properties in nested field for Testing");
    schema["properties"]["spec"]["x-kubernetes-preserve-unknown-fields"] = json!(true);
    let crd = Crd::publish(&schema, None, "unknown-in-nested", &["v1"]);
    crd.takes(&crd.rig.namespace(), &json!({"spec": {"a": null, "b": [{"c": "d"}]}}));
    crd.explains("", &["DESCRIPTION:", "preserve-unknown-properties in nested field for", "Testing"]);
    crd.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of different groups [Conformance]
#[test]
fn works_for_multiple_crds_of_different_groups() {
    side_by_side(("foo", "v1"), ("waldo", "v1beta1"));
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group but different versions [Conformance]
#[test]
fn works_for_multiple_crds_of_same_group_but_different_versions() {
    let crd = Crd::publish(&foo(), Some(&foo()), "multi-ver", &["v2", "v3"]);
    crd.wait_for_definition("v3", Some(&foo()));
    crd.wait_for_definition("v2", Some(&foo()));
    crd.clean_up();
    side_by_side(("common-group", "v4"), ("common-group", "v5"));
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] works for multiple CRDs of same group and version but different kinds [Conformance]
#[test]
fn works_for_multiple_crds_of_same_group_and_version_but_different_kinds() {
    side_by_side(("common-group", "v6"), ("common-group", "v6"));
}

/// Two definitions, each by its group's suffix and its version, are published beside each other.
fn side_by_side(first: (&str, &str), second: (&str, &str)) {
    let other = waldo("Waldo CRD for Testing");
    let foos = Crd::publish(&foo(), Some(&foo()), first.0, &[first.1]);
    let waldos = Crd::publish(&other, Some(&other), second.0, &[second.1]);
    assert_eq!(foos.group == waldos.group, first.0 == second.0);
    waldos.wait_for_definition(second.1, Some(&other));
    foos.wait_for_definition(first.1, Some(&foo()));
    foos.clean_up();
    waldos.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] updates the published spec when one version gets renamed [Conformance]
#[test]
fn updates_the_published_spec_when_one_version_gets_renamed() {
    let mut crd = Crd::publish(&foo(), Some(&foo()), "multi-ver", &["v2", "v3"]);
    let patch = json!([
        {"op": "test", "path": "/spec/versions/1/name", "value": "v3"},
        {"op": "replace", "path": "/spec/versions/1/name", "value": "v4"},
    ]);
    crd.rig.patch(&crd.path(), JSON_PATCH, &patch).ok();
    crd.wait_for_definition("v4", Some(&foo()));
    crd.wait_for_cleanup("v3");
    crd.wait_for_definition("v2", Some(&foo()));
    "v4".clone_into(&mut crd.versions[1]);
    crd.clean_up();
}

/// [sig-api-machinery] CustomResourcePublishOpenAPI [Privileged:ClusterAdmin] removes definition from spec when one version gets changed to not be served [Conformance]
#[test]
fn removes_definition_from_spec_when_one_version_gets_changed_to_not_be_served() {
    let crd = Crd::publish(&foo(), Some(&foo()), "multi-to-single-ver", &["v5", "v6alpha1"]);
    wait_for("an update", || {
        // The server writes the definition's status meanwhile.
        let mut object = crd.rig.get(&crd.path()).ok();
        object["spec"]["versions"][1]["served"] = json!(false);
        crd.rig.update(&crd.path(), &object).code == 200
    });
    crd.wait_for_cleanup("v6alpha1");
    crd.wait_for_definition("v5", Some(&foo()));
    crd.clean_up();
}
