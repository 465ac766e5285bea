//! Port-forward, over SPDY, SPDY inside a WebSocket, and channels.

use futures_util::StreamExt as _;
use streaming::websocket::Tunnel;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::Message;

use crate::backing::{echo, run};
use crate::client::{Client, DEADLINE, all, say, websocket};

/// Sends text to a port and compares what comes back.
async fn echoes(client: &Client, port: u16, request: &str) {
    let port = port.to_string();
    let fields = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", request)];
    let error = client.open(&fields("error")).await;
    let mut data = client.open(&fields("data")).await;
    let text = "to the port and back\n".repeat(20_000);
    let (mut reader, mut writer) = tokio::io::split(&mut data);
    let sent = async {
        writer.write_all(text.as_bytes()).await.unwrap();
        writer.shutdown().await.unwrap();
    };
    let ((), received) = tokio::join!(sent, all(&mut reader));
    assert!(received == text, "{} of {} bytes", received.len(), text.len());
    assert_eq!(all(error).await, "");
}

#[tokio::test]
async fn spdy_carries_many_connections() {
    let running = run().await;
    let client = Client::connect(running.address, &running.forward(&[]), "portforward.k8s.io").await;
    let port = echo().await;
    let requests: Vec<String> = (0..20).map(|at| at.to_string()).collect();
    futures_util::future::join_all(requests.iter().map(|request| echoes(&client, port, request))).await;
}

#[tokio::test]
async fn spdy_inside_a_websocket() {
    let running = run().await;
    let protocol = "SPDY/3.1+portforward.k8s.io";
    let (socket, agreed) = websocket(running.address, &running.forward(&[]), protocol).await.unwrap();
    assert_eq!(agreed.as_deref(), Some(protocol));
    let client = Client::over(Tunnel::new(socket));
    let port = echo().await;
    tokio::join!(echoes(&client, port, "0"), echoes(&client, port, "1"));
}

#[tokio::test]
async fn a_closed_port_is_told() {
    let running = run().await;
    let client = Client::connect(running.address, &running.forward(&[]), "portforward.k8s.io").await;
    let port = {
        let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
        gone.local_addr().unwrap().port().to_string()
    };
    let fields = |kind| [("streamtype", kind), ("port", port.as_str()), ("requestid", "0")];
    let error = client.open(&fields("error")).await;
    let _data = client.open(&fields("data")).await;
    let why = all(error).await;
    assert!(why.starts_with(&format!("error forwarding port {port} to pod s, uid : ")), "{why}");
    // The session goes on.
    echoes(&client, echo().await, "1").await;
}

#[tokio::test]
async fn channels_begin_with_the_port() {
    let running = run().await;
    let port = echo().await;
    let (mut socket, _) =
        websocket(running.address, &running.forward(&[port]), "v4.channel.k8s.io").await.unwrap();
    say(&mut socket, b"\0hello").await;
    let mut seen = [Vec::new(), Vec::new()];
    let [low, high] = port.to_le_bytes();
    let data = [&[low, high][..], b"hello"].concat();
    let wanted = [data, vec![low, high]];
    while seen != wanted {
        let message = tokio::time::timeout(DEADLINE, socket.next()).await.unwrap().unwrap().unwrap();
        let Message::Binary(bytes) = message else { continue };
        seen[usize::from(bytes[0])].extend_from_slice(&bytes[1..]);
    }
}
