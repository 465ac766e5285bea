//! The audit log of what clients ask over the wire, and of what the process asks itself.

use std::fs;
use std::time::Duration;

use apiserver::LocalApi;
use apiserver::http::limits::Limits;
use apiserver::{Network, server::server_context};
use audit::{Audit, FileSettings, Format, Log, Mode, Settings, Target, policy};
use client::{Api as _, Call, WatchOptions};
use futures_util::StreamExt as _;
use http_body_util::BodyExt as _;
use kube_object::resource::GroupVersionResource;
use serde_json::{Value, json};
use testkit::TempDir;

use super::{Front, request, whole};

struct Recorded {
    front: Front,
    directory: TempDir,
}

impl Recorded {
    async fn new(rules: Value) -> Self {
        let directory = TempDir::new();
        let log = directory.path().join("audit.log");
        Self::at(rules, Mode::Blocking, directory, log).await
    }

    async fn at(rules: Value, mode: Mode, directory: TempDir, path: std::path::PathBuf) -> Self {
        let file = directory.path().join("policy.yaml");
        let text = json!({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": rules}).to_string();
        fs::write(&file, text).unwrap();
        let target = FileSettings { path, max_bytes: None, max_age_days: 0, max_backups: 0, compress: false };
        let target = Target::File(target);
        let settings = Settings { target, format: Format::Json, mode, buffer: 9, truncate: None };
        let audit = Audit::new(policy::load(&file).unwrap().policy, Log::open(settings).unwrap());
        let front = Front::recorded(Network::default(), Limits::default(), Some(audit)).await;
        Self { front, directory }
    }

    fn events(&self) -> Vec<Value> {
        let text = fs::read_to_string(self.directory.path().join("audit.log")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// The events of the request with this path, at least so many.
    async fn of(&self, uri: &str, count: usize) -> Vec<Value> {
        let found = async {
            loop {
                let all = self.events().into_iter().filter(|event| event["requestURI"] == uri);
                let all: Vec<Value> = all.collect();
                if all.len() >= count {
                    return all;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), found).await.unwrap()
    }
}

fn stages(events: &[Value]) -> Vec<String> {
    let told =
        |event: &Value| format!("{} {}", event["stage"].as_str().unwrap(), event["responseStatus"]["code"]);
    events.iter().map(told).collect()
}

#[tokio::test]
async fn tells_who_asked_for_what() {
    let recorded = Recorded::new(json!([{"level": "Metadata"}])).await;
    let front = &recorded.front;
    let asked = [("audit-id", "mine"), ("user-agent", "tool/1"), ("x-forwarded-for", "192.0.2.1")];
    let answer = front.get_with("/api/v1/namespaces/default?x=y", &asked).await;
    assert_eq!((answer.code, answer.header("audit-id")), (200, "mine"));
    let events = recorded.of("/api/v1/namespaces/default?x=y", 2).await;
    assert_eq!(stages(&events), ["RequestReceived null", "ResponseComplete 200"]);
    let mut event = events[1].clone();
    for time in ["requestReceivedTimestamp", "stageTimestamp"] {
        let text = event[time].as_str().unwrap().to_owned();
        assert_eq!((text.len(), text.ends_with('Z')), (27, true), "{text}");
        event.as_object_mut().unwrap().remove(time);
    }
    let groups = event["user"]["groups"].clone();
    assert!(groups.as_array().unwrap().contains(&json!("system:masters")), "{groups}");
    assert_eq!(
        event,
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "mine",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/default?x=y", "verb": "get",
            "user": event["user"], "sourceIPs": ["192.0.2.1", "127.0.0.1"], "userAgent": "tool/1",
            "objectRef": {"resource": "namespaces", "namespace": "default", "name": "default", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        })
    );
    let bob = [("impersonate-user", "bob"), ("impersonate-group", "dev")];
    front.get_with("/api/v1/namespaces/a/secrets", &bob).await;
    let event = recorded.of("/api/v1/namespaces/a/secrets", 2).await.pop().unwrap();
    assert_eq!(
        event["impersonatedUser"],
        json!({"username": "bob", "groups": ["dev", "system:authenticated"]})
    );
    assert_eq!(event["user"]["groups"], groups);
    assert_eq!(event["annotations"]["authorization.k8s.io/decision"], "forbid");
    assert_eq!((&event["verb"], &event["responseStatus"]["reason"]), (&json!("list"), &json!("Forbidden")));
    // Nobody known: one event alone, as upstream.
    whole(front.send_as(None, request("GET", "/api/v1/pods", &[], "")).await).await;
    let events = recorded.of("/api/v1/pods", 1).await;
    assert_eq!(stages(&events), ["ResponseStarted 401"]);
    assert_eq!(
        (&events[0]["user"], &events[0]["responseStatus"]["reason"]),
        (&json!({}), &json!("Unauthorized"))
    );
    for (path, verb, code) in
        [("/version", "get", 200), ("/nowhere", "get", 404), ("/api/v1/nothing", "list", 404)]
    {
        assert_eq!(front.get(path).await.code, code);
        let event = recorded.of(path, 2).await.pop().unwrap();
        assert_eq!(
            (&event["verb"], &event["responseStatus"]["code"]),
            (&json!(verb), &json!(code)),
            "{path}"
        );
        assert_eq!(event.get("objectRef").is_some(), path.starts_with("/api/"));
    }
    let metrics = front.get("/metrics").await;
    assert!(
        metrics.text().contains("apiserver_audit_level_total{level=\"Metadata\"} 7\n"),
        "{}",
        metrics.text()
    );
    recorded.front.end().await;
}

#[tokio::test]
async fn objects_are_recorded_by_level() {
    let rules = json!([
        {"level": "None", "nonResourceURLs": ["*"]},
        {"level": "RequestResponse", "omitManagedFields": true, "omitStages": ["RequestReceived"]},
    ]);
    let recorded = Recorded::new(rules).await;
    let front = &recorded.front;
    let maps = "/api/v1/namespaces/default/configmaps";
    let object =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}, "data": {"k": "v"}});
    assert_eq!(front.ask("POST", maps, "application/json", object.to_string()).await.code, 201);
    let event = recorded.of(maps, 1).await.pop().unwrap();
    assert_eq!((&event["requestObject"], &event["objectRef"]["name"]), (&object, &json!("a")));
    assert_eq!(event["responseObject"]["data"], json!({"k": "v"}));
    assert_eq!(event["responseObject"]["metadata"].get("managedFields"), None);
    let one = format!("{maps}/a");
    let table = [("accept", "application/json;as=Table;v=v1;g=meta.k8s.io")];
    for accept in [
        &table[..],
        &[("accept", "application/vnd.kubernetes.protobuf")],
        &[("accept", "application/yaml")],
        &[],
    ] {
        front.get_with(&format!("{maps}?at={}", accept.len()), accept).await;
        front.get_with(&one, accept).await;
    }
    let kinds: Vec<Value> =
        recorded.of(&one, 4).await.iter().map(|event| event["responseObject"]["kind"].clone()).collect();
    assert_eq!(kinds, ["Table", "ConfigMap", "ConfigMap", "ConfigMap"]);
    let lists = recorded.of(&format!("{maps}?at=1"), 3).await;
    assert_eq!(lists[0]["responseObject"]["kind"], "Table");
    assert!(lists.iter().all(|event| !event.to_string().contains("managedFields")), "{lists:?}");
    assert!(
        lists[1..].iter().all(|event| event["responseObject"]["items"].to_string().contains("\"k\":\"v\""))
    );
    let patch = json!({"data": {"k": "w"}});
    let uri = format!("{one}?fieldManager=me");
    front.ask("PATCH", &uri, "application/merge-patch+json", patch.to_string()).await;
    assert_eq!(recorded.of(&uri, 1).await[0]["requestObject"], patch);
    front
        .ask(
            "DELETE",
            &format!("{one}?x"),
            "application/json",
            json!({"kind": "DeleteOptions", "apiVersion": "v1"}).to_string(),
        )
        .await;
    let event = recorded.of(&format!("{one}?x"), 1).await.pop().unwrap();
    assert_eq!(event["requestObject"]["kind"], "DeleteOptions");
    let status = &event["responseStatus"];
    assert_eq!(
        (&status["status"], &status["details"]["name"], &status["code"]),
        (&json!("Success"), &json!("a"), &json!(200))
    );
    assert_eq!(event["responseObject"]["kind"], "Status");
    // Admission's notes.
    let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "default"}});
    front
        .ask("POST", "/api/v1/namespaces/default/serviceaccounts", "application/json", account.to_string())
        .await;
    let pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}});
    let pods = "/api/v1/namespaces/default/pods";
    front.ask("POST", pods, "application/json", pod.to_string()).await;
    let event = recorded.of(pods, 1).await.pop().unwrap();
    assert_eq!(
        event["annotations"]["pod-security.kubernetes.io/enforce-policy"], "privileged:latest",
        "{event}"
    );
    front.get("/version").await;
    assert!(recorded.events().iter().all(|event| event["requestURI"] != "/version"));
    recorded.front.end().await;
}

