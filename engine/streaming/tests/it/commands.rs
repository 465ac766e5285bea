//! Exec and attach, over SPDY and WebSocket.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio_tungstenite::tungstenite::Message;

use crate::backing::run;
use crate::client::{Client, all, channels, say, websocket};

const SUCCESS: &str = r#"{"metadata":{},"status":"Success"}"#;

#[tokio::test]
async fn spdy_carries_stdin_and_stdout() {
    let running = run().await;
    for protocol in ["v4.channel.k8s.io", "v3.channel.k8s.io", "v2.channel.k8s.io", "channel.k8s.io"] {
        let client = Client::connect(running.address, &running.exec(&["cat"]), protocol).await;
        let error = client.open(&[("streamtype", "error")]).await;
        let mut stdin = client.open(&[("streamtype", "stdin")]).await;
        let stdout = client.open(&[("streamtype", "stdout")]).await;
        let _stderr = client.open(&[("streamtype", "stderr")]).await;
        let large = "line of text\n".repeat(200_000);
        let sent = async {
            stdin.write_all(large.as_bytes()).await.unwrap();
            stdin.shutdown().await.unwrap();
        };
        let ((), received) = tokio::join!(sent, all(stdout));
        assert!(received == large, "{} of {} bytes", received.len(), large.len());
        assert_eq!(all(error).await, if protocol.starts_with("v4") { SUCCESS } else { "" });
    }
}

#[tokio::test]
async fn spdy_tells_exit_codes() {
    let running = run().await;
    for (protocol, command, expected) in [
        ("v4.channel.k8s.io", &["exit", "7"][..], "\"message\":\"7\""),
        ("channel.k8s.io", &["exit", "7"], "command terminated with non-zero exit code"),
        ("v4.channel.k8s.io", &["nothing"], "error executing command in container: no such command"),
    ] {
        let client = Client::connect(running.address, &running.exec(command), protocol).await;
        let _stdio = (
            client.open(&[("streamtype", "stdin")]).await,
            client.open(&[("streamtype", "stdout")]).await,
            client.open(&[("streamtype", "stderr")]).await,
        );
        let error = all(client.open(&[("streamtype", "error")]).await).await;
        assert!(error.contains(expected), "{error}");
    }
}

#[tokio::test]
async fn spdy_carries_sizes_of_the_terminal() {
    let running = run().await;
    let path = running.exec_with(&["sizes"], true);
    let client = Client::connect(running.address, &path, "v4.channel.k8s.io").await;
    let _stdin = client.open(&[("streamtype", "stdin")]).await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let mut resize = client.open(&[("streamtype", "resize")]).await;
    let error = client.open(&[("streamtype", "error")]).await;
    resize.write_all(br#"{"Width":132,"Height":43}"#).await.unwrap();
    assert_eq!(all(stdout).await, "132x43");
    assert_eq!(all(error).await, SUCCESS);
}

#[tokio::test]
async fn windows_of_a_peer_that_counts_are_kept() {
    let running = run().await;
    let path = running.exec(&["fill", "3000000"]);
    let client = Client::connect(running.address, &path, "v4.channel.k8s.io").await;
    client.session.announce().unwrap();
    let _stdio =
        (client.open(&[("streamtype", "stdin")]).await, client.open(&[("streamtype", "stderr")]).await);
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let error = client.open(&[("streamtype", "error")]).await;
    assert_eq!(all(stdout).await.len(), 3_000_000);
    assert_eq!(all(error).await, SUCCESS);
}

#[tokio::test]
async fn attach_ends_well() {
    let running = run().await;
    let client = Client::connect(running.address, &running.attach(), "v4.channel.k8s.io").await;
    let stdout = client.open(&[("streamtype", "stdout")]).await;
    let error = client.open(&[("streamtype", "error")]).await;
    assert_eq!((all(stdout).await.as_str(), all(error).await.as_str()), ("attached", SUCCESS));
}

#[tokio::test]
async fn websocket_closes_stdin_in_version_five() {
    let running = run().await;
    let (mut socket, protocol) =
        websocket(running.address, &running.exec(&["cat"]), "v5.channel.k8s.io, v4.channel.k8s.io")
            .await
            .unwrap();
    assert_eq!(protocol.as_deref(), Some("v5.channel.k8s.io"));
    say(&mut socket, b"\0hello ").await;
    say(&mut socket, b"\0world").await;
    say(&mut socket, &[255, 0]).await;
    let channels = channels(&mut socket).await;
    assert_eq!((channels[1].as_slice(), channels[3].as_slice()), (&b"hello world"[..], SUCCESS.as_bytes()));
}

#[tokio::test]
async fn websocket_tells_how_it_ended() {
    let running = run().await;
    for (protocol, command, out, err, error) in [
        ("v4.channel.k8s.io", &["say", "hi"][..], "hi", "warning", SUCCESS),
        ("channel.k8s.io", &["say", "hi"], "hi", "warning", ""),
        ("", &["say", "hi"], "hi", "warning", ""),
    ] {
        let (mut socket, agreed) =
            websocket(running.address, &running.exec(command), protocol).await.unwrap();
        assert_eq!(agreed.unwrap_or_default(), protocol);
        let channels = channels(&mut socket).await;
        assert_eq!(channels[1..4], [out.as_bytes(), err.as_bytes(), error.as_bytes()], "{protocol}");
    }
    let (mut socket, _) =
        websocket(running.address, &running.exec(&["exit", "3"]), "v5.channel.k8s.io").await.unwrap();
    let status: Value = serde_json::from_slice(&channels(&mut socket).await[3]).unwrap();
    assert_eq!(status["details"]["causes"], json!([{"reason": "ExitCode", "message": "3"}]));
}

#[tokio::test]
async fn websocket_speaks_base64() {
    use futures_util::{SinkExt as _, StreamExt as _};
    let running = run().await;
    let path = running.exec_with(&["sizes"], true);
    let (mut socket, _) = websocket(running.address, &path, "v4.base64.channel.k8s.io").await.unwrap();
    // {"Width":80,"Height":24}
    socket.send(Message::Text("4eyJXaWR0aCI6ODAsIkhlaWdodCI6MjR9".into())).await.unwrap();
    let mut texts = Vec::new();
    while let Some(Ok(Message::Text(text))) = socket.next().await {
        texts.push(text.to_string());
    }
    assert_eq!(texts[..2], ["1", "1ODB4MjQ="]);
    assert!(texts[2].starts_with('3'));
}
