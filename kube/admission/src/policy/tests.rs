//! Policies with expressions whose values are known: what they decide, not how they compute.
#![expect(clippy::needless_pass_by_value, reason = "tables read better without borrows")]

use kube_object::cluster::Fixed;
use kube_object::resource::{GroupVersionKind, GroupVersionResource};

use super::*;
use crate::cel::{CelError, Compiled, Expression};
use crate::testing::{Allowed, host};

/// Knows a few expressions by heart.
struct ByHeart;

struct Known(String);

impl Compiler for ByHeart {
    fn compile(&self, text: &str, _variables: &[&str]) -> Compiled {
        if text == "nonsense(" {
            return Err(CelError::Compile("undeclared reference to 'nonsense'".to_owned()));
        }
        Ok(Arc::new(Known(text.to_owned())))
    }
}

impl Expression for Known {
    fn evaluate(&self, variables: &[(&str, &Value)], budget: &mut u64) -> Result<Value, CelError> {
        let find = |name: &str| variables.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
        let replicas = || find("object").map_or(0, |object| object["spec"]["replicas"].as_i64().unwrap_or(0));
        *budget = budget.saturating_sub(1);
        Ok(match self.0.as_str() {
            "true" => json!(true),
            "false" => json!(false),
            "null" => Value::Null,
            "1" => json!(1),
            "error" => return Err(CelError::Evaluate("no such key: x".to_owned())),
            "object.spec.replicas <= 5" => json!(replicas() <= 5),
            "object.spec.replicas <= params.max" => {
                json!(replicas() <= find("params").map_or(0, |params| params["max"].as_i64().unwrap_or(0)))
            }
            "'have ' + string(object.spec.replicas)" => json!(format!("have {}", replicas())),
            "namespaceObject.metadata.name" => find("namespaceObject").unwrap()["metadata"]["name"].clone(),
            "variables.small" => match find("variables").unwrap().get("small") {
                Some(small) => small.clone(),
                None => return Err(CelError::Evaluate("no such key: small".to_owned())),
            },
            "Object{spec: Object.spec{replicas: 3}}" => json!({"spec": {"replicas": 3}}),
            "[JSONPatch{...}]" => json!([{"op": "add", "path": "/marked", "value": replicas()}]),
            other => unreachable!("{other}"),
        })
    }
}

