//! Kinds of the API's own that support every verb.

use serde_json::{Value, json};

use crate::operations::support;
use crate::rig::{Rig, rig, unique};

const NOW: &str = "2026-01-01T00:00:00Z";

fn condition(kind: &str) -> Value {
    json!({"conditions": [{"type": kind, "status": "False", "reason": "Conformance",
        "message": "patched", "lastTransitionTime": NOW}]})
}

/// [sig-api-machinery] API priority and fairness should support FlowSchema API operations [Conformance]
#[test]
fn api_priority_and_fairness_should_support_flow_schema_api_operations() {
    let object = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema",
        "metadata": {"name": unique("flow")},
        "spec": {"matchingPrecedence": 10000, "priorityLevelConfiguration": {"name": "global-default"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{"subjects": [{"kind": "User", "user": {"name": "conformance"}}],
                "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/conformance"]}]}]}});
    let status = condition("Conformance");
    support(&rig(), "flowcontrol.apiserver.k8s.io", "flowschemas", &object, Some(&status));
}

/// [sig-api-machinery] API priority and fairness should support PriorityLevelConfiguration API operations [Conformance]
#[test]
fn api_priority_and_fairness_should_support_priority_level_configuration_api_operations() {
    let object = json!({"apiVersion": "flowcontrol.apiserver.k8s.io/v1",
        "kind": "PriorityLevelConfiguration", "metadata": {"name": unique("level")},
        "spec": {"type": "Limited", "limited": {"nominalConcurrencyShares": 2,
            "limitResponse": {"type": "Reject"}}}});
    let status = condition("Conformance");
    support(&rig(), "flowcontrol.apiserver.k8s.io", "prioritylevelconfigurations", &object, Some(&status));
}

fn matched() -> Value {
    json!({"namespaceSelector": {"matchLabels": {"nobody": "has"}},
        "resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "operations": ["CREATE"], "resources": ["deployments"]}]})
}

const ADMISSION: &str = "admissionregistration.k8s.io";

/// [sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicy API operations [Conformance]
#[test]
fn validating_admission_policy_should_support_validating_admission_policy_api_operations() {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicy", "metadata": {"name": unique("policy")},
        "spec": {"matchConstraints": matched(),
            "validations": [{"expression": "object.spec.replicas <= 100", "message": "too many"}]}});
    let status = condition("PolicyReady");
    support(&rig(), ADMISSION, "validatingadmissionpolicies", &object, Some(&status));
}

/// [sig-api-machinery] ValidatingAdmissionPolicy [Privileged:ClusterAdmin] should support ValidatingAdmissionPolicyBinding API operations [Conformance]
#[test]
fn validating_admission_policy_should_support_validating_admission_policy_binding_api_operations() {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": unique("binding")},
        "spec": {"policyName": "none-such", "validationActions": ["Deny"]}});
    support(&rig(), ADMISSION, "validatingadmissionpolicybindings", &object, None);
}

/// [sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicy API operations [Conformance]
#[test]
fn mutating_admission_policy_should_support_mutating_admission_policy_api_operations() {
    let expression = "Object{spec: Object.spec{replicas: 2}}";
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicy", "metadata": {"name": unique("policy")},
        "spec": {"matchConstraints": matched(), "reinvocationPolicy": "IfNeeded",
            "mutations": [{"patchType": "ApplyConfiguration",
                "applyConfiguration": {"expression": expression}}]}});
    support(&rig(), ADMISSION, "mutatingadmissionpolicies", &object, None);
}

/// [sig-api-machinery] MutatingAdmissionPolicy [Privileged:ClusterAdmin] should support MutatingAdmissionPolicyBinding API operations [Conformance]
#[test]
fn mutating_admission_policy_should_support_mutating_admission_policy_binding_api_operations() {
    let object = json!({"apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingAdmissionPolicyBinding", "metadata": {"name": unique("binding")},
        "spec": {"policyName": "none-such"}});
    support(&rig(), ADMISSION, "mutatingadmissionpolicybindings", &object, None);
}

fn each_group(rig: &Rig, look: impl Fn(&Value)) {
    let groups = rig.get("/apis").ok();
    let groups = groups["groups"].as_array().unwrap();
    assert!(groups.len() > 15, "{groups:?}");
    groups.iter().for_each(look);
}

