//! Large and deep schemas and values: no overflow, and no time that grows with their square.

use std::time::{Duration, Instant};

use kube_crd::Structural;
use serde_json::{Value, json};

/// Far more than any of these takes, far less than the square would.
const LIMIT: Duration = Duration::from_secs(20);

fn nested(depth: usize, mut inner: Value, wrap: impl Fn(Value) -> Value) -> Value {
    for _ in 0..depth {
        inner = wrap(inner);
    }
    inner
}

#[test]
fn schemas_nested_too_deep_are_refused() {
    let deep = nested(200, json!({"type": "string"}), |below| json!({"type": "array", "items": below}));
    assert!(Structural::parse(&deep).is_err());
    let junctors = nested(200, json!({}), |below| json!({"allOf": [below]}));
    assert!(Structural::parse(&junctors).is_err());
}

#[test]
fn as_deep_as_it_may_be_is_fine() {
    let schema = nested(
        60,
        json!({"type": "string", "default": "x"}),
        |below| json!({"type": "object", "default": {}, "properties": {"a": below}}),
    );
    let schema = Structural::parse_root(&schema).unwrap();
    let mut value = json!({});
    schema.default(&mut value);
    assert!(schema.validate(&value, None, "").is_empty());
    let junctors = nested(60, json!({"minimum": 1}), |below| json!({"allOf": [below]}));
    let schema = Structural::parse(&junctors).unwrap();
    assert_eq!(schema.validate(&json!(0), None, "").len(), 61);
}

#[test]
fn deep_definitions_are_checked() {
    let deep = |depth| {
        let inner = nested(
            depth,
            json!({"type": "string"}),
            |below| json!({"type": "object", "properties": {"a": below}, "anyOf": [{"required": ["a"]}]}),
        );
        json!({"metadata": {"name": "foos.example.com"}, "status": {"storedVersions": ["v1"]}, "spec": {
            "group": "example.com", "scope": "Cluster",
            "names": {"plural": "foos", "singular": "foo", "kind": "Foo", "listKind": "FooList"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": inner}}]}})
    };
    assert_eq!(kube_crd::validate_crd(&deep(60), None), []);
    let errors = kube_crd::validate_crd(&deep(100), None);
    assert_eq!(
        errors[0].to_string(),
        "spec.validation.openAPIV3Schema: Invalid value: \"\": schema nested deeper than 64 levels"
    );
    let words = kube_crd::publish::Words::default();
    let published = kube_crd::publish::schema(&deep(60), "v1", kube_crd::publish::Flavour::V3, &words);
    assert!(published.is_some());
}

#[test]
fn unknown_depths_are_walked_without_a_schema() {
    let schema = Structural::parse_root(&json!({"type": "object", "properties": {
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}))
    .unwrap();
    let deep = nested(200, json!(1), |below| json!({"a": [below]}));
    let mut value = json!({"open": deep, "closed": deep});
    assert_eq!(schema.prune(&mut value), ["closed"]);
    assert!(schema.validate(&value, None, "").is_empty());
}

#[test]
fn long_lists_take_linear_time() {
    let start = Instant::now();
    let schema = Structural::parse_root(&json!({"type": "object", "properties": {
        "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "integer"}},
        "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
            "items": {"type": "object", "properties": {"k": {"type": "string"}, "v": {"type": "integer", "minimum": 1}}}}}}))
    .unwrap();
    let count = 40_000;
    let items =
        |value: i64| (0..count).map(|at| json!({"k": at.to_string(), "v": value})).collect::<Vec<_>>();
    let new = json!({"set": (0..count).collect::<Vec<_>>(), "map": items(0)});
    let mut old = json!({"set": [], "map": items(0)});
    old["map"].as_array_mut().unwrap().reverse();
    assert!(schema.check_lists(&new).is_empty());
    assert!(schema.validate(&new, Some(&old), "").is_empty(), "each item has not changed");
    assert_eq!(schema.validate(&new, None, "").len(), count);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn wide_schemas_and_many_unknown_fields_take_linear_time() {
    let start = Instant::now();
    let properties: serde_json::Map<String, Value> = (0..5_000)
        .map(|at| {
            (format!("f{at}"), json!({"type": "string", "default": "x", "pattern": "^[a-z]+(\\.[a-z]+)*$"}))
        })
        .collect();
    let schema = Structural::parse_root(&json!({"type": "object", "properties": properties})).unwrap();
    let fields: serde_json::Map<String, Value> = (0..50_000).map(|at| (format!("g{at}"), json!(1))).collect();
    let mut value = Value::Object(fields);
    assert_eq!(schema.prune(&mut value).len(), 100);
    schema.default(&mut value);
    assert!(schema.validate(&value, None, "").is_empty());
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}

#[test]
fn slow_patterns_are_not_slow() {
    let start = Instant::now();
    let schema = Structural::parse(&json!({"type": "string", "pattern": "^(a+)+$"})).unwrap();
    let value = json!(format!("{}b", "a".repeat(100_000)));
    assert_eq!(schema.validate(&value, None, "").len(), 1);
    assert!(start.elapsed() < LIMIT, "{:?}", start.elapsed());
}
