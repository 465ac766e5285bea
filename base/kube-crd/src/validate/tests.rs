#![expect(clippy::needless_pass_by_value, reason = "tables of data read better without borrows")]

use serde_json::{Value, json};

use crate::Structural;

fn errors(schema: Value, value: Value) -> Vec<String> {
    let schema = Structural::parse_root(&schema).unwrap();
    schema.validate(&value, None, "").iter().map(ToString::to_string).collect()
}

fn spec(schema: Value) -> Value {
    json!({"type": "object", "properties": {"spec": {"type": "object", "properties": {"x": schema}}}})
}

/// A schema of `spec.x`, its value, and the errors.
fn table() -> Vec<(Value, Value, Vec<&'static str>)> {
    vec![
        (json!({"type": "integer"}), json!(1), vec![]),
        (json!({"type": "integer"}), json!(1.0), vec![]),
        (
            json!({"type": "integer"}),
            json!("1"),
            vec!["spec.x: Invalid value: \"string\": spec.x in body must be of type integer: \"string\""],
        ),
        (
            json!({"type": "string"}),
            json!(null),
            vec!["spec.x: Invalid value: \"null\": spec.x in body must be of type string: \"null\""],
        ),
        (json!({"type": "string", "nullable": true}), json!(null), vec![]),
        (
            json!({"type": "integer", "format": "int32"}),
            json!(true),
            vec!["spec.x: Invalid value: \"\": spec.x in body must be of type int32: \"\""],
        ),
        (
            json!({"type": "boolean"}),
            json!({}),
            vec!["spec.x: Invalid value: \"object\": spec.x in body must be of type boolean: \"object\""],
        ),
        (json!({"type": "number"}), json!(3), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!("a"), vec![]),
        (json!({"x-kubernetes-int-or-string": true}), json!(5), vec![]),
        (
            json!({"x-kubernetes-int-or-string": true}),
            json!(true),
            vec![
                "spec.x: Invalid value: \"boolean\": spec.x in body must be of type integer,string: \"boolean\"",
            ],
        ),
        (
            json!({"type": "string", "enum": ["b", "a"]}),
            json!("c"),
            vec!["spec.x: Unsupported value: \"c\": supported values: \"b\", \"a\""],
        ),
        (
            json!({"type": "string", "format": "date-time"}),
            json!("x"),
            vec!["spec.x: Invalid value: \"x\": spec.x in body must be of type date-time: \"x\""],
        ),
        (json!({"type": "string", "format": "fancy"}), json!("x"), vec![]),
        (
            json!({"type": "string", "maxLength": 2, "pattern": "^b"}),
            json!("aaa"),
            vec!["spec.x: Too long: may not be more than 2 bytes"],
        ),
        (
            json!({"type": "string", "minLength": 2}),
            json!("é"),
            vec!["spec.x: Invalid value: \"é\": spec.x in body should be at least 2 chars long"],
        ),
        (
            json!({"type": "string", "pattern": "^b$"}),
            json!("a"),
            vec!["spec.x: Invalid value: \"a\": spec.x in body should match '^b$'"],
        ),
        (
            json!({"type": "integer", "minimum": 1, "multipleOf": 2}),
            json!(-1),
            vec![
                "spec.x: Invalid value: -1: spec.x in body should be a multiple of 2",
                "spec.x: Invalid value: -1: spec.x in body should be greater than or equal to 1",
            ],
        ),
        (
            json!({"type": "number", "maximum": 1.5, "exclusiveMaximum": true}),
            json!(1.5),
            vec!["spec.x: Invalid value: 1.5: spec.x in body should be less than 1.5"],
        ),
        (
            json!({"type": "array", "minItems": 1, "items": {"type": "string"}}),
            json!([]),
            vec!["spec.x: Invalid value: 0: spec.x in body should have at least 1 items"],
        ),
        (
            json!({"type": "array", "maxItems": 1, "items": {"type": "string"}}),
            json!(["a", 1]),
            vec![
                "spec.x[1]: Invalid value: \"integer\": spec.x[1] in body must be of type string: \"integer\"",
                "spec.x: Too many: 2: must have at most 1 item",
            ],
        ),
        (
            json!({"type": "object", "required": ["b", "a"], "properties": {"a": {"type": "string"}}}),
            json!({}),
            vec!["spec.x.b: Required value", "spec.x.a: Required value"],
        ),
        (
            json!({"type": "object", "maxProperties": 1, "additionalProperties": {"type": "string"}}),
            json!({"a": 1, "b": 2}),
            vec!["spec.x: Too many: 2: must have at most 1 item"],
        ),
        (
            json!({"type": "object", "additionalProperties": {"type": "string"}}),
            json!({"a": 1}),
            vec![
                "spec.x.a: Invalid value: \"integer\": spec.x.a in body must be of type string: \"integer\"",
            ],
        ),
        (
            json!({"type": "object", "additionalProperties": false}),
            json!({"a": 1}),
            vec!["spec.x: Invalid value: \"a\": spec.x.a in body is a forbidden property"],
        ),
        (
            json!({"type": "integer", "not": {"minimum": 5}}),
            json!(6),
            vec!["<nil>: Invalid value: \"\": \"spec.x\" must not validate the schema (not)"],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({"a": "", "b": ""}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found 2 valid alternatives",
            ],
        ),
        (
            json!({"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]}),
            json!({}),
            vec![
                "<nil>: Invalid value: \"\": \"spec.x\" must validate one and only one schema (oneOf). Found none valid",
                "spec.x.a: Required value",
            ],
        ),
        (
            json!({"type": "integer", "anyOf": [{"minimum": 5}, {"maximum": 1}]}),
            json!(3),
            vec![
                "<nil>: Invalid value: \"\": \"spec.x\" must validate at least one schema (anyOf)",
                "spec.x: Invalid value: 3: spec.x in body should be greater than or equal to 5",
            ],
        ),
        (
            json!({"type": "integer", "allOf": [{"minimum": 5}, {"maximum": 9}]}),
            json!(3),
            vec![
                "spec.x: Invalid value: 3: spec.x in body should be greater than or equal to 5",
                "<nil>: Invalid value: \"\": \"spec.x\" must validate all the schemas (allOf)",
            ],
        ),
    ]
}

#[test]
fn says_what_upstream_says() {
    for (schema, value, expected) in table() {
        let shown = schema.to_string();
        assert_eq!(errors(spec(schema), json!({"spec": {"x": value}})), expected, "{shown}");
    }
}

#[test]
fn names_what_is_missing_at_the_root() {
    let schema = json!({"type": "object", "required": ["spec"]});
    assert_eq!(errors(schema, json!({})), ["spec: Required value"]);
}

#[test]
fn forgives_what_did_not_change() {
    let item = json!({"type": "object", "properties": {"name": {"type": "string"}, "n": {"type": "integer", "minimum": 5}}});
    let list = |kind: Value| {
        let mut list = json!({"type": "array", "items": item});
        list.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
        Structural::parse_root(&json!({"type": "object", "properties": {
            "a": {"type": "integer", "minimum": 5}, "l": list}}))
        .unwrap()
    };
    let map = list(json!({"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"]}));
    let atomic = list(json!({}));
    let object = |a: i64, l: Value| json!({"a": a, "l": l});
    for (schema, old, new, expected) in [
        (&map, object(1, json!([])), object(1, json!([{"name": "x", "n": 7}])), vec![]),
        (&map, object(1, json!([])), object(2, json!([])), vec!["a"]),
        (
            &map,
            object(9, json!([{"name": "x", "n": 1}])),
            object(9, json!([{"name": "y", "n": 2}, {"name": "x", "n": 1}])),
            vec!["l[0].n"],
        ),
        (
            &atomic,
            object(9, json!([{"name": "x", "n": 1}])),
            object(9, json!([{"name": "x", "n": 1}, {"name": "y", "n": 9}])),
            vec!["l[0].n"],
        ),
        (&atomic, object(9, json!([{"n": 1}])), object(8, json!([{"n": 1}])), vec![]),
    ] {
        let errors = schema.validate(&new, Some(&old), "");
        let fields: Vec<&str> = errors.iter().map(|error| error.field.as_str()).collect();
        assert_eq!(fields, expected, "{new}");
    }
}
