//! `[sig-api-machinery] CustomResourceConversionWebhook`: versions that a pod converts into each other.

use serde_json::{Value, json};

use super::defined::Defined;
use super::served::{self, NAME, PORT};
use super::{Shared, cluster};
use crate::rig::JSON_PATCH;

/// A definition of two versions; the first has `hostPort`, the second `host` and `port`.
fn converted<'a>(cluster: &'a Shared, namespace: &str) -> Defined<'a> {
    let authority = served::start(cluster, namespace, &["webhook"], None);
    let text = json!({ "type": "string" });
    let schema = |fields: Value| json!({ "type": "object", "properties": fields });
    let versions =
        [("v1", schema(json!({ "hostPort": text }))), ("v2", schema(json!({ "host": text, "port": text })))];
    let webhook = json!({
        "clientConfig": {
            "service": { "namespace": namespace, "name": NAME, "path": "/crdconvert", "port": PORT },
            "caBundle": authority,
        },
        "conversionReviewVersions": ["v1", "v1beta1"],
    });
    let conversion = json!({ "conversion": { "strategy": "Webhook", "webhook": webhook } });
    Defined::new(cluster, &versions, conversion)
}

fn one(defined: &Defined, name: &str) -> Value {
    let mut object = defined.object("v1", name);
    object["hostPort"] = json!("localhost:8080");
    object
}

/// What version 2 of [`one`] is.
#[track_caller]
fn is_converted(object: &Value) {
    assert!(object["apiVersion"].as_str().unwrap().ends_with("/v2"), "{object}");
    assert_eq!(object["host"], "localhost", "{object}");
    assert_eq!(object["port"], "8080", "{object}");
    assert!(object["hostPort"].is_null(), "{object}");
}

/// [sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert from CR v1 to CR v2 [Conformance]
#[test]
fn conversion_webhook_should_be_able_to_convert_from_v1_to_v2() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let defined = converted(&cluster, &namespace);
    cluster.post(&defined.objects("v1", &namespace), &one(&defined, "cr-instance-1"));
    is_converted(&cluster.get(&format!("{}/cr-instance-1", defined.objects("v2", &namespace))));
}

/// [sig-api-machinery] CustomResourceConversionWebhook [Privileged:ClusterAdmin] should be able to convert a non homogeneous list of CRs [Conformance]
#[test]
fn conversion_webhook_should_be_able_to_convert_a_non_homogeneous_list() {
    let cluster = cluster();
    let namespace = cluster.namespace();
    let defined = converted(&cluster, &namespace);
    let (first, second) = (defined.objects("v1", &namespace), defined.objects("v2", &namespace));
    cluster.post(&first, &one(&defined, "cr-instance-1"));
    let patch = json!([
        { "op": "replace", "path": "/spec/versions/0/storage", "value": false },
        { "op": "replace", "path": "/spec/versions/1/storage", "value": true },
    ]);
    cluster.rig().patch(&defined.path(), JSON_PATCH, &patch).ok();
    cluster.post(&first, &one(&defined, "cr-instance-2"));
    let as_one = cluster.get(&first);
    assert_eq!(as_one["items"].as_array().unwrap().len(), 2, "{as_one}");
    for object in as_one["items"].as_array().unwrap() {
        assert_eq!(object["hostPort"], "localhost:8080", "{object}");
    }
    let as_two = cluster.get(&second);
    assert_eq!(as_two["items"].as_array().unwrap().len(), 2, "{as_two}");
    for object in as_two["items"].as_array().unwrap() {
        is_converted(object);
    }
}
