//! What webhooks are asked, and what their answers do.

use std::sync::Arc;

use admission::config::Config;
use admission::{Chain, Notes, Operation, Request};
use kube_object::cluster::Fixed;
use kube_object::resource::{GroupResource, GroupVersionKind, GroupVersionResource};
use kube_object::user::User;
use serde_json::{Value, json};

use crate::hook::{Hook, Reply, answer, patch};
use crate::host::host;

const BOTH: [&str; 2] = ["mutatingwebhookconfigurations", "validatingwebhookconfigurations"];

fn webhook(client: Value, more: Value) -> Value {
    let mut webhook = json!({
        "name": "w.example.com", "clientConfig": client, "admissionReviewVersions": ["v1"],
        "sideEffects": "None", "failurePolicy": "Fail", "matchPolicy": "Equivalent", "timeoutSeconds": 5,
        "rules": [{"operations": ["*"], "apiGroups": ["a"], "apiVersions": ["v1"], "resources": ["xs"], "scope": "*"}],
    });
    webhook.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    webhook
}

/// A chain of nothing but webhooks.
fn chain(mutating: &[Value], validating: &[Value], more: &[(&str, Value)]) -> Chain {
    let mut cluster = Fixed::default();
    for (resource, webhooks) in BOTH.iter().zip([mutating, validating]) {
        let object = json!({"metadata": {"name": "c"}, "webhooks": webhooks});
        cluster.put(GroupResource::new("admissionregistration.k8s.io", *resource), object);
    }
    let namespace =
        json!({"metadata": {"name": "n", "labels": {"team": "a"}}, "status": {"phase": "Active"}});
    cluster.put(GroupResource::new("", "namespaces"), namespace);
    for (resource, object) in more {
        let (resource, group) = resource.split_once('.').unwrap_or((resource, ""));
        cluster.put(GroupResource::new(group, resource), object.clone());
    }
    Chain::new(&Config::default(), host(cluster))
}