#[tokio::test]
async fn a_watch_ends_with_its_client() {
    let recorded = Recorded::new(json!([{"level": "Metadata"}])).await;
    let uri = "/api/v1/namespaces?watch=1";
    let mut answer = recorded.front.send(request("GET", uri, &[], "")).await;
    assert_eq!(stages(&recorded.of(uri, 2).await), ["RequestReceived null", "ResponseStarted 200"]);
    answer.body_mut().frame().await.unwrap().unwrap();
    drop(answer);
    let events = recorded.of(uri, 3).await;
    assert_eq!(stages(&events)[2..], ["ResponseComplete 200"]);
    assert_eq!(events[2]["verb"], "watch");
    let refused = "/api/v1/namespaces?watch=1&resourceVersion=x";
    recorded.front.get(refused).await;
    assert_eq!(stages(&recorded.of(refused, 3).await)[1..], ["ResponseStarted 400", "ResponseComplete 400"]);
    recorded.front.end().await;
}

#[tokio::test]
async fn the_process_asks_on_the_record_too() {
    let recorded = Recorded::new(json!([{"level": "Request", "users": ["system:apiserver"]}])).await;
    let api = LocalApi::new(recorded.front.server.registry(), server_context().user, "strake/1");
    let maps = GroupVersionResource::new("", "v1", "configmaps");
    api.call(Call::create(&maps, "default", json!({"metadata": {"name": "a"}, "data": {"k": "v"}})))
        .await
        .unwrap();
    api.call(Call::get(&maps, "default", "b")).await.unwrap_err();
    let event = recorded.of("/api/v1/namespaces/default/configmaps", 2).await.pop().unwrap();
    assert_eq!(
        (&event["verb"], &event["userAgent"], &event["objectRef"]["name"]),
        (&json!("create"), &json!("strake/1"), &json!("a"))
    );
    assert_eq!(
        (&event["responseStatus"]["code"], &event["requestObject"]["data"]["k"]),
        (&json!(201), &json!("v"))
    );
    let event = recorded.of("/api/v1/namespaces/default/configmaps/b", 2).await.pop().unwrap();
    assert_eq!(event["responseStatus"]["reason"], "NotFound");
    let mut events = api.watch(&maps, WatchOptions::default()).await.unwrap();
    events.next().await.unwrap().unwrap();
    drop(events);
    let watch = recorded.of("/api/v1/configmaps?watch=true", 3).await;
    assert_eq!(stages(&watch), ["RequestReceived null", "ResponseStarted 200", "ResponseComplete 200"]);
    recorded.front.end().await;
}

