//! Laws over made-up schemas and values.

use kube_crd::Structural;
use kube_crd::value::Malformed;
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!({"type": "string"})),
        Just(json!({"type": "string", "default": "d"})),
        Just(json!({"type": "integer", "minimum": 0})),
        Just(json!({"type": "integer", "default": 3})),
        Just(json!({"type": "boolean", "nullable": true})),
        Just(json!({"type": "string", "enum": ["a", "b"], "default": "a"})),
        Just(json!({"x-kubernetes-int-or-string": true})),
        Just(json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true})),
        Just(
            json!({"type": "object", "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true})
        ),
    ]
}

fn schema() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 4, |inner| {
        prop_oneof![
            (btree_map("[a-d]", inner.clone(), 0..4), vec("[a-d]", 0..2), any::<bool>()).prop_map(
                |(properties, required, defaulted)| {
                    let mut schema =
                        json!({"type": "object", "properties": properties, "required": required});
                    if defaulted {
                        schema["default"] = json!({});
                    }
                    schema
                }
            ),
            inner.clone().prop_map(|items| json!({"type": "array", "items": items})),
            inner
                .clone()
                .prop_map(|items| json!({"type": "array", "items": items, "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["a"]})),
            inner.prop_map(|values| json!({"type": "object", "additionalProperties": values})),
        ]
    })
}

fn root() -> impl Strategy<Value = Value> {
    btree_map("[a-d]", schema(), 0..4)
        .prop_map(|properties| json!({"type": "object", "properties": properties}))
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2i64..5).prop_map(|number| json!(number)),
        Just(json!(1.5)),
        "[a-c]{0,2}".prop_map(Value::String),
    ];
    leaf.prop_recursive(4, 32, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::Array),
            btree_map("[a-e]|kind|apiVersion|metadata", inner, 0..4)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

fn object() -> impl Strategy<Value = Value> {
    btree_map("[a-e]", value(), 0..5)
        .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>()))
}

proptest! {
    #[test]
    fn pruning_twice_is_pruning_once(schema in root(), object in object()) {
        let schema = Structural::parse_root(&schema).unwrap();
        let mut once = object;
        schema.prune(&mut once);
        let mut twice = once.clone();
        prop_assert!(schema.prune(&mut twice).is_empty());
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn defaults_set_once_are_set(schema in root(), object in object()) {
        let schema = Structural::parse_root(&schema).unwrap();
        let mut once = object;
        schema.default(&mut once);
        let mut twice = once.clone();
        schema.default(&mut twice);
        prop_assert_eq!(once, twice);
    }

    #[test]
    fn the_valid_stays_valid(schema in root(), object in object()) {
        let schema = Structural::parse_root(&schema).unwrap();
        let mut object = object;
        if schema.validate(&object, None, "").is_empty() {
            schema.prune(&mut object);
            schema.default(&mut object);
            // Only what a default leaves out may be missing now, as in `default: {}`.
            let errors = schema.validate(&object, None, "");
            let missing = errors.iter().all(|error| error.reason == kube_object::field_error::FieldErrorReason::Required);
            prop_assert!(missing, "{:?}", errors);
        }
    }

    #[test]
    fn the_unchanged_is_forgiven(schema in root(), object in object()) {
        let schema = Structural::parse_root(&schema).unwrap();
        prop_assert!(schema.validate(&object, Some(&object), "").is_empty());
    }

    #[test]
    fn nothing_panics(schema in value(), object in value(), old in value()) {
        let Ok(schema) = Structural::parse_root(&schema) else { return Ok(()) };
        let _ = schema.validate(&object, Some(&old), "x");
        let _ = (schema.check_embedded(&object), schema.check_lists(&object), schema.unknown_fields(&object));
        let mut object = object;
        let _ = schema.admit(&mut object, Malformed::Drop);
        schema.default(&mut object);
    }

    #[test]
    fn definitions_never_panic(schema in schema(), noise in value(), at in 0usize..8) {
        let mut crd = json!({"metadata": {"name": "foos.example.com"}, "spec": {"group": "example.com", "scope": "Cluster",
            "names": {"plural": "foos", "kind": "Foo"},
            "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}]}});
        let places = ["/spec", "/spec/names", "/spec/versions", "/spec/versions/0", "/spec/versions/0/schema",
            "/spec/versions/0/schema/openAPIV3Schema", "/metadata", "/spec/group"];
        if let Some(place) = crd.pointer_mut(places[at]) {
            *place = noise;
        }
        kube_crd::default_crd(&mut crd);
        let _ = kube_crd::validate_crd(&crd, None);
        let _ = kube_crd::validate_crd(&crd, Some(&crd));
        let _ = kube_crd::warnings(&crd, None);
        let _ = kube_crd::Definition::compile(&crd);
        let now = kube_object::time::Time::from_unix(0).unwrap();
        let plan = kube_crd::status_plan(&crd, std::slice::from_ref(&crd), now);
        if let Some(fields) = crd.as_object_mut() {
            fields.insert("status".to_owned(), plan.status);
        }
        prop_assert!(!kube_crd::status_plan(&crd, &[], now).changed);
    }
}
