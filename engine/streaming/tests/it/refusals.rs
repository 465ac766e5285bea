//! What is not served, and what is sent by those who mean no good.

use http::StatusCode;
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::backing::run;
use crate::client::{Client, DEADLINE, all, ask, upgraded, websocket};

const SPDY: [(&str, &str); 2] = [("connection", "Upgrade"), ("upgrade", "SPDY/3.1")];

#[tokio::test]
async fn tokens_are_used_once() {
    let running = run().await;
    let path = running.exec(&["exit", "0"]);
    let first = ask(running.address, &path, &[]).await;
    assert_eq!(first.status(), StatusCode::BAD_REQUEST);
    let again = ask(running.address, &path, &[]).await;
    assert_eq!(again.status(), StatusCode::NOT_FOUND);
    let other = running.exec(&["exit", "0"]).replace("/exec/", "/attach/");
    for path in ["/", "/exec/", "/exec/guess", "/other/guess", other.as_str()] {
        assert_eq!(ask(running.address, path, &SPDY).await.status(), StatusCode::NOT_FOUND, "{path}");
    }
}

#[tokio::test]
async fn protocols_must_be_known() {
    let running = run().await;
    let none = ask(running.address, &running.exec(&["exit", "0"]), &SPDY).await;
    assert_eq!(none.status(), StatusCode::BAD_REQUEST);
    let mut headers = SPDY.to_vec();
    headers.push(("x-stream-protocol-version", "v9.channel.k8s.io"));
    let other = ask(running.address, &running.exec(&["exit", "0"]), &headers).await;
    assert_eq!(other.status(), StatusCode::FORBIDDEN);
    assert_eq!(other.headers().get_all("x-accepted-stream-protocol-versions").iter().count(), 4);
    let text = other.into_body().collect().await.unwrap().to_bytes();
    assert!(text.starts_with(b"unable to upgrade: unable to negotiate protocol: client supports [v9."));
    assert!(websocket(running.address, &running.exec(&["exit", "0"]), "v9.channel.k8s.io").await.is_err());
}

#[tokio::test]
async fn a_peer_that_breaks_the_rules_is_told_so() {
    let running = run().await;
    for bytes in [&[0; 64][..], &[0xff; 64], &[0x80, 3, 0, 1, 0, 0xff, 0xff, 0xff, 1, 2]] {
        let path = running.exec(&["cat"]);
        let mut io = upgraded(running.address, &path, "v4.channel.k8s.io").await;
        io.write_all(bytes).await.unwrap();
        io.shutdown().await.unwrap();
        let mut answer = Vec::new();
        tokio::time::timeout(DEADLINE, io.read_to_end(&mut answer)).await.unwrap().unwrap();
        // GOAWAY with status 1.
        assert_eq!(answer, [0x80, 3, 0, 7, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
    }
}

#[tokio::test]
async fn streams_of_other_kinds_are_refused() {
    let running = run().await;
    let client = Client::connect(running.address, &running.exec(&["cat"]), "v4.channel.k8s.io").await;
    let mut other = client.open(&[("streamtype", "other")]).await;
    let mut buffer = [0; 1];
    let refused = tokio::time::timeout(DEADLINE, other.read(&mut buffer)).await.unwrap();
    assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    let mut stdin = client.open(&[("streamtype", "stdin")]).await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let _stderr = client.open(&[("streamtype", "stderr")]).await;
    let _error = client.open(&[("streamtype", "error")]).await;
    stdin.write_all(b"all the same").await.unwrap();
    drop(stdin);
    assert_eq!(all(stdout).await, "all the same");
}
