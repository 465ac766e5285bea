//! Hostile bodies: never a 500, always an answer.

use std::time::{Duration, Instant};

use serde_json::json;

use super::{Front, request, whole};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const PODS: &str = "/api/v1/namespaces/default/pods";

#[tokio::test]
async fn wrong_bodies_are_refused() {
    let front = Front::new().await;
    let deep = format!("{}1{}", "[".repeat(100_000), "]".repeat(100_000));
    let deep_object = format!("{}1{}", "{\"a\":".repeat(50_000), "}".repeat(50_000));
    let wide = format!("{{{}}}", (0..100_000).map(|at| format!("\"k{at}\":1")).collect::<Vec<_>>().join(","));
    let bodies: Vec<(&str, Vec<u8>)> = vec![
        ("application/json", b"".to_vec()),
        ("application/json", b"{".to_vec()),
        ("application/json", b"null".to_vec()),
        ("application/json", b"7".to_vec()),
        ("application/json", b"[]".to_vec()),
        ("application/json", b"{}".to_vec()),
        ("application/json", b"{\"kind\":7}".to_vec()),
        ("application/json", b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":[]}".to_vec()),
        (
            "application/json",
            b"{\"kind\":\"ConfigMap\",\"apiVersion\":\"v1\",\"metadata\":{\"name\":\"a\"},\"data\":7}"
                .to_vec(),
        ),
        ("application/json", b"\xff\xfe".to_vec()),
        ("application/json", b"{\"metadata\":{\"name\":\"\\ud800\"}}".to_vec()),
        ("application/json", b"{\"a\":1e999999}".to_vec()),
        ("application/json", deep.into_bytes()),
        ("application/json", deep_object.into_bytes()),
        ("application/json", wide.into_bytes()),
        ("application/yaml", b"a: [".to_vec()),
        ("application/yaml", b"a: &a [*a]".to_vec()),
        ("application/yaml", "[".repeat(100_000).into_bytes()),
        ("application/vnd.kubernetes.protobuf", b"k8s\x00".to_vec()),
        ("text/plain", b"x".to_vec()),
        ("", b"x".to_vec()),
    ];
    for (content_type, body) in &bodies {
        for path in [MAPS, PODS, "/apis/apps/v1/namespaces/default/deployments"] {
            let begun = Instant::now();
            let answer = front.ask("POST", path, content_type, body.clone()).await;
            let start = String::from_utf8_lossy(&body[..body.len().min(60)]);
            assert!((400..500).contains(&answer.code), "{path} {content_type} {start}: {}", answer.code);
            assert_eq!(answer.json()["kind"], "Status", "{start}");
            // Generous: without optimization, beside other tests.
            assert!(begun.elapsed() < Duration::from_secs(15), "{path} {start} {:?}", begun.elapsed());
        }
    }
    for content_type in [
        "application/json-patch+json",
        "application/merge-patch+json",
        "application/strategic-merge-patch+json",
        "application/apply-patch+yaml",
        "application/apply-patch+cbor",
        "application/json",
    ] {
        for (_, body) in &bodies {
            let path = format!("{MAPS}/kube-root-ca.crt?fieldManager=m");
            let answer = front.ask("PATCH", &path, content_type, body.clone()).await;
            assert!(answer.code < 500, "{content_type}: {} {}", answer.code, answer.text());
        }
    }
    assert_eq!(front.get("/livez").await.code, 200);
    front.end().await;
}

#[tokio::test]
async fn large_and_packed_bodies_are_refused() {
    let front = Front::new().await;
    let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "big"},
        "data": {"a": "x".repeat(4 << 20)}});
    let answer = front.ask("POST", MAPS, "application/json", body.to_string()).await;
    assert_eq!((answer.code, answer.json()["reason"].as_str()), (413, Some("RequestEntityTooLarge")));
    let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
    let answer = whole(front.send(request("POST", MAPS, &packed, "x")).await).await;
    assert_eq!(answer.code, 415);
    front.end().await;
}

#[tokio::test]
async fn wrong_queries_are_refused() {
    let front = Front::new().await;
    for (query, code) in [
        ("limit=x", 400),
        ("labelSelector=%21%21", 400),
        ("fieldSelector=a%3Db", 400),
        ("fieldSelector=%3D%3D", 400),
        ("resourceVersion=x", 400),
        ("watch=true&resourceVersion=x", 400),
        ("continue=nonsense", 400),
        ("%zz=1", 400),
        ("includeObject=All", 400),
        ("unknown=parameter", 200),
        ("limit=-1", 200),
    ] {
        let answer = front.get(&format!("{MAPS}?{query}")).await;
        assert_eq!(answer.code, code, "{query}: {}", answer.text());
    }
    let listed = front.get(&format!("{MAPS}?resourceVersion=5&resourceVersionMatch=Near")).await.json();
    let words = r#"Unsupported value: "Near": supported values: "Exact", "NotOlderThan", """#;
    assert!(listed["message"].as_str().is_some_and(|said| said.ends_with(words)), "{listed}");
    let one = format!("{MAPS}/kube-root-ca.crt");
    let both = r#"{"propagationPolicy":"Orphan","orphanDependents":true}"#;
    for (query, body, words) in [
        (
            "?propagationPolicy=Foo",
            "",
            "supported values: \"Foreground\", \"Background\", \"Orphan\", \"nil\"",
        ),
        ("?dryRun=Some", "", "dryRun: Unsupported value"),
        ("?propagationPolicy=Orphan&orphanDependents=true", "", BOTH),
        ("", both, BOTH),
    ] {
        let answer = front.ask("DELETE", &format!("{one}{query}"), "application/json", body).await;
        let json = answer.json();
        assert_eq!((answer.code, json["reason"].as_str()), (422, Some("Invalid")), "{query}{body}");
        assert!(json["message"].as_str().is_some_and(|said| said.contains(words)), "{json}");
    }
    front.end().await;
}

const BOTH: &str = "orphanDependents and deletionPropagation cannot be both set";