fn policy(spec: Value) -> Value {
    let mut policy = json!({"metadata": {"name": "p"}, "spec": {"failurePolicy": "Fail",
        "matchConstraints": {"matchPolicy": "Equivalent", "resourceRules": [
            {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["*"], "resources": ["deployments"]}]}}});
    policy["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    policy
}

fn binding(spec: Value) -> Value {
    let mut binding =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    binding["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    binding
}

fn request(replicas: i64) -> Request {
    Request {
        kind: GroupVersionKind::new("apps", "v1", "Deployment"),
        resource: GroupVersionResource::new("apps", "v1", "deployments"),
        namespace: "n".to_owned(),
        name: "d".to_owned(),
        object: Some(
            json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d"}, "spec": {"replicas": replicas}}),
        ),
        ..Request::default()
    }
}

fn server(kind: &str, policies: &[Value], bindings: &[Value]) -> Host {
    let mut cluster = Fixed::default();
    let group = "admissionregistration.k8s.io";
    for policy in policies {
        cluster.put(GroupResource::new(group, format!("{kind}admissionpolicies")), policy.clone());
    }
    for binding in bindings {
        cluster.put(GroupResource::new(group, format!("{kind}admissionpolicybindings")), binding.clone());
    }
    cluster
        .put(GroupResource::new("", "namespaces"), json!({"metadata": {"name": "n", "labels": {"a": "b"}}}));
    let map = json!({"apiVersion": "v1", "metadata": {"name": "limit", "namespace": "n", "labels": {"l": "1"}}, "max": 3});
    cluster.put(GroupResource::new("", "configmaps"), map);
    host(cluster, Allowed::default())
}

async fn validate(policy: Value, binding: Value, request: &Request) -> (Option<Status>, Notes) {
    let host = server("validating", &[policy], &[binding]);
    let compiler: Arc<dyn Compiler> = Arc::new(ByHeart);
    let policies = Policies::new(&compiler);
    let mut notes = Notes::default();
    let result = policies.validate(request, &Scene::new(&host), &mut notes).await;
    (result.err(), notes)
}

const START: &str =
    "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ";

#[tokio::test]
async fn what_does_not_hold_is_refused_in_upstreams_words() {
    let fails = "object.spec.replicas <= 5";
    for (spec, reason, code, message) in [
        (
            json!({"validations": [{"expression": fails}]}),
            "Invalid",
            422,
            "failed expression: object.spec.replicas <= 5",
        ),
        (
            json!({"validations": [{"expression": fails, "message": " too many "}]}),
            "Invalid",
            422,
            "too many",
        ),
        (
            json!({"validations": [{"expression": fails, "message": "m", "messageExpression": "'have ' + string(object.spec.replicas)", "reason": "Forbidden"}]}),
            "Forbidden",
            403,
            "have 9",
        ),
        (
            json!({"validations": [{"expression": fails, "message": "m", "messageExpression": "error"}]}),
            "Invalid",
            422,
            "m",
        ),
        (
            json!({"validations": [{"expression": "error"}]}),
            "Invalid",
            422,
            "expression 'error' resulted in error: no such key: x",
        ),
        (
            json!({"validations": [{"expression": "nonsense("}]}),
            "Invalid",
            422,
            "compilation error: undeclared reference to 'nonsense'",
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "1"}]}),
            "Invalid",
            422,
            "expression '1' resulted in error: must evaluate to bool but got int",
        ),
        (
            json!({"variables": [{"name": "small", "expression": "error"}], "validations": [{"expression": "variables.small"}]}),
            "Invalid",
            422,
            "expression 'variables.small' resulted in error: composited variable \"small\" fails to evaluate: no such key: x",
        ),
        (
            json!({"auditAnnotations": [{"key": "k", "valueExpression": "1"}]}),
            "Invalid",
            422,
            "valueExpression '1' resulted in unsupported return type: int. Return type must be either string or null.",
        ),
    ] {
        let (status, notes) = validate(policy(spec.clone()), binding(json!({})), &request(9)).await;
        let status = status.unwrap();
        assert_eq!(
            (status.reason, status.code, status.message),
            (reason, code, format!("{START}{message}")),
            "{spec}"
        );
        assert_eq!(notes.refusal().unwrap().rule, "p/b");
    }
}

