//! Policies that decide for real, through the whole chain.

use kube_object::cluster::Fixed;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::status::Status;
use serde_json::{Value, json};

use crate::chain::Chain;
use crate::config::Config;
use crate::notes::Notes;
use crate::request::{Operation, Request};
use crate::testing::{Allowed, host};

const GROUP: &str = "admissionregistration.k8s.io";

fn request(replicas: i64) -> Request {
    Request {
        operation: Operation::Create,
        kind: GroupVersionKind::new("apps", "v1", "Deployment"),
        resource: GroupVersionResource::new("apps", "v1", "deployments"),
        namespace: "n".to_owned(),
        name: "d".to_owned(),
        object: Some(json!({"apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": {"name": "d", "namespace": "n", "labels": {"app": "d"}},
            "spec": {"replicas": replicas, "template": {"spec": {"containers": [
                {"name": "a", "image": "docker.io/a:1"}, {"name": "b", "image": "example.com/b:2"}]}}}})),
        ..Request::default()
    }
}

fn chain(kind: &str, spec: &Value, bound: &Value) -> Chain {
    let mut cluster = Fixed::default();
    let mut policy = json!({"metadata": {"name": "p"}, "spec": {"failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [
            {"operations": ["*"], "apiGroups": ["apps"], "apiVersions": ["*"], "resources": ["deployments"]}]}}});
    let mut binding =
        json!({"metadata": {"name": "b"}, "spec": {"policyName": "p", "validationActions": ["Deny"]}});
    for (object, more) in [(&mut policy, spec), (&mut binding, bound)] {
        let more = more.as_object().unwrap().clone();
        object["spec"].as_object_mut().unwrap().extend(more);
    }
    cluster.put(GroupResource::new(GROUP, format!("{kind}admissionpolicies")), policy);
    cluster.put(GroupResource::new(GROUP, format!("{kind}admissionpolicybindings")), binding);
    let namespace =
        json!({"metadata": {"name": "n", "labels": {"env": "prod"}}, "status": {"phase": "Active"}});
    cluster.put(GroupResource::new("", "namespaces"), namespace);
    let limits = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "limit", "namespace": "n"},
        "data": {"max": "3"}});
    cluster.put(GroupResource::new("", "configmaps"), limits);
    Chain::new(&Config::default(), host(cluster, Allowed::of(&["scale deployments d"])))
}

async fn validate(spec: Value, bound: Value, replicas: i64) -> Option<Status> {
    chain("validating", &spec, &bound).validate(&request(replicas), &mut Notes::default()).await.err()
}

const START: &str =
    "deployments.apps \"d\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: ";

#[tokio::test]
async fn validating_policies_decide() {
    let table = [
        (json!({"validations": [{"expression": "object.spec.replicas <= 5"}]}), None),
        (
            json!({"validations": [{"expression": "object.spec.replicas <= 3"}]}),
            Some("failed expression: object.spec.replicas <= 3"),
        ),
        (
            json!({"validations": [{"expression": "object.spec.replicas <= 3", "messageExpression": "'at most 3, not ' + string(object.spec.replicas)"}]}),
            Some("at most 3, not 4"),
        ),
        (
            json!({"variables": [
                    {"name": "containers", "expression": "object.spec.template.spec.containers"},
                    {"name": "foreign", "expression": "variables.containers.filter(c, !c.image.startsWith('example.com/'))"}],
                "validations": [{"expression": "variables.foreign.size() == 0", "messageExpression": "'foreign: ' + variables.foreign.map(c, c.name).join(',')"}]}),
            Some("foreign: a"),
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "namespaceObject.metadata.labels.env == 'test'"}],
                "validations": [{"expression": "false"}]}),
            None,
        ),
        (
            json!({"matchConditions": [{"name": "c", "expression": "request.operation == 'CREATE' && oldObject == null"}],
                "validations": [{"expression": "false", "message": "no"}]}),
            Some("no"),
        ),
        (
            json!({"validations": [{"expression": "object.spec.missing == 1"}]}),
            Some("expression 'object.spec.missing == 1' resulted in error: no such key: missing"),
        ),
        (
            json!({"validations": [{"expression": "authorizer.group('apps').resource('deployments').namespace('n').name('d').check('scale').allowed()"}]}),
            None,
        ),
        (
            json!({"validations": [{"expression": "authorizer.requestResource.check('approve').allowed()", "message": "may not approve"}]}),
            Some("may not approve"),
        ),
        (
            json!({"validations": [{"expression": "nothing == 1"}]}),
            Some(
                "compilation error: ERROR: <input>:1:1: undeclared reference to 'nothing' (in container '')\n | nothing == 1\n | ^",
            ),
        ),
        (
            json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
                "validations": [{"expression": "object.spec.replicas <= int(params.data.max)"}]}),
            Some("failed expression: object.spec.replicas <= int(params.data.max)"),
        ),
    ];
    for (spec, wanted) in table {
        let bound = if spec.get("paramKind").is_some() {
            json!({"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}})
        } else {
            json!({})
        };
        let message = validate(spec.clone(), bound, 4).await.map(|status| status.message);
        assert_eq!(message, wanted.map(|text| format!("{START}{text}")), "{spec}");
    }
    let params = json!({"paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "validations": [{"expression": "object.spec.replicas <= int(params.data.max)"}]});
    let bound = json!({"paramRef": {"name": "limit", "parameterNotFoundAction": "Deny"}});
    assert_eq!(validate(params, bound, 3).await, None);
}

#[tokio::test]
async fn mutating_policies_change() {
    let spec = json!({"reinvocationPolicy": "Never", "mutations": [
        {"patchType": "ApplyConfiguration", "applyConfiguration": {
            "expression": "Object{metadata: Object.metadata{labels: {'team': namespaceObject.metadata.labels.env}}, spec: Object.spec{replicas: object.spec.replicas + 1}}"}},
        {"patchType": "JSONPatch", "jsonPatch": {
            "expression": "[JSONPatch{op: 'test', path: '/spec/replicas', value: 5}, JSONPatch{op: 'add', path: '/metadata/labels/' + jsonpatch.escapeKey('a/b'), value: 'x'}]"}},
    ]});
    let mut asked = request(4);
    chain("mutating", &spec, &json!({})).mutate(&mut asked, &mut Notes::default()).await.unwrap();
    let object = asked.object.unwrap();
    assert_eq!(object["spec"]["replicas"], 5);
    assert_eq!(object["metadata"]["labels"], json!({"app": "d", "team": "prod", "a/b": "x"}));
    assert_eq!(object["spec"]["template"], request(4).object.unwrap()["spec"]["template"]);
    let wrong = json!({"mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {
        "expression": "Object{spec: Object.metadata{}}"}}]});
    let refused = chain("mutating", &wrong, &json!({})).mutate(&mut request(4), &mut Notes::default()).await;
    assert!(refused.unwrap_err().message.contains("unexpected type name \"Object.metadata\""));
}
