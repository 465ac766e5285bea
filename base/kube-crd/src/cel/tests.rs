#![expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]

use serde_json::json;

use super::*;
use crate::check::validate_crd_with;
use crate::rules::{OBJECT_BUDGET, Rules};

fn check(spec: Value, value: Value, old: Option<Value>) -> Vec<String> {
    let schema = json!({"type": "object", "properties": {"spec": spec}});
    let schema = Structural::parse_root(&schema).unwrap();
    let rules = Rules::compile(&schema, &CelCompiler).unwrap();
    let (value, old) = (json!({"spec": value}), old.map(|old| json!({"spec": old})));
    let errors = rules.validate(&value, old.as_ref(), &mut OBJECT_BUDGET.clone());
    errors.iter().map(ToString::to_string).collect()
}

fn spec(rules: Value) -> Value {
    json!({"type": "object", "x-kubernetes-validations": rules, "properties": {
        "min": {"type": "integer"}, "replicas": {"type": "integer"}, "max": {"type": "integer"},
        "at": {"type": "string", "format": "date-time"}, "port": {"x-kubernetes-int-or-string": true},
        "tags": {"type": "array", "maxItems": 10, "x-kubernetes-list-type": "set", "items": {"type": "string", "maxLength": 20}},
        "class": {"type": "string"}}})
}

#[test]
fn rules_decide() {
    let value = json!({"min": 1, "replicas": 5, "max": 3, "class": "b", "at": "2024-01-01T00:00:00Z", "port": "http", "tags": ["a", "b"]});
    let mut old = value.clone();
    old["class"] = json!("a");
    old["tags"] = json!(["b", "a"]);
    let table = [
        (json!([{"rule": "self.min <= self.replicas"}]), vec![]),
        (
            json!([{"rule": "self.replicas <= self.max", "message": "too many"}]),
            vec!["spec: Invalid value: too many"],
        ),
        (
            json!([{"rule": "self.replicas <= self.max", "messageExpression": "'%d is more than %d'.format([self.replicas, self.max])"}]),
            vec!["spec: Invalid value: 5 is more than 3"],
        ),
        (
            json!([{"rule": "self.class == oldSelf.class", "message": "class is immutable", "fieldPath": ".class"}]),
            vec!["spec.class: Invalid value: class is immutable"],
        ),
        (json!([{"rule": "self.tags == oldSelf.tags"}]), vec![]),
        (
            json!([{"rule": "oldSelf.hasValue() && oldSelf.value().class != self.class", "optionalOldSelf": true}]),
            vec![],
        ),
        (json!([{"rule": "self.at > timestamp('2023-01-01T00:00:00Z')"}]), vec![]),
        (json!([{"rule": "type(self.port) == int ? self.port > 0 : self.port == 'http'"}]), vec![]),
        (
            json!([{"rule": "self.port > 0"}]),
            vec![
                "spec: Invalid value: \"object\": 'no such overload': call arguments did not match a supported operator, function or macro signature for rule: self.port > 0",
            ],
        ),
        (
            json!([{"rule": "self.tags[7] == ''"}]),
            vec![
                "spec: Invalid value: \"object\": index out of bounds: 7 evaluating rule: self.tags[7] == ''",
            ],
        ),
    ];
    for (rules, wanted) in table {
        assert_eq!(check(spec(rules.clone()), value.clone(), Some(old.clone())), wanted, "{rules}");
    }
    // Nothing is compared with what was not there.
    let rules = json!([{"rule": "self.class == oldSelf.class"}]);
    assert!(check(spec(rules), value, None).is_empty());
}

fn definition(spec: Value) -> Vec<String> {
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "tests.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "names": {"plural": "tests", "singular": "test", "kind": "Test", "listKind": "TestList"},
            "conversion": {"strategy": "None"},
            "versions": [{"name": "v1", "served": true, "storage": true,
                "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": spec}}}}]},
        "status": {"storedVersions": ["v1"]}});
    validate_crd_with(&crd, None, Some(&CelCompiler)).iter().map(ToString::to_string).collect()
}

#[test]
fn definitions_with_bad_or_dear_rules_are_refused() {
    let path = "spec.validation.openAPIV3Schema.properties[spec].x-kubernetes-validations[0]";
    let found = definition(spec(json!([{"rule": "self.nope == 1"}])));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].starts_with(path), "{found:?}");
    let words = "compilation failed: ERROR: <input>:1:5: undefined field 'nope'\n | self.nope == 1\n | ....^";
    assert!(found[0].ends_with(words), "{found:?}");
    let found = definition(spec(json!([{"rule": "self.min"}])));
    assert!(found[0].ends_with("cel expression must evaluate to a bool"), "{found:?}");
    let found = definition(spec(json!([{"rule": "true", "messageExpression": "1"}])));
    assert!(found[0].ends_with("messageExpression must evaluate to a string"), "{found:?}");
    assert_eq!(
        definition(spec(json!([{"rule": "self.tags.all(t, t.startsWith('a'))"}]))),
        Vec::<String>::new()
    );
    let unlimited = json!({"type": "object", "x-kubernetes-validations": [{"rule": "self.l.all(a, self.l.all(b, a == b))"}],
        "properties": {"l": {"type": "array", "items": {"type": "string"}}}});
    let found = definition(unlimited);
    assert!(found[0].contains("estimated rule cost exceeds budget by factor of more than 100x"), "{found:?}");
}
