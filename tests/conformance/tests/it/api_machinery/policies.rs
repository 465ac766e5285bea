//! Admission policies that act on deployments.

use serde_json::{Value, json};

use crate::api::{Api, server};
use crate::rig::{Answer, unique, wait_for};

const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

fn deployment(name: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": "test" } }, "template": {
            "metadata": { "labels": { "app": "test" } },
            "spec": { "containers": [{ "name": "c", "image": "registry.example/c:1" }] },
        } },
    })
}

/// A policy of `kind` for deployments of one namespace and its binding; their paths.
fn bound(api: &Api, kind: &str, namespace: &str, more: Value) -> [String; 2] {
    let name = unique("policy");
    let selector = json!({ "matchLabels": { "kubernetes.io/metadata.name": namespace } });
    let mut policy = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind, "metadata": { "name": name },
        "spec": { "matchConstraints": { "namespaceSelector": selector, "resourceRules": [{
            "operations": ["CREATE", "UPDATE"], "apiGroups": ["apps"], "apiVersions": ["v1"],
            "resources": ["deployments"],
        }] } },
    });
    for (name, value) in more.as_object().into_iter().flatten() {
        policy["spec"][name] = value.clone();
    }
    let mut binding = json!({
        "apiVersion": "admissionregistration.k8s.io/v1", "kind": format!("{kind}Binding"),
        "metadata": { "name": name },
        "spec": { "policyName": name, "matchResources": { "namespaceSelector": selector } },
    });
    if kind.starts_with("Validating") {
        binding["spec"]["validationActions"] = json!(["Deny"]);
    }
    let plural = kind.to_lowercase().replace("policy", "policies");
    let paths =
        [plural, format!("{}bindings", kind.to_lowercase())].map(|plural| format!("{POLICIES}/{plural}"));
    api.post(&paths[0], &policy);
    api.post(&paths[1], &binding);
    paths.map(|path| format!("{path}/{name}"))
}

/// Makes on trial what is asked until the answer fits.
#[track_caller]
fn until(api: &Api, namespace: &str, object: &Value, fits: impl Fn(&Answer) -> bool) -> Answer {
    let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments?dryRun=All");
    let mut last = None;
    wait_for("the policy", || {
        let answer = api.try_post(&path, object);
        let met = fits(&answer);
        last = Some(answer);
        met
    });
    last.unwrap()
}

/// [sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should validate against a Deployment [Conformance]
#[test]
fn validating_admission_policy_should_validate_against_a_deployment() {
    let api = server();
    let namespace = api.namespace();
    let more = json!({ "validations": [
        { "expression": "object.spec.replicas > 1", "messageExpression": "'wants replicas > 1, got ' + string(object.spec.replicas)" },
        { "expression": "namespaceObject.metadata.name == '".to_owned() + &namespace + "'",
            "message": "Internal error! Other namespace should not be allowed." },
    ] });
    let paths = bound(&api, "ValidatingAdmissionPolicy", &namespace, more);
    let refused = until(&api, &namespace, &deployment("marker", 1), |answer| answer.code == 422);
    let message = refused.json()["message"].as_str().unwrap().to_owned();
    assert!(message.contains("wants replicas > 1, got 1"), "{message}");
    let deployments = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
    api.post(&deployments, &deployment("replicated", 2));
    // What the policy does not name is not its affair.
    let mut set = deployment("set", 1);
    set["kind"] = json!("ReplicaSet");
    api.post(&format!("/apis/apps/v1/namespaces/{namespace}/replicasets"), &set);
    api.try_merge(&format!("{deployments}/replicated"), &json!({ "spec": { "replicas": 1 } })).refused(422);
    for path in paths {
        api.delete(&path);
    }
}

/// [sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should allow expressions to refer variables. [Conformance]
#[test]
fn validating_admission_policy_should_allow_expressions_to_refer_variables() {
    let api = server();
    let namespace = api.namespace();
    let more = json!({
        "variables": [
            { "name": "replicas", "expression": "object.spec.replicas" },
            { "name": "oddReplicas", "expression": "variables.replicas % 2 == 1" },
        ],
        "validations": [
            { "expression": "variables.replicas > 1" },
            { "expression": "variables.oddReplicas" },
        ],
    });
    let paths = bound(&api, "ValidatingAdmissionPolicy", &namespace, more);
    let refused = until(&api, &namespace, &deployment("marker", 1), |answer| answer.code == 422);
    assert!(refused.text().contains("variables.replicas > 1"), "{refused:?}");
    let refused = until(&api, &namespace, &deployment("even", 4), |answer| answer.code == 422);
    assert!(refused.text().contains("variables.oddReplicas"), "{refused:?}");
    api.post(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &deployment("replicated", 3));
    for path in paths {
        api.delete(&path);
    }
}

fn mutates(expression: &str, patch_type: &str, member: &str, fits: impl Fn(&Value) -> bool) {
    let api = server();
    let namespace = api.namespace();
    let more = json!({
        "reinvocationPolicy": "Never",
        "mutations": [{ "patchType": patch_type, member: { "expression": expression } }],
    });
    let paths = bound(&api, "MutatingAdmissionPolicy", &namespace, more);
    until(&api, &namespace, &deployment("marker", 2), |answer| fits(&answer.ok()));
    let made = api.post(&format!("/apis/apps/v1/namespaces/{namespace}/deployments"), &deployment("made", 2));
    assert!(fits(&made), "{made:#}");
    for path in paths {
        api.delete(&path);
    }
}

/// [sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment [Conformance]
#[test]
fn mutating_admission_policy_should_mutate_a_deployment() {
    let expression = "Object{ spec: Object.spec{ replicas: object.spec.replicas % 2 == 0 ? object.spec.replicas + 1 : \
                      object.spec.replicas } }";
    mutates(expression, "ApplyConfiguration", "applyConfiguration", |object| object["spec"]["replicas"] == 3);
}

/// [sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should mutate a Deployment with annotations [Conformance]
#[test]
fn mutating_admission_policy_should_mutate_a_deployment_with_annotations() {
    let expression =
        r#"Object{ metadata: Object.metadata{ annotations: { "mutated-by": "admission-policy" } } }"#;
    mutates(expression, "ApplyConfiguration", "applyConfiguration", |object| {
        object["metadata"]["annotations"]["mutated-by"] == "admission-policy"
    });
}
