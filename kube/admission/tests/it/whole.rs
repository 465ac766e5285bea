//! All steps together, as the API server runs them.

use std::sync::Arc;

use admission::config::Config;
use admission::{Chain, Notes, Operation, Request};
use kube_object::cluster::Fixed;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use serde_json::json;

use crate::hook::{Hook, answer, patch};
use crate::host::{host, host_with_account_after};

fn pod() -> Request {
    Request {
        operation: Operation::Create,
        kind: GroupVersionKind::new("", "v1", "Pod"),
        resource: GroupVersionResource::new("", "v1", "pods"),
        namespace: "n".to_owned(),
        name: "p".to_owned(),
        object: Some(json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"},
            "spec": {"containers": [{"name": "c", "image": "i"}]}})),
        ..Request::default()
    }
}

fn cluster() -> Fixed {
    let mut cluster = Fixed::default();
    let mut put = |resource: &str, object| cluster.put(GroupResource::new("", resource), object);
    put("namespaces", json!({"metadata": {"name": "n"}, "status": {"phase": "Active"}}));
    put(
        "limitranges",
        json!({"metadata": {"name": "r", "namespace": "n"}, "spec": {"limits": [
            {"type": "Container", "default": {"cpu": "1"}, "defaultRequest": {"cpu": "500m"}}]}}),
    );
    put(
        "resourcequotas",
        json!({"metadata": {"name": "q", "namespace": "n", "resourceVersion": "1"},
            "status": {"hard": {"requests.cpu": "700m"}, "used": {"requests.cpu": "200m"}}}),
    );
    cluster
}

#[tokio::test]
async fn a_pod_goes_through_all_steps() {
    // The webhook adds a container: the plugins run again for it, and quota sees both.
    let hook = Hook::start(Arc::new(|_, review| {
        let container = json!({"name": "sidecar", "image": "s"});
        answer(review, patch(json!([{"op": "add", "path": "/spec/containers/-", "value": container}])))
    }))
    .await;
    let mut cluster = cluster();
    let account = json!({"metadata": {"name": "default", "namespace": "n"}});
    cluster.put(GroupResource::new("", "serviceaccounts"), account);
    let quiet = Chain::new(&Config::default(), host(clone(&cluster)));
    let (mut request, mut notes) = (pod(), Notes::default());
    quiet.mutate(&mut request, &mut notes).await.unwrap();
    quiet.validate(&request, &mut notes).await.unwrap();
    cluster.put(
        GroupResource::new("admissionregistration.k8s.io", "mutatingwebhookconfigurations"),
        json!({"metadata": {"name": "c"}, "webhooks": [{"name": "w", "clientConfig": hook.client("/"),
            "admissionReviewVersions": ["v1"], "sideEffects": "None",
            "rules": [{"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}]}]}),
    );
    let chain = Chain::new(&Config::default(), host(cluster));
    let (mut request, mut notes) = (pod(), Notes::default());
    chain.mutate(&mut request, &mut notes).await.unwrap();
    let object = request.object.as_ref().unwrap();
    for container in object["spec"]["containers"].as_array().unwrap() {
        assert_eq!(container["resources"], json!({"limits": {"cpu": "1"}, "requests": {"cpu": "500m"}}));
        assert_eq!(container["volumeMounts"].as_array().unwrap().len(), 1);
    }
    assert_eq!(object["spec"]["tolerations"].as_array().unwrap().len(), 2);
    assert_eq!(hook.count("/"), 1);
    let status = chain.validate(&request, &mut notes).await.unwrap_err();
    assert_eq!(
        status.message,
        "pods \"p\" is forbidden: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=200m, limited: requests.cpu=700m"
    );
    let decisions: Vec<_> = notes.decisions.iter().map(ToString::to_string).collect();
    assert_eq!(
        decisions,
        [
            "MutatingAdmissionWebhook changed by c/w",
            "ResourceQuota refused by n/q: exceeded quota: q, requested: requests.cpu=1, used: requests.cpu=200m, limited: requests.cpu=700m",
        ]
    );
}

#[tokio::test]
async fn a_pod_waits_for_the_account_of_its_new_namespace() {
    let chain = Chain::new(&Config::default(), host_with_account_after(cluster(), 3));
    let mut request = pod();
    chain.mutate(&mut request, &mut Notes::default()).await.unwrap();
    assert_eq!(request.object.unwrap()["spec"]["serviceAccountName"], "default");
    let never = Chain::new(&Config::default(), host(cluster()));
    let status = never.mutate(&mut pod(), &mut Notes::default()).await.unwrap_err();
    assert_eq!(
        status.message,
        "pods \"p\" is forbidden: error looking up service account n/default: serviceaccount \"default\" not found"
    );
}

#[tokio::test]
async fn what_is_refused_early_waits_for_nothing() {
    let chain = Chain::new(&Config::default(), host(Fixed::default()));
    let started = std::time::Instant::now();
    let status = chain.mutate(&mut pod(), &mut Notes::default()).await.unwrap_err();
    assert_eq!((status.code, status.message.as_str()), (404, "namespaces \"n\" not found"));
    // Looking for the default account alone would take longer.
    assert!(started.elapsed() < std::time::Duration::from_millis(1400));
}

#[tokio::test]
async fn steps_can_be_left_out() {
    let disable = ["NamespaceLifecycle", "ServiceAccount", "ResourceQuota"].map(str::to_owned).into();
    let config = Config { disable, enable: ["AlwaysPullImages".to_owned()].into(), ..Config::default() };
    let chain = Chain::new(&config, host(Fixed::default()));
    let mut request = Request { namespace: "absent".to_owned(), ..pod() };
    chain.mutate(&mut request, &mut Notes::default()).await.unwrap();
    let object = request.object.unwrap();
    assert_eq!(object["spec"]["serviceAccountName"], json!(null));
    assert_eq!(object["spec"]["containers"][0]["imagePullPolicy"], "Always");
}

fn clone(cluster: &Fixed) -> Fixed {
    use kube_object::cluster::Cluster;
    let mut copy = Fixed::default();
    for name in ["namespaces", "limitranges", "resourcequotas", "serviceaccounts"] {
        let resource = GroupResource::new("", name);
        for object in cluster.list(&resource, None) {
            copy.put(resource.clone(), object.as_ref().clone());
        }
    }
    copy
}