#[tokio::test]
async fn a_strict_log_that_is_full_stops_requests() {
    for (mode, code) in [(Mode::Blocking, 200), (Mode::BlockingStrict, 500)] {
        let rules = json!([{"level": "Metadata", "nonResourceURLs": ["/version"]}]);
        let recorded = Recorded::at(rules, mode, TempDir::new(), "/dev/full".into()).await;
        let answer = recorded.front.get("/version").await;
        assert_eq!(answer.code, code, "{}", answer.text());
        if code == 500 {
            assert_eq!(answer.text(), "Internal Server Error: \"/version\": failed to store audit event\n");
        }
        assert_eq!(recorded.front.get("/livez").await.code, 200);
        let metrics = recorded.front.get("/metrics").await;
        let rejected = format!("apiserver_audit_requests_rejected_total {}\n", usize::from(code == 500));
        assert!(metrics.text().contains(&rejected), "{}", metrics.text());
        recorded.front.end().await;
    }
}

#[tokio::test]
async fn without_a_policy_there_is_no_log() {
    let front = Front::new().await;
    assert!(!front.get("/metrics").await.text().contains("apiserver_audit"));
    let answer = front.get_with("/version", &[("audit-id", &"x".repeat(100))]).await;
    assert_eq!(answer.header("audit-id"), "x".repeat(100));
    front.end().await;
}
