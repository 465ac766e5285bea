use serde_json::json;

use super::*;

fn round(value: &Value) -> Value {
    decode(&encode(value).unwrap()).unwrap()
}

#[test]
fn objects_come_back_as_they_were() {
    for value in [
        json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {
                "name": "web", "labels": {"a": "b"}, "generation": 3, "creationTimestamp": "2026-01-02T03:04:05Z",
                "managedFields": [{"manager": "m", "fieldsType": "FieldsV1", "fieldsV1": {"f:spec": {}}, "time": "2026-01-02T03:04:05Z"}],
            },
            "spec": {
                "replicas": 0, "selector": {"matchLabels": {"a": "b"}},
                "strategy": {"rollingUpdate": {"maxSurge": "25%", "maxUnavailable": 1}},
                "template": {"metadata": {"labels": {"a": "b"}}, "spec": {
                    "containers": [{
                        "name": "c", "image": "i", "ports": [{"containerPort": 80}],
                        "resources": {"limits": {"cpu": "100m"}},
                        "livenessProbe": {"httpGet": {"path": "/", "port": "http"}, "periodSeconds": 3},
                        "securityContext": {"runAsUser": 0, "privileged": false},
                    }],
                    "volumes": [{"name": "v", "emptyDir": {}}, {"name": "s", "secret": {"secretName": "x", "defaultMode": 420}}],
                    "tolerations": [{"operator": "Exists"}],
                }},
            },
        }),
        json!({"apiVersion": "v1", "kind": "Secret", "data": {"k": "AAH/"}, "metadata": {"name": "s"}, "type": "Opaque"}),
        json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "l"},
            "spec": {"renewTime": "2026-01-02T03:04:05.123456Z", "leaseDurationSeconds": 0}}),
        json!({"apiVersion": "v1", "kind": "DeleteOptions", "gracePeriodSeconds": 0, "preconditions": {"uid": "u"}}),
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
            "status": {"user": {"username": "u", "extra": {"k": ["a", "b"]}}, "authenticated": true}}),
        json!({"apiVersion": "v1", "kind": "Status", "metadata": {}, "status": "Failure", "code": 404,
            "details": {"causes": [{"field": "f"}], "name": "n"}}),
        json!({"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": "c"}, "revision": 2, "data": {"a": [1]}}),
        json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "c"},
        "spec": {"versions": [{"name": "v1", "served": true, "storage": false, "schema": {"openAPIV3Schema": {
            "type": "object", "properties": {
                "list": {"type": "array", "items": {"type": "string", "default": "x", "enum": ["a", "b"]}},
                "map": {"type": "object", "additionalProperties": {"type": "integer", "maximum": 4.5}},
                "open": {"additionalProperties": true, "x-kubernetes-preserve-unknown-fields": true},
            },
        }}}]}}),
        json!({"apiVersion": "v1", "kind": "ConfigMapList", "metadata": {"resourceVersion": "7"},
            "items": [{"metadata": {"name": "a"}, "data": {"k": ""}}]}),
    ] {
        assert_eq!(round(&value), value);
        let gvk = kind_of(&value);
        let text = serde_json::to_vec(&value).unwrap();
        assert_eq!(transcode(&gvk, &text).unwrap(), encode_message(&gvk, &value).unwrap());
    }
}

/// A message without fields is no JSON in a wrapper: what Go writes is nothing but its tag.
#[test]
fn a_message_without_fields_is_there_or_not() {
    let gvk = GroupVersionKind::new("scheduling.k8s.io", "v1alpha2", "PodGroup");
    let group = json!({"apiVersion": "scheduling.k8s.io/v1alpha2", "kind": "PodGroup", "metadata": {"name": "g"},
        "spec": {"schedulingPolicy": {"basic": {}}}, "status": {}});
    let policy = [0x12, 4, 0x12, 2, 0x0a, 0];
    assert!(encode_message(&gvk, &group).unwrap().windows(policy.len()).any(|part| part == policy));
    assert_eq!(round(&group), group);
    let crd = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "c"},
        "spec": {"versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}}}]}});
    assert_eq!(round(&crd), crd);
}

/// What Go writes for `v1.ConfigMap{ObjectMeta: {Name: "a"}}`, field by field.
#[test]
fn zeros_that_go_writes_are_left_out() {
    let mut meta = Vec::new();
    for number in [2, 3, 4, 5, 6] {
        wire::put_bytes(&mut meta, number, b"");
    }
    wire::put_bytes(&mut meta, 1, b"a");
    wire::put_number(&mut meta, 7, 0);
    wire::put_bytes(&mut meta, 8, b"");
    let mut map = Vec::new();
    wire::put_bytes(&mut map, 1, &meta);
    let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
    let value = decode(&in_envelope(&gvk, &map)).unwrap();
    assert_eq!(value, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}));
}

