use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;

use jiff::Timestamp;
use kube_object::user::User;
use serde_json::{Value, json};
use testkit::TempDir;

use super::*;
use crate::policy::{Asked, Resource, load};
use crate::{Audit, Request, ResponseStatus, Trail};

fn settings(path: &Path, mode: Mode) -> Settings {
    let file = FileSettings {
        path: path.to_owned(),
        max_bytes: None,
        max_age_days: 0,
        max_backups: 0,
        compress: false,
    };
    Settings { target: Target::File(file), format: Format::Json, mode, buffer: 100, truncate: None }
}

fn audit(directory: &TempDir, rules: &str, settings: Settings) -> Arc<Audit> {
    let path = directory.path().join("policy.yaml");
    let text = format!("{{apiVersion: audit.k8s.io/v1, kind: Policy, rules: {rules}}}");
    std::fs::write(&path, text).unwrap();
    Audit::new(load(&path).unwrap().policy, Log::open(settings).unwrap())
}

fn begin(audit: &Arc<Audit>, user: Option<&User>, verb: &str, long_running: bool) -> Option<Trail> {
    let resource = Resource { version: "v1", resource: "secrets", namespace: "a", ..Resource::default() };
    let asked = Asked { user, verb, path: "/api/v1/namespaces/a/secrets", resource: Some(resource) };
    audit.begin(&asked, || Request {
        audit_id: format!("{verb}-1"),
        uri: "/api/v1/namespaces/a/secrets".to_owned(),
        source_ips: Vec::new(),
        user_agent: "test/1".to_owned(),
        received: Timestamp::now(),
        long_running,
    })
}