#[tokio::test]
async fn what_holds_or_is_not_meant_passes() {
    let refuse = json!({"validations": [{"expression": "false"}]});
    for (spec, bound, replicas) in [
        (json!({"validations": [{"expression": "object.spec.replicas <= 5"}]}), json!({}), 5),
        (json!({"validations": [{"expression": "error"}], "failurePolicy": "Ignore"}), json!({}), 9),
        (
            json!({"validations": [{"expression": "false"}], "matchConditions": [{"name": "a", "expression": "error"}, {"name": "c", "expression": "false"}]}),
            json!({}),
            9,
        ),
        (
            json!({"variables": [{"name": "small", "expression": "true"}, {"name": "bad", "expression": "error"}], "validations": [{"expression": "variables.small"}]}),
            json!({}),
            9,
        ),
        (refuse.clone(), json!({"policyName": "other"}), 9),
        (refuse.clone(), json!({"matchResources": {"namespaceSelector": {"matchLabels": {"a": "c"}}}}), 9),
        (refuse.clone(), json!({"matchResources": {"objectSelector": {"matchLabels": {"a": "c"}}}}), 9),
        (
            refuse.clone(),
            json!({"matchResources": {"resourceRules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "resourceNames": ["e"]}]}}),
            9,
        ),
        (
            refuse,
            json!({"matchResources": {"excludeResourceRules": [{"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["*"], "resources": ["*"]}]}}),
            9,
        ),
    ] {
        let (status, _) = validate(policy(spec.clone()), binding(bound.clone()), &request(replicas)).await;
        assert_eq!(status, None, "{spec} {bound}");
    }
}

#[tokio::test]
async fn parameters_come_from_the_binding() {
    let spec = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"}, "validations": [{"expression": "object.spec.replicas <= params.max"}]});
    for (reference, replicas, expected) in [
        (json!({"name": "limit"}), 3, None),
        (json!({"name": "limit"}), 4, Some("failed expression: object.spec.replicas <= params.max")),
        (
            json!({"selector": {"matchLabels": {"l": "1"}}}),
            4,
            Some("failed expression: object.spec.replicas <= params.max"),
        ),
        (json!({"name": "absent", "parameterNotFoundAction": "Allow"}), 9, None),
        (
            json!({"name": "absent", "parameterNotFoundAction": "Deny"}),
            1,
            Some(
                "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction",
            ),
        ),
        (json!({}), 1, Some("failed to configure binding: one of name or selector must be provided")),
    ] {
        let bound = binding(json!({"paramRef": reference}));
        let (status, _) = validate(policy(spec.clone()), bound, &request(replicas)).await;
        let message = status.map(|status| status.message);
        assert_eq!(message, expected.map(|text| format!("{START}{text}")), "{reference} {replicas}");
    }
}

#[tokio::test]
async fn warnings_and_audit_go_beside_the_answer() {
    let spec = json!({"validations": [{"expression": "true"}, {"expression": "false", "message": "no"}],
        "auditAnnotations": [{"key": "k", "valueExpression": "namespaceObject.metadata.name"}, {"key": "none", "valueExpression": "null"}]});
    let bound = binding(json!({"validationActions": ["Warn", "Audit"]}));
    let (status, notes) = validate(policy(spec), bound, &request(1)).await;
    assert_eq!(status, None);
    assert_eq!(notes.warnings, ["Validation failed for ValidatingAdmissionPolicy 'p' with binding 'b': no"]);
    assert_eq!(notes.audit_annotations["p/k"], "n");
    assert_eq!(notes.audit_annotations.get("p/none"), None);
    let failure: Value = serde_json::from_str(
        &notes.audit_annotations["validation.policy.admission.k8s.io/validation_failure"],
    )
    .unwrap();
    assert_eq!(
        failure,
        json!([{"message": "no", "policy": "p", "binding": "b", "expressionIndex": 1, "validationActions": ["Warn", "Audit"]}])
    );
}

async fn mutate(spec: Value) -> Result<Value, String> {
    let host = server("mutating", &[policy(spec)], &[binding(json!({}))]);
    let compiler: Arc<dyn Compiler> = Arc::new(ByHeart);
    let policies = Policies::new(&compiler);
    let (mut asked, mut mutated) = (request(9), Mutated::default());
    let result = policies.mutate(&mut asked, &Scene::new(&host), &mut mutated, &mut Notes::default()).await;
    let changed = asked.object != request(9).object;
    assert_eq!(mutated.changed, changed);
    result.map(|()| asked.object.unwrap()).map_err(|status| status.message)
}

#[tokio::test]
async fn mutations_run_in_turn_on_what_was_changed() {
    let apply = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{spec: Object.spec{replicas: 3}}"}});
    let patch = json!({"patchType": "JSONPatch", "jsonPatch": {"expression": "[JSONPatch{...}]"}});
    let object = mutate(json!({"mutations": [apply, patch]})).await.unwrap();
    assert_eq!((&object["spec"]["replicas"], &object["marked"]), (&json!(3), &json!(3)));
    let off = json!({"mutations": [apply], "matchConditions": [{"name": "c", "expression": "false"}]});
    assert_eq!(mutate(off).await.unwrap()["spec"]["replicas"], 9);
    let bad = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "error"}});
    assert_eq!(
        mutate(json!({"mutations": [bad]})).await.unwrap_err(),
        "policy 'p' with binding 'b' denied request: expression 'error' resulted in error: no such key: x"
    );
    assert_eq!(
        mutate(json!({"mutations": [bad], "failurePolicy": "Ignore"})).await.unwrap()["spec"]["replicas"],
        9
    );
    let wrong = json!({"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "1"}});
    assert_eq!(
        mutate(json!({"mutations": [wrong]})).await.unwrap_err(),
        "policy 'p' with binding 'b' denied request: invalid return type: int"
    );
}

#[test]
fn variables_are_found_by_name() {
    use super::evaluate::names;
    for (text, name, expected) in [
        ("variables.a > 1", "a", true),
        ("variables.ab > 1", "a", false),
        ("a > 1", "a", false),
        ("variables . a", "a", true),
        ("variables.é + variables.a", "a", true),
    ] {
        assert_eq!(names(text, name), expected, "{text}");
    }
}