/// [sig-api-machinery] Discovery should validate PreferredVersion for each APIGroup [Conformance]
#[test]
fn discovery_should_validate_preferred_version_for_each_api_group() {
    let rig = rig();
    each_group(&rig, |group| {
        let name = group["name"].as_str().unwrap();
        let answer = rig.get(&format!("/apis/{name}"));
        // Another test's group may have gone by now.
        if answer.code != 404 {
            let one = answer.ok();
            assert!(one["versions"].as_array().unwrap().contains(&one["preferredVersion"]), "{one}");
            assert_eq!(one["name"], group["name"]);
        }
    });
}

/// [sig-api-machinery] Discovery should locate the groupVersion and a resource within each APIGroup [Conformance]
#[test]
fn discovery_should_locate_the_group_version_and_a_resource_within_each_api_group() {
    let rig = rig();
    let wanted = [
        ("admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations"),
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions"),
        ("apiregistration.k8s.io", "v1", "apiservices"),
        ("apps", "v1", "deployments"),
        ("authentication.k8s.io", "v1", "tokenreviews"),
        ("authorization.k8s.io", "v1", "selfsubjectaccessreviews"),
        ("autoscaling", "v1", "horizontalpodautoscalers"),
        ("autoscaling", "v2", "horizontalpodautoscalers"),
        ("batch", "v1", "jobs"),
        ("certificates.k8s.io", "v1", "certificatesigningrequests"),
        ("coordination.k8s.io", "v1", "leases"),
        ("discovery.k8s.io", "v1", "endpointslices"),
        ("events.k8s.io", "v1", "events"),
        ("networking.k8s.io", "v1", "ingresses"),
        ("node.k8s.io", "v1", "runtimeclasses"),
        ("policy", "v1", "poddisruptionbudgets"),
        ("scheduling.k8s.io", "v1", "priorityclasses"),
        ("storage.k8s.io", "v1", "csinodes"),
    ];
    for (group, version, resource) in wanted {
        let group_version = format!("{group}/{version}");
        let found = rig.get(&format!("/apis/{group}")).ok();
        let versions = found["versions"].as_array().unwrap();
        assert!(versions.iter().any(|version| version["groupVersion"] == *group_version), "{found}");
        let list = rig.get(&format!("/apis/{group_version}")).ok();
        assert_eq!(list["groupVersion"], *group_version);
        let resources = list["resources"].as_array().unwrap();
        assert!(resources.iter().any(|found| found["name"] == resource), "{list}");
    }
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";

/// [sig-api-machinery] AggregatedDiscovery should support raw aggregated discovery endpoint Accept headers [Conformance]
#[test]
fn aggregated_discovery_should_support_raw_aggregated_discovery_endpoint_accept_headers() {
    let rig = rig();
    for path in ["/api", "/apis"] {
        let answer = rig.get_as(path, AGGREGATED);
        let document = answer.ok();
        assert_eq!(answer.header("content-type"), AGGREGATED);
        assert_eq!(document["kind"], "APIGroupDiscoveryList");
        assert_eq!(document["apiVersion"], "apidiscovery.k8s.io/v2");
        let plain = rig.get_as(path, "application/json").ok();
        assert_eq!(plain["kind"], if path == "/api" { "APIVersions" } else { "APIGroupList" });
    }
}

/// [sig-api-machinery] AggregatedDiscovery should support aggregated discovery interface [Conformance]
#[test]
fn aggregated_discovery_should_support_aggregated_discovery_interface() {
    let rig = rig();
    let accept = format!("{AGGREGATED},application/json");
    let holds = |path: &str, group: &str, version: &str, resource: &str| {
        let document = rig.get_as(path, &accept).ok();
        let named = |list: &Value, key: &str, name: &str| -> Option<Value> {
            list.as_array()?.iter().find(|item| item[key] == name).cloned()
        };
        let items = document["items"].as_array().unwrap();
        let group = items.iter().find(|item| item["metadata"]["name"].as_str().unwrap_or("") == group);
        let version = group.and_then(|group| named(&group["versions"], "version", version));
        let found = version.and_then(|version| named(&version["resources"], "resource", resource));
        assert!(found.is_some(), "{path} lacks {resource}");
    };
    holds("/api", "", "v1", "namespaces");
    holds("/api", "", "v1", "pods");
    holds("/apis", "admissionregistration.k8s.io", "v1", "validatingwebhookconfigurations");
    holds("/apis", "apiextensions.k8s.io", "v1", "customresourcedefinitions");
    holds("/apis", "apps", "v1", "deployments");
    holds("/apis", "batch", "v1", "cronjobs");
    holds("/apis", "flowcontrol.apiserver.k8s.io", "v1", "flowschemas");
}
