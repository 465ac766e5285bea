//! What admission makes of a request: of bodies that speak another kind, and once for each request.

use apiserver::http::limits::Limits;
use apiserver::registry::{Body, Context, Patch, Target, WriteOptions};
use apiserver::{Cidr, Network};
use serde_json::{Value, json};

use super::Front;

const JSON: &str = "application/json";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1";

async fn post(front: &Front, path: &str, object: &Value) -> Value {
    let made = front.ask("POST", path, JSON, object.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.text());
    made.json()
}

/// A policy for one resource, and its binding.
async fn policy(front: &Front, kind: &str, name: &str, resource: (&str, &str, &str), mut spec: Value) {
    let (group, resource, operation) = resource;
    spec["matchConstraints"] = json!({"resourceRules": [{"apiGroups": [group], "apiVersions": ["v1"],
        "operations": [operation], "resources": [resource]}]});
    let object = |kind: &str, spec: Value| {
        json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": {"name": name}, "spec": spec})
    };
    let (plural, bindings) = match kind {
        "MutatingAdmissionPolicy" => ("mutatingadmissionpolicies", "mutatingadmissionpolicybindings"),
        _ => ("validatingadmissionpolicies", "validatingadmissionpolicybindings"),
    };
    post(front, &format!("{POLICIES}/{plural}"), &object(kind, spec)).await;
    let mut bound = json!({"policyName": name});
    if kind.starts_with("Validating") {
        bound["validationActions"] = json!(["Deny"]);
    }
    post(front, &format!("{POLICIES}/{bindings}"), &object(&format!("{kind}Binding"), bound)).await;
}

fn replaces(path: &str, value: &str) -> Value {
    let expression = format!("[JSONPatch{{op: \"replace\", path: \"{path}\", value: {value}}}]");
    json!({"failurePolicy": "Fail", "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}]})
}

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}},
        "spec": {"containers": [{"name": "c", "image": "registry.example/c"}]}})
}

#[tokio::test]
async fn a_scale_that_admission_changes_is_what_is_done() {
    let front = Front::new().await;
    let scale = ("apps", "deployments/scale", "UPDATE");
    policy(&front, "MutatingAdmissionPolicy", "fives", scale, replaces("/spec/replicas", "5")).await;
    let grows = json!({"validations": [
        {"expression": "object.kind == 'Scale' && oldObject.kind == 'Scale'"},
        {"expression": "object.spec.replicas > oldObject.spec.replicas", "message": "only more"}]});
    policy(&front, "ValidatingAdmissionPolicy", "grows", scale, grows).await;
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    let web = json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"},
        "spec": {"replicas": 1, "selector": {"matchLabels": {"app": "web"}}, "template": template()}});
    post(&front, deployments, &web).await;
    let path = format!("{deployments}/web/scale");
    let patch = json!({"spec": {"replicas": 2}}).to_string();
    let scaled = front.ask("PATCH", &path, "application/merge-patch+json", patch.clone()).await;
    assert_eq!((scaled.code, &scaled.json()["spec"]["replicas"]), (200, &json!(5)), "{}", scaled.text());
    assert_eq!(front.get(&format!("{deployments}/web")).await.json()["spec"]["replicas"], 5);
    let again = front.ask("PATCH", &path, "application/merge-patch+json", patch).await;
    assert_eq!(again.code, 422, "{}", again.text());
    assert!(again.text().contains("only more"), "{}", again.text());
    front.end().await;
}

#[tokio::test]
async fn a_binding_that_admission_changes_is_what_is_done() {
    let front = Front::new().await;
    let binding = ("", "pods/binding", "CREATE");
    let elsewhere = replaces("/target/name", "\"elsewhere\"");
    policy(&front, "MutatingAdmissionPolicy", "elsewhere", binding, elsewhere).await;
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    front.ask("POST", "/api/v1/namespaces/default/serviceaccounts", JSON, account.to_string()).await;
    let pods = "/api/v1/namespaces/default/pods";
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "web"},
        "spec": template()["spec"]});
    post(&front, pods, &pod).await;
    let binding = json!({"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "web"},
        "target": {"kind": "Node", "name": "here"}});
    post(&front, &format!("{pods}/web/binding"), &binding).await;
    assert_eq!(front.get(&format!("{pods}/web")).await.json()["spec"]["nodeName"], "elsewhere");
    front.end().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn quota_is_charged_once_whatever_is_tried_again() {
    const SERVICES: u64 = 12;
    // As few addresses as will do: who chooses at the same time chooses the same.
    let cidr = Cidr::parse("10.96.0.0/28").unwrap();
    let network = Network { cidrs: vec![cidr], ..Network::default() };
    let front = Front::on(network, Limits::default()).await;
    let quotas = "/api/v1/namespaces/default/resourcequotas";
    let hard = json!({"services": "100"});
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"},
        "spec": {"hard": hard}});
    let mut quota = post(&front, quotas, &quota).await;
    quota["status"] = json!({"hard": hard, "used": {"services": "0"}});
    let status = front.ask("PUT", &format!("{quotas}/q/status"), JSON, quota.to_string()).await;
    assert_eq!(status.code, 200, "{}", status.text());
    // At the same time, so that some lose the race for an address and choose another.
    let made = futures_util::future::join_all((0..SERVICES).map(|at| {
        let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": format!("s{at}")},
            "spec": {"ports": [{"port": 80}]}});
        let front = &front;
        async move { post(front, "/api/v1/namespaces/default/services", &service).await }
    }));
    assert_eq!(made.await.len() as u64, SERVICES);
    let used = front.get(&format!("{quotas}/q")).await.json()["status"]["used"]["services"].clone();
    assert_eq!(used, SERVICES.to_string());
    front.end().await;
}

#[tokio::test]
async fn decisions_stay_with_the_request() {
    let front = Front::new().await;
    let registry = front.server.registry();
    let maps = registry.kinds().resolve("", "v1", "configmaps").unwrap();
    let context = Context::default();
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "m"}});
    let target = Target::collection(&maps, "none-such");
    let options = WriteOptions::default();
    let refused = registry.create(&context, &target, Body::from(object), &options).await.unwrap_err();
    let notes = context.admission.take();
    let refusal = notes.refusal().expect("the refusal");
    assert_eq!((refusal.plugin, &refusal.reason), ("NamespaceLifecycle", &refused.message));
    assert!(context.admission.take().decisions.is_empty());
    let patch = Patch::Merge(Body::from(json!({"data": {"a": "b"}})));
    let target = Target::object(&maps, "default", "none");
    registry.patch(&context, &target, patch, &options).await.unwrap_err();
    assert!(context.admission.take().refusal().is_none(), "it is not there, and nobody was asked");
    front.end().await;
}