fn events(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn stages(path: &Path) -> Vec<String> {
    let told =
        |event: &Value| format!("{} {}", event["stage"].as_str().unwrap(), event["responseStatus"]["code"]);
    events(path).iter().map(told).collect()
}

fn bob() -> User {
    User { name: "bob".to_owned(), ..User::default() }
}

#[tokio::test]
async fn tells_the_stages_of_a_request() {
    let directory = TempDir::new();
    let path = directory.path().join("audit.log");
    let audit = audit(&directory, "[{level: Metadata}]", settings(&path, Mode::Blocking));
    let bob = bob();
    let short = begin(&audit, Some(&bob), "get", false).unwrap();
    assert!(short.received().await);
    short.answered(200).await;
    // It is there before the client hears of it, and the end of the record adds nothing.
    assert_eq!(stages(&path), ["RequestReceived null", "ResponseComplete 200"]);
    drop(short);
    let long = begin(&audit, Some(&bob), "watch", true).unwrap();
    long.received().await;
    long.answered(200).await;
    let held = long.clone();
    drop(long);
    drop(held);
    let stranger = begin(&audit, None, "list", false).unwrap();
    stranger.received().await;
    stranger.answered(401).await;
    drop(stranger);
    let broken = begin(&audit, Some(&bob), "create", false).unwrap();
    broken.received().await;
    broken.panicked("kaboom").await;
    drop(broken);
    drop(begin(&audit, Some(&bob), "list", false).unwrap());
    drop(begin(&audit, Some(&bob), "watch", true).unwrap());
    audit.flush().await;
    assert_eq!(
        stages(&path)[2..],
        [
            "RequestReceived null",
            "ResponseStarted 200",
            "ResponseComplete 200",
            "ResponseStarted 401",
            "RequestReceived null",
            "Panic 500",
            "ResponseComplete 200",
            "ResponseStarted 200",
            "ResponseComplete 200",
        ]
    );
    let all = events(&path);
    assert_eq!(all[7]["responseStatus"]["message"], "APIServer panic'd: kaboom");
    assert_eq!(all[8]["responseStatus"]["message"], "Connection closed early");
    let metrics = audit.metrics();
    assert!(metrics.contains("apiserver_audit_event_total 11\n"), "{metrics}");
    assert!(metrics.contains("apiserver_audit_level_total{level=\"Metadata\"} 6\n"), "{metrics}");
}

#[tokio::test]
async fn a_level_says_how_much() {
    let rules = "[{level: None, users: [none]}, {level: Metadata, users: [metadata]}, {level: Request, users: [request]}, \
                 {level: RequestResponse, omitManagedFields: true, omitStages: [RequestReceived]}]";
    for (name, recorded) in [
        ("none", None),
        ("metadata", Some((false, false))),
        ("request", Some((true, false))),
        ("all", Some((true, true))),
    ] {
        let directory = TempDir::new();
        let path = directory.path().join("audit.log");
        let audit = audit(&directory, rules, settings(&path, Mode::Blocking));
        let user = User { name: name.to_owned(), ..User::default() };
        let trail = begin(&audit, Some(&user), "create", false);
        let Some((request, response)) = recorded else {
            assert!(trail.is_none());
            continue;
        };
        let trail = trail.unwrap();
        trail.received().await;
        let object = json!({"metadata": {"name": "s", "uid": "u", "resourceVersion": "7", "managedFields": []}, "data": {"k": "c2VjcmV0"}});
        trail.request_object(&object);
        trail.response_object(&object);
        trail.annotate("k", "first");
        trail.annotate("k", "second");
        trail.impersonated(&bob());
        trail.answered(201).await;
        let event = events(&path).pop().unwrap();
        let told = json!({"resource": "secrets", "namespace": "a", "name": "s", "uid": "u", "apiVersion": "v1", "resourceVersion": "7"});
        assert_eq!(event["objectRef"], told, "{name}");
        assert_eq!(event["annotations"], json!({"k": "first"}));
        assert_eq!(event["impersonatedUser"], json!({"username": "bob"}));
        let stripped = name == "all";
        let fields =
            event["requestObject"]["metadata"].as_object().map(|meta| meta.contains_key("managedFields"));
        assert_eq!(fields, request.then_some(!stripped), "{name}");
        assert_eq!(event.get("responseObject").is_some(), response, "{name}");
        assert_eq!(event.to_string().contains("c2VjcmV0"), request, "{name}");
        assert_eq!(events(&path).len(), if stripped { 1 } else { 2 });
    }
}

#[tokio::test]
async fn large_events_lose_their_objects() {
    let directory = TempDir::new();
    let path = directory.path().join("audit.log");
    let truncate = Some(Truncate { max_event_bytes: 900, max_batch_bytes: 1000 });
    let settings = Settings { truncate, ..settings(&path, Mode::BlockingStrict) };
    let audit = audit(&directory, "[{level: RequestResponse}]", settings);
    let trail = begin(&audit, Some(&bob()), "create", false).unwrap();
    trail.request_object(&json!({"data": "x".repeat(1000)}));
    trail.answered(201).await;
    let event = events(&path).pop().unwrap();
    assert_eq!(
        (&event["requestObject"], &event["annotations"]),
        (&Value::Null, &json!({"audit.k8s.io/truncated": "true"}))
    );
    let huge =
        begin(&audit, Some(&User { name: "x".repeat(1000), ..User::default() }), "get", false).unwrap();
    assert!(huge.received().await, "what is too large is no failure of the log");
    assert_eq!(events(&path).len(), 1);
    assert!(audit.metrics().contains("apiserver_audit_error_total{plugin=\"truncate\"} 1\n"));
}

#[tokio::test]
async fn only_the_strict_mode_refuses() {
    for (mode, goes_on) in [(Mode::Batch, true), (Mode::Blocking, true), (Mode::BlockingStrict, false)] {
        let directory = TempDir::new();
        // A disk that is always full.
        let audit = audit(&directory, "[{level: Metadata}]", settings(Path::new("/dev/full"), mode));
        let trail = begin(&audit, Some(&bob()), "get", false).unwrap();
        assert_eq!(trail.received().await, goes_on, "{mode:?}");
        audit.flush().await;
        assert!(audit.metrics().contains("apiserver_audit_error_total{plugin=\"log\"} 1\n"));
        trail.response_status(ResponseStatus::code(500));
        trail.answered(500).await;
    }
}

/// Many writers, small files: every event is there once, in whole lines, in order of its writer.
#[tokio::test(flavor = "multi_thread")]
async fn files_together_have_every_event() {
    let directory = TempDir::new();
    let path = directory.path().join("logs/audit.log");
    let mut settings = settings(&path, Mode::Blocking);
    if let Target::File(file) = &mut settings.target {
        (file.max_bytes, file.compress) = (Some(4096), true);
    }
    let audit = audit(&directory, "[{level: Metadata, omitStages: [RequestReceived]}]", settings);
    let mut tasks = tokio::task::JoinSet::new();
    for writer in 0..8 {
        let audit = Arc::clone(&audit);
        tasks.spawn(async move {
            for at in 0..50 {
                begin(&audit, Some(&bob()), &format!("{writer}.{at}"), false).unwrap().answered(200).await;
            }
        });
    }
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let logs = path.parent().unwrap().to_owned();
    let names = || {
        let all = std::fs::read_dir(&logs).unwrap();
        let mut all: Vec<String> =
            all.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        all.sort();
        all
    };
    // The last compression takes place beside the writer.
    let packed = || names().iter().all(|name| name == "audit.log" || name.ends_with(".gz"));
    assert!(testkit::wait_until(std::time::Duration::from_secs(60), packed), "{:?}", names());
    let mut text = String::new();
    for name in names() {
        let bytes = std::fs::read(logs.join(&name)).unwrap();
        let mut plain = Vec::new();
        if name.ends_with(".gz") {
            flate2::write::GzDecoder::new(&mut plain).write_all(&bytes).unwrap();
        } else {
            plain = bytes;
        }
        assert!(plain.len() <= 4096, "{name}: {}", plain.len());
        text.push_str(std::str::from_utf8(&plain).unwrap());
    }
    let verbs: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["verb"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(verbs.len(), 400);
    for writer in 0..8 {
        let prefix = format!("{writer}.");
        let own: Vec<&String> = verbs.iter().filter(|verb| verb.starts_with(&prefix)).collect();
        let expected: Vec<String> = (0..50).map(|at| format!("{writer}.{at}")).collect();
        assert!(own.iter().map(|verb| verb.as_str()).eq(expected.iter().map(String::as_str)), "{own:?}");
    }
}
