//! The chain and its limits.

use std::time::Duration;

use apiserver::http::limits::Limits;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::{Front, request, whole};

#[tokio::test]
async fn answers_over_both_versions() {
    let front = Front::new().await;
    let first = front.get("/version").await;
    assert_eq!((first.code, first.json()["minor"].as_str()), (200, Some("36")));
    assert!(!first.header("audit-id").is_empty());
    assert_eq!(first.header("cache-control"), "no-cache, private");
    let second = whole(front.send_h2(request("GET", "https://localhost/version", &[], "")).await).await;
    assert_eq!((second.code, &second.body), (200, &first.body));
    let head = whole(front.send(request("HEAD", "/version", &[], "")).await).await;
    assert_eq!((head.code, head.body.len()), (200, 0));
    let named = front.get_with("/version", &[("audit-id", "mine")]).await;
    assert_eq!(named.header("audit-id"), "mine");
    front.end().await;
}

#[tokio::test]
async fn tells_how_it_is() {
    let front = Front::new().await;
    for path in ["/healthz", "/livez", "/readyz", "/readyz/ping", "/healthz/etcd"] {
        assert_eq!((front.get(path).await.code, front.get(path).await.text()), (200, "ok"), "{path}");
    }
    let verbose = front.get("/readyz?verbose").await;
    assert!(verbose.text().contains("[+]poststarthook/rbac/bootstrap-roles ok"), "{}", verbose.text());
    assert!(verbose.text().ends_with("readyz check passed\n"));
    assert_eq!(front.get("/readyz/nothing").await.code, 404);
    let metrics = front.get("/metrics").await;
    assert!(metrics.header("content-type").starts_with("text/plain; version=0.0.4"));
    for name in [
        "apiserver_request_total{",
        "apiserver_storage_objects{resource=\"namespaces\"} 4",
        "git_version=\"v1.36",
        "process_start_time_seconds ",
    ] {
        assert!(metrics.text().contains(name), "{name}");
    }
    let nothing = front.get("/nothing").await;
    assert_eq!((nothing.code, nothing.text()), (404, "404 page not found\n"));
    let root = front.get("/").await.json();
    let paths = root["paths"].as_array().unwrap();
    assert!(paths.iter().any(|path| path == "/apis/apps/v1"), "{root}");
    front.end().await;
}

#[tokio::test]
async fn refuses_when_there_are_too_many() {
    let front = Front::with(Limits { mutating: 0, read_only: 0, fair: false }).await;
    // The administrator is always served; an unknown namespace's default account is not.
    assert_eq!(front.get("/api/v1/namespaces").await.code, 200);
    let nobody = front.send_as(None, request("GET", "/livez", &[], "")).await;
    let refused = whole(nobody).await;
    assert_eq!((refused.code, refused.header("retry-after")), (429, "1"));
    assert_eq!(refused.json()["reason"], "TooManyRequests");
    let metrics = front.get("/metrics").await;
    let counted =
        metrics.text().lines().find(|line| line.starts_with("apiserver_request_terminations_total{"));
    assert!(counted.is_some_and(|line| line.contains("code=\"429\"") && line.ends_with(" 1")), "{counted:?}");
    front.end().await;
}

#[tokio::test]
async fn ends_gently() {
    let front = Front::new().await;
    let response = front.send(request("GET", "/api/v1/namespaces?watch=true", &[], "")).await;
    let mut body = response.into_body();
    let first = body.frame().await.unwrap().unwrap();
    assert!(first.into_data().unwrap().starts_with(b"{\"type\":\"ADDED\""));
    let reader = tokio::spawn(async move { while body.frame().await.is_some() {} });
    front.end().await;
    tokio::time::timeout(Duration::from_secs(10), reader).await.unwrap().unwrap();
}

#[tokio::test]
async fn survives_nonsense_on_the_wire() {
    let front = Front::new().await;
    let long = format!("GET /version HTTP/1.1\r\nx: {}\r\n\r\n", "a".repeat(1 << 20));
    let many = format!("GET /version HTTP/1.1\r\n{}\r\n", "a: b\r\n".repeat(2000));
    for bytes in [
        b"\x00\xff nonsense\r\n\r\n".to_vec(),
        b"GET /\xff HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"GET /api/v1/namespaces/%zz HTTP/1.1\r\nhost: x\r\n\r\n".to_vec(),
        b"POST /api/v1/namespaces HTTP/1.1\r\ncontent-length: 18446744073709551615\r\n\r\n".to_vec(),
        b"POST /api/v1/namespaces HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec(),
        long.into_bytes(),
        many.into_bytes(),
    ] {
        let mut stream = front.connect(Some(&front.pki.admin), b"http/1.1").await;
        // The server may have closed before it has read everything.
        let _ = stream.write_all(&bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok());
        assert!(!answer.starts_with(b"HTTP/1.1 5"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(front.get("/livez").await.code, 200);
    front.end().await;
}