fn request(version: &str) -> Request {
    Request {
        operation: Operation::Create,
        kind: GroupVersionKind::new("a", version, "X"),
        resource: GroupVersionResource::new("a", version, "xs"),
        namespace: "n".to_owned(),
        name: "x".to_owned(),
        user: User { name: "jane".to_owned(), groups: vec!["dev".to_owned()], ..User::default() },
        object: Some(
            json!({"apiVersion": format!("a/{version}"), "kind": "X", "metadata": {"name": "x", "labels": {"l": "1"}}}),
        ),
        options: json!({"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}),
        ..Request::default()
    }
}

fn always(more: Value) -> Arc<Reply> {
    Arc::new(move |_, review| answer(review, more.clone()))
}

async fn validate(chain: &Chain, request: &Request) -> (Result<(), String>, Notes) {
    let mut notes = Notes::default();
    let result = chain
        .validate(request, &mut notes)
        .await
        .map_err(|status| format!("{} {}", status.code, status.message));
    (result, notes)
}

#[tokio::test]
async fn a_webhook_is_asked_in_upstreams_words_and_refuses() {
    let hook = Hook::start(always(json!({
        "allowed": false, "status": {"message": "not today", "reason": "Forbidden", "code": 403},
        "warnings": ["careful"], "auditAnnotations": {"k": "v"}})))
    .await;
    let chain = chain(&[], &[webhook(hook.client("/check?x=1"), json!({}))], &[]);
    let (result, notes) = validate(&chain, &request("v1")).await;
    assert_eq!(result.unwrap_err(), "403 admission webhook \"w.example.com\" denied the request: not today");
    assert_eq!(notes.warnings, ["careful"]);
    assert_eq!(notes.audit_annotations["w.example.com/k"], "v");
    assert_eq!(notes.refusal().unwrap().rule, "c/w.example.com");
    let calls = hook.calls.lock().unwrap();
    let (path, review) = &calls[0];
    assert_eq!(path, "/check?x=1&timeout=5s");
    let mut asked = review.clone();
    assert_eq!(asked["request"]["uid"].as_str().unwrap().len(), 36);
    asked["request"].as_object_mut().unwrap().remove("uid");
    let (kind, resource) = (
        json!({"group": "a", "version": "v1", "kind": "X"}),
        json!({"group": "a", "version": "v1", "resource": "xs"}),
    );
    assert_eq!(
        asked,
        json!({"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "request": {
            "kind": kind, "resource": resource, "requestKind": kind, "requestResource": resource,
            "name": "x", "namespace": "n", "operation": "CREATE", "dryRun": false, "oldObject": null,
            "userInfo": {"username": "jane", "groups": ["dev"]},
            "object": {"apiVersion": "a/v1", "kind": "X", "metadata": {"name": "x", "labels": {"l": "1"}}},
            "options": {"kind": "CreateOptions", "apiVersion": "meta.k8s.io/v1"}}})
    );
}

#[tokio::test]
async fn connections_are_kept_and_made_anew() {
    let hook = Hook::start(always(json!({}))).await;
    let kept = chain(&[], &[webhook(hook.client("/"), json!({}))], &[]);
    for _ in 0..5 {
        validate(&kept, &request("v1")).await.0.unwrap();
    }
    assert_eq!((*hook.connections.lock().unwrap(), hook.count("/")), (1, 5));
    let closing = chain(&[], &[webhook(hook.client("/close"), json!({}))], &[]);
    for _ in 0..3 {
        validate(&closing, &request("v1")).await.0.unwrap();
    }
    assert_eq!(*hook.connections.lock().unwrap(), 4);
}

#[tokio::test]
async fn requests_are_seen_only_if_they_match() {
    let hook = Hook::start(always(json!({}))).await;
    let rule = |member: &str, value: Value| {
        let mut rule = json!({"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": "*"});
        rule[member] = value;
        json!({"rules": [rule]})
    };
    for (more, seen) in [
        (rule("operations", json!(["CREATE"])), true),
        (rule("operations", json!(["DELETE"])), false),
        (rule("apiGroups", json!([""])), false),
        (rule("resources", json!(["xs/*"])), true),
        (rule("resources", json!(["*/*"])), true),
        (rule("resources", json!(["xs/status"])), false),
        (rule("resources", json!(["ys", "xs"])), true),
        (rule("scope", json!("Cluster")), false),
        (rule("scope", json!("Namespaced")), true),
        (json!({"namespaceSelector": {"matchLabels": {"team": "a"}}}), true),
        (json!({"namespaceSelector": {"matchLabels": {"team": "b"}}}), false),
        (
            json!({"namespaceSelector": {"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]}}),
            false,
        ),
        (json!({"objectSelector": {"matchLabels": {"l": "1"}}}), true),
        (json!({"objectSelector": {"matchLabels": {"l": "2"}}}), false),
    ] {
        let before = hook.count("/");
        let chain = chain(&[], &[webhook(hook.client("/"), more.clone())], &[]);
        validate(&chain, &request("v1")).await.0.unwrap();
        assert_eq!(hook.count("/") - before, usize::from(seen), "{more}");
    }
}

#[tokio::test]
async fn other_versions_are_converted_unless_the_match_is_exact() {
    let hook = Hook::start(always(patch(json!([{"op": "add", "path": "/new", "value": 1}])))).await;
    let exact = chain(&[webhook(hook.client("/"), json!({"matchPolicy": "Exact"}))], &[], &[]);
    exact.mutate(&mut request("v2"), &mut Notes::default()).await.unwrap();
    assert_eq!(hook.count("/"), 0);
    let equivalent = chain(&[webhook(hook.client("/"), json!({}))], &[], &[]);
    let mut changed = request("v2");
    equivalent.mutate(&mut changed, &mut Notes::default()).await.unwrap();
    let review = hook.calls.lock().unwrap()[0].1["request"].clone();
    assert_eq!((&review["kind"]["version"], &review["requestKind"]["version"]), (&json!("v1"), &json!("v2")));
    assert_eq!(review["object"]["apiVersion"], "a/v1");
    let object = changed.object.unwrap();
    assert_eq!(
        (&object["apiVersion"], &object["new"], &object["settled"]),
        (&json!("a/v2"), &json!(1), &json!(true))
    );
}

#[tokio::test]
async fn webhooks_change_one_after_the_other_and_again_if_they_want() {
    // The first marks what it sees of the second's change; the second changes once.
    let reply: Arc<Reply> = Arc::new(|path, review| {
        let object = &review["request"]["object"];
        let change = match path.chars().nth(1) {
            Some('a') => json!([{"op": "add", "path": "/seen", "value": object["b"].is_number()}]),
            _ if object["b"].is_number() => json!([]),
            _ => json!([{"op": "add", "path": "/b", "value": 1}]),
        };
        answer(review, patch(change))
    });
    for (policy, calls, seen) in [("Never", 1, false), ("IfNeeded", 2, true)] {
        let hook = Hook::start(reply.clone()).await;
        let first =
            webhook(hook.client("/a"), json!({"name": "a.example.com", "reinvocationPolicy": policy}));
        let second = webhook(hook.client("/b"), json!({"name": "b.example.com"}));
        let chain = chain(&[first, second], &[], &[]);
        let (mut request, mut notes) = (request("v1"), Notes::default());
        chain.mutate(&mut request, &mut notes).await.unwrap();
        assert_eq!((hook.count("/a"), hook.count("/b")), (calls, 1), "{policy}");
        assert_eq!(request.object.unwrap()["seen"], seen);
        let told = &notes.audit_annotations["mutation.webhook.admission.k8s.io/round_0_index_1"];
        assert_eq!(told, "{\"configuration\":\"c\",\"mutated\":true,\"webhook\":\"b.example.com\"}");
    }
}

#[tokio::test]
async fn what_cannot_be_called_fails_or_is_ignored() {
    let reply: Arc<Reply> = Arc::new(|path, review| match path.split('?').next() {
        Some("/html") => Some((200, b"<html>".to_vec())),
        Some("/500") => Some((500, b"boom".to_vec())),
        Some("/404") => Some((404, Vec::new())),
        Some("/uid") => answer(review, json!({"uid": "x"})),
        Some("/huge") => Some((200, vec![b' '; 4 * 1024 * 1024])),
        _ => None,
    });
    let hook = Hook::start(reply).await;
    let stranger = Hook::start(always(json!({}))).await;
    let unknown_ca = json!({"url": format!("https://localhost:{}/", stranger.port), "caBundle": hook.bundle});
    let service = json!({"service": {"name": "s", "namespace": "n", "path": "/p"}, "caBundle": hook.bundle});
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let nobody = json!({"url": format!("https://127.0.0.1:{closed}/"), "caBundle": hook.bundle});
    let port = hook.port;
    for (client, why) in [
        (hook.client("/html"), "received invalid webhook response: couldn't get version/kind; json parse error: expected value at line 1 column 1".to_owned()),
        (hook.client("/500"), "failed to call webhook: an error on the server (\"boom\") has prevented the request from succeeding".to_owned()),
        (hook.client("/404"), "failed to call webhook: the server could not find the requested resource".to_owned()),
        (hook.client("/huge"), format!("failed to call webhook: Post \"https://localhost:{port}/huge?timeout=1s\": http: response body too large")),
        (hook.client("/never"), format!("failed to call webhook: Post \"https://localhost:{port}/never?timeout=1s\": context deadline exceeded")),
        (unknown_ca, format!("failed to call webhook: Post \"https://localhost:{}/?timeout=1s\": tls: failed to verify certificate: x509: certificate signed by unknown authority", stranger.port)),
        (nobody, format!("failed to call webhook: Post \"https://127.0.0.1:{closed}/?timeout=1s\": dial tcp 127.0.0.1:{closed}: connect: connection refused")),
        (service, "failed to call webhook: Post \"https://s.n.svc:443/p?timeout=1s\": service \"s\" not found".to_owned()),
        (json!({}), "could not get REST client: webhook configuration must have either service or URL".to_owned()),
    ] {
        let more = |policy: &str| json!({"failurePolicy": policy, "timeoutSeconds": 1});
        let strict = chain(&[], &[webhook(client.clone(), more("Fail"))], &[]);
        let (result, notes) = validate(&strict, &request("v1")).await;
        assert_eq!(
            result.unwrap_err(),
            format!("500 Internal error occurred: failed calling webhook \"w.example.com\": {why}")
        );
        assert_eq!(notes.refusal().unwrap().plugin, "ValidatingAdmissionWebhook");
        let lenient = chain(&[webhook(client.clone(), more("Ignore"))], &[webhook(client, more("Ignore"))], &[]);
        let (result, notes) = validate(&lenient, &request("v1")).await;
        result.unwrap();
        let open = "failed-open.validating.webhook.admission.k8s.io/round_0_index_0";
        assert_eq!(notes.audit_annotations[open], "w.example.com");
        lenient.mutate(&mut request("v1"), &mut Notes::default()).await.unwrap();
    }
}

#[tokio::test]
async fn a_service_is_called_at_its_endpoints() {
    let hook = Hook::start(always(json!({}))).await;
    let client = json!({"service": {"name": "s", "namespace": "n", "path": "p", "port": 8443}, "caBundle": hook.bundle});
    let service = json!({"metadata": {"name": "s", "namespace": "n"}, "spec": {"clusterIP": "10.0.0.1", "ports": [{"port": 8443}]}});
    let slice = json!({"metadata": {"name": "s-1", "namespace": "n", "labels": {"kubernetes.io/service-name": "s"}},
        "ports": [{"port": hook.port}], "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}]});
    let objects = [("services", service), ("endpointslices.discovery.k8s.io", slice)];
    let chain = chain(&[], &[webhook(client, json!({}))], &objects);
    validate(&chain, &request("v1")).await.0.unwrap();
    assert_eq!(hook.count("/p?timeout=5s"), 1);
}

#[tokio::test]
async fn dry_runs_reach_only_what_has_no_side_effects() {
    let hook = Hook::start(always(json!({}))).await;
    for (effects, expected) in [
        (json!("None"), Ok(())),
        (json!("NoneOnDryRun"), Ok(())),
        (json!("Some"), Err("400 admission webhook \"w.example.com\" does not support dry run")),
        (
            Value::Null,
            Err(
                "500 Internal error occurred: failed calling webhook \"w.example.com\": Webhook SideEffects is nil",
            ),
        ),
    ] {
        let chain = chain(&[], &[webhook(hook.client("/"), json!({"sideEffects": effects}))], &[]);
        let dry = Request { dry_run: true, ..request("v1") };
        assert_eq!(validate(&chain, &dry).await.0, expected.map_err(str::to_owned));
    }
    assert_eq!(hook.count("/"), 2);
    assert_eq!(hook.calls.lock().unwrap()[0].1["request"]["dryRun"], true);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn validating_webhooks_are_asked_at_once() {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let counter = asked.clone();
    // Neither answers before both are asked.
    let reply: Arc<Reply> = Arc::new(move |_, review| {
        counter.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let deadline = std::time::Instant::now() + std::time::Duration::from_secs(4);
        while counter.load(std::sync::atomic::Ordering::SeqCst) < 2 && std::time::Instant::now() < deadline {
            std::thread::yield_now();
        }
        answer(review, json!({}))
    });
    let (left, right) = (Hook::start(reply.clone()).await, Hook::start(reply).await);
    let webhooks =
        [webhook(left.client("/"), json!({})), webhook(right.client("/"), json!({"name": "b.example.com"}))];
    let chain = chain(&[], &webhooks, &[]);
    validate(&chain, &request("v1")).await.0.unwrap();
    assert_eq!(asked.load(std::sync::atomic::Ordering::SeqCst), 2);
}

#[tokio::test]
async fn configurations_of_webhooks_are_never_held_up() {
    let hook = Hook::start(always(json!({"allowed": false}))).await;
    let rules =
        json!([{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*/*"]}]);
    let chain = chain(&[], &[webhook(hook.client("/"), json!({"rules": rules}))], &[]);
    let own = Request {
        kind: GroupVersionKind::new("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration"),
        resource: GroupVersionResource::new(
            "admissionregistration.k8s.io",
            "v1",
            "validatingwebhookconfigurations",
        ),
        namespace: String::new(),
        ..request("v1")
    };
    validate(&chain, &own).await.0.unwrap();
    assert!(validate(&chain, &request("v1")).await.0.is_err());
}

#[tokio::test]
async fn configurations_may_be_anything() {
    for value in [json!(null), json!([]), json!("x"), json!(-1), json!({"a": [null]}), json!([[{}], 7, "y"])]
    {
        for webhooks in [
            value.clone(),
            json!([value]),
            json!([{"rules": value, "clientConfig": value, "namespaceSelector": {}, "timeoutSeconds": value}]),
            json!([{"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"], "scope": value}],
                "name": value, "clientConfig": {"service": value, "url": value, "caBundle": value},
                "admissionReviewVersions": value, "matchConditions": value, "sideEffects": value}]),
            json!([{"rules": [{"operations": ["*"], "apiGroups": ["*"], "apiVersions": ["*"], "resources": ["*"]}],
                "namespaceSelector": value, "objectSelector": value, "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Ignore", "clientConfig": {"url": "https://\u{0}", "caBundle": "!"}}]),
        ] {
            let webhooks = webhooks.as_array().cloned().unwrap_or_default();
            let chain = chain(&webhooks, &webhooks, &[]);
            let _ = chain.mutate(&mut request("v1"), &mut Notes::default()).await;
            let _ = validate(&chain, &request("v1")).await;
        }
    }
}