#[test]
fn lists_and_frames_are_made_of_encoded_objects() {
    let gvk = GroupVersionKind::new("", "v1", "ConfigMap");
    let item = json!({"metadata": {"name": "a"}});
    let message = encode_message(&gvk, &item).unwrap();
    let list = GroupVersionKind::new("", "v1", "ConfigMapList");
    let item_bytes = [item_head(message.len()), message.clone()].concat();
    let head = list_head(&list, &json!({"resourceVersion": "7"}), 2 * item_bytes.len()).unwrap();
    let bytes = [&head[..], &item_bytes, &item_bytes, BEHIND].concat();
    let value = decode(&bytes).unwrap();
    assert_eq!(value["items"], json!([item, item]));
    let partial =
        json!({"apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList", "items": [item]});
    let bytes = encode(&partial).unwrap();
    assert!(bytes.windows(message.len()).any(|window| window == message));
    let frame = watch_frame("ADDED", &in_envelope(&gvk, &message));
    assert_eq!(usize::try_from(u32::from_be_bytes(*frame.first_chunk().unwrap())).unwrap(), frame.len() - 4);
}

#[test]
fn refuses_what_is_no_object() {
    assert!(matches!(decode(b"{}"), Err(InvalidProtobuf::NoMagic)));
    let bad = |body: &[u8]| {
        decode(&in_envelope(&GroupVersionKind::new("", "v1", "Pod"), body)).unwrap_err().to_string()
    };
    assert_eq!(bad(&[0x0a, 0x05]), "the message ends within a field");
    assert_eq!(bad(&[0x08, 0x05]), "field metadata has the wrong wire type");
    assert_eq!(bad(&[0x0b]), "a field's tag or number is malformed");
    let nobody = in_envelope(&GroupVersionKind::new("a.b", "v1", "Nothing"), b"");
    assert_eq!(
        decode(&nobody).unwrap_err().to_string(),
        "no kind \"Nothing\" is registered for version \"a.b/v1\""
    );
    // A schema within a schema within a schema.
    let mut deep = Vec::new();
    for _ in 0..5000 {
        let mut outer = Vec::new();
        wire::put_bytes(&mut outer, 23, &deep);
        deep = outer;
    }
    for number in [1, 4, 7, 1] {
        let mut outer = Vec::new();
        wire::put_bytes(&mut outer, number, &deep);
        deep = outer;
    }
    let gvk = GroupVersionKind::new("apiextensions.k8s.io", "v1", "CustomResourceDefinition");
    let _ = decode(&in_envelope(&gvk, &deep));
}

/// What carries an object that carries an object, and what carries JSON.
#[test]
fn refuses_what_nests_too_deep() {
    let gvk = GroupVersionKind::new("apps", "v1", "ControllerRevision");
    let carrying = |raw: &[u8]| {
        let mut data = Vec::new();
        wire::put_bytes(&mut data, 1, raw);
        let mut message = Vec::new();
        wire::put_bytes(&mut message, 2, &data);
        in_envelope(&gvk, &message)
    };
    let mut nested = carrying(b"1");
    for level in 0..3_000 {
        nested = carrying(&nested);
        if level < 5 {
            assert!(decode(&nested).is_ok(), "{level}");
        }
    }
    assert!(matches!(decode(&nested), Err(InvalidProtobuf::TooDeep)));
    for (levels, fits) in [(100, true), (crate::json::DEPTH_MAX, false), (1_000_000, false)] {
        let deep = format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(decode(&carrying(deep.as_bytes())).is_ok(), fits, "{levels}");
    }
}

#[test]
fn refuses_what_grows() {
    // A pod with a million containers, each with an empty name.
    let (mut container, mut spec, mut pod) = (Vec::new(), Vec::new(), Vec::new());
    wire::put_bytes(&mut container, 1, b"a");
    for _ in 0..500_000 {
        wire::put_bytes(&mut spec, 2, &container);
    }
    wire::put_bytes(&mut pod, 2, &spec);
    let bytes = in_envelope(&GroupVersionKind::new("", "v1", "Pod"), &pod);
    assert!(matches!(decode(&bytes), Err(InvalidProtobuf::TooLarge(_))));
}

#[test]
fn every_kind_has_a_message() {
    for kind in Schema::builtin().kinds() {
        let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
        assert!(knows(&gvk), "{gvk:?}");
        // What asks for a connection stands in the address, and has no body.
        let bodies = kind.subresources.iter().filter(|known| !known.gvk.kind.ends_with("Options"));
        for subresource in bodies {
            let gvk = subresource.gvk;
            let gvk = GroupVersionKind::new(gvk.group, gvk.version, gvk.kind);
            assert!(knows(&gvk), "{gvk:?}");
        }
    }
}

proptest::proptest! {
    #[test]
    fn never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..200), kind in 0..95usize) {
        let kind = &Schema::builtin().kinds()[kind];
        let gvk = GroupVersionKind::new(kind.gvk.group, kind.gvk.version, kind.gvk.kind);
        let _ = decode(&bytes);
        if let Ok(value) = decode(&in_envelope(&gvk, &bytes)) {
            let _ = encode(&value);
        }
    }
}
