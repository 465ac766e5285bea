//! Configurations whose webhooks have conditions.

use serde_json::{Value, json};

use super::{Kind, configuration, maps};
use crate::life::change;
use crate::nodes::cluster;

/// A webhook with one condition, for nothing that is ever made.
fn conditional(expression: &str) -> Value {
    json!({
        "name": "conditional.k8s.io", "rules": [maps()], "sideEffects": "None",
        "admissionReviewVersions": ["v1"], "failurePolicy": "Ignore",
        "clientConfig": { "url": "https://192.0.2.1/never" },
        "namespaceSelector": { "matchLabels": { "no-such-label": "true" } },
        "matchConditions": [{ "name": "condition", "expression": expression }],
    })
}

fn made_and_updated(kind: Kind) {
    let cluster = cluster();
    let object = configuration(kind, &json!({}), &[conditional("object.metadata.namespace == 'production'")]);
    let made = cluster.post(&kind.path(), &object);
    let path = format!("{}/{}", kind.path(), made["metadata"]["name"].as_str().unwrap());
    let conditions = |object: &Value| object["webhooks"][0]["matchConditions"].clone();
    assert_eq!(conditions(&cluster.get(&path)), object["webhooks"][0]["matchConditions"]);
    let other = json!([{ "name": "other", "expression": "object.metadata.namespace == 'staging'" }]);
    change(&cluster, &path, |object| object["webhooks"][0]["matchConditions"] = other.clone());
    assert_eq!(conditions(&cluster.get(&path)), other);
    cluster.delete(&path);
}

fn refused(kind: Kind) {
    let cluster = cluster();
    let object = configuration(kind, &json!({}), &[conditional("... [] bad expression")]);
    let status = cluster.try_post(&kind.path(), &object).refused(422);
    let message = status["message"].as_str().unwrap();
    assert!(message.contains("compilation failed"), "{message}");
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update validating webhook configurations with match conditions [Conformance]
#[test]
fn validating_webhook_configurations_with_match_conditions_can_be_created_and_updated() {
    made_and_updated(Kind::Validating);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should be able to create and update mutating webhook configurations with match conditions [Conformance]
#[test]
fn mutating_webhook_configurations_with_match_conditions_can_be_created_and_updated() {
    made_and_updated(Kind::Mutating);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject validating webhook configurations with invalid match conditions [Conformance]
#[test]
fn validating_webhook_configurations_with_invalid_match_conditions_are_rejected() {
    refused(Kind::Validating);
}

/// [sig-api-machinery] AdmissionWebhook [Privileged:ClusterAdmin] should reject mutating webhook configurations with invalid match conditions [Conformance]
#[test]
fn mutating_webhook_configurations_with_invalid_match_conditions_are_rejected() {
    refused(Kind::Mutating);
}
