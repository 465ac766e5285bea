#![expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]

use serde_json::{Value, json};

use super::*;

fn root(properties: Value) -> Structural {
    Structural::parse_root(&json!({"type": "object", "properties": properties})).unwrap()
}

#[test]
fn prunes_what_is_not_known() {
    let schema = root(json!({"spec": {"type": "object", "properties": {
        "known": {"type": "string"},
        "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": true, "properties": {
            "closed": {"type": "object", "properties": {"a": {"type": "string"}}}}},
        "list": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"a": {"type": "string"}}}}
    }}}));
    let mut value = json!({"apiVersion": "x", "kind": "K", "metadata": {"name": "n"}, "other": 1, "spec": {
        "known": "k", "unknown": {"deep": 1}, "open": {"x": {"y": 1}, "closed": {"a": "1", "b": 2}},
        "list": [{"a": "1"}, {"b": 1}], "map": {"k": {"a": "", "z": 1}}}});
    let dropped = schema.prune(&mut value);
    assert_eq!(dropped, ["other", "spec.list[1].b", "spec.map.k.z", "spec.open.closed.b", "spec.unknown"]);
    assert_eq!(
        value,
        json!({"apiVersion": "x", "kind": "K", "metadata": {"name": "n"}, "spec": {
            "known": "k", "open": {"x": {"y": 1}, "closed": {"a": "1"}}, "list": [{"a": "1"}, {}], "map": {"k": {"a": ""}}}})
    );
}

#[test]
fn names_unknown_metadata_of_root_and_embedded_objects() {
    let schema = root(json!({"spec": {"type": "object", "properties": {"template": {
        "type": "object", "x-kubernetes-embedded-resource": true, "properties": {
            "spec": {"type": "object", "properties": {"a": {"type": "string"}}}}}}}}));
    let mut value = json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n", "unknownMeta": 1}, "spec": {
        "extra": 1, "template": {"apiVersion": "g/v1", "kind": "T", "metadata": {"name": "t", "unknownSubMeta": 2}}}});
    let unknown = schema.admit(&mut value, Malformed::Refuse).unwrap();
    assert_eq!(unknown, ["metadata.unknownMeta", "spec.extra", "spec.template.metadata.unknownSubMeta"]);
    assert_eq!(
        value,
        json!({"apiVersion": "g/v1", "kind": "K", "metadata": {"name": "n"}, "spec": {
            "template": {"apiVersion": "g/v1", "kind": "T", "metadata": {"name": "t"}}}})
    );
}

#[test]
fn malformed_metadata_is_refused_or_dropped() {
    let schema = root(json!({"spec": {"type": "object", "x-kubernetes-embedded-resource": true,
        "x-kubernetes-preserve-unknown-fields": true}}));
    let object =
        json!({"metadata": {"name": "n", "labels": {"a": 1}}, "spec": {"kind": "K", "metadata": {}}});
    let error = schema.admit(&mut object.clone(), Malformed::Refuse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "json: cannot unmarshal number into Go struct field ObjectMeta.labels of type string"
    );
    let mut stored = object;
    schema.admit(&mut stored, Malformed::Drop).unwrap();
    assert_eq!(stored["metadata"], json!({"name": "n"}));
    let error = schema.admit(&mut json!({"spec": {"metadata": {"name": 1}}}), Malformed::Refuse).unwrap_err();
    assert_eq!(
        error.to_string(),
        "spec.metadata: Invalid value: {\"name\":1}: json: cannot unmarshal number into Go struct field \
         ObjectMeta.name of type string"
    );
    let errors = schema.check_embedded(&json!({"spec": {"kind": "a_b", "metadata": {"name": "a/b",
        "labels": {"x y": "", "k": "?"}}}}));
    let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(
        fields,
        [
            "spec.apiVersion",
            "spec.kind",
            "spec.metadata.name",
            "spec.metadata.labels",
            "spec.metadata.labels"
        ]
    );
}

#[test]
fn defaults_go_where_nothing_is_said() {
    let schema = root(json!({"spec": {"type": "object", "default": {}, "properties": {
        "a": {"type": "string", "default": "A"},
        "n": {"type": "string", "nullable": true, "default": "N"},
        "drop": {"type": "string"},
        "list": {"type": "array", "items": {"type": "object", "properties": {"p": {"type": "string", "default": "TCP"}}}},
        "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"q": {"type": "integer", "default": 1}}}}
    }}}));
    for (before, after) in [
        (json!({}), json!({"spec": {"a": "A", "n": "N"}})),
        (json!({"spec": {"a": null, "n": null, "drop": null}}), json!({"spec": {"a": "A", "n": null}})),
        (
            json!({"spec": {"a": "", "n": "", "list": [{}, {"p": "UDP"}], "map": {"k": {}}}}),
            json!({"spec": {"a": "", "n": "", "list": [{"p": "TCP"}, {"p": "UDP"}], "map": {"k": {"q": 1}}}}),
        ),
    ] {
        let mut value = before.clone();
        schema.default(&mut value);
        assert_eq!(value, after, "{before}");
    }
}

#[test]
fn sets_and_maps_have_nothing_twice() {
    let schema = root(
        json!({"s": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
        "m": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a"], "items":
            {"type": "object", "properties": {"a": {"type": "string"}}}},
        "mm": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"], "items":
            {"type": "object"}}}),
    );
    let value = json!({"s": ["a", "b", "a", "a"], "m": [{"a": "x"}, {"a": "x", "c": 1}, {}],
        "mm": [{"a": 1, "b": 2}, {"a": 1}, {"b": 2, "a": 1}]});
    let errors: Vec<String> = schema.check_lists(&value).iter().map(ToString::to_string).collect();
    assert_eq!(
        errors,
        [
            "m[1]: Duplicate value: {\"a\":\"x\"}",
            "mm[2]: Duplicate value: {\"a\":1,\"b\":2}",
            "s[2]: Duplicate value: \"a\""
        ]
    );
    let errors = schema.check_lists(&json!({"m": [1]}));
    assert_eq!(
        errors[0].to_string(),
        "m[0]: Invalid value: 1: must be an object for an array of list-type map"
    );
}
