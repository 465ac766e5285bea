//! Commands with their streams, and ports of pods, at the addresses that the runtime hands out.

use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use rpc::cri::*;
use testkit::{isolated, wait_for};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

use super::Node;

const STDIN: u8 = 0;
const STDOUT: u8 = 1;
const STATUS: u8 = 3;
const RESIZE: u8 = 4;
const CLOSE: u8 = 255;

/// A client of one URL.
struct Client(WebSocketStream<TcpStream>);

impl Client {
    async fn connect(url: &str, protocol: &str) -> Self {
        let mut request = url.replace("http://", "ws://").into_client_request().unwrap();
        request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        let stream = TcpStream::connect(request.uri().authority().unwrap().as_str()).await.unwrap();
        let (socket, response) = tokio_tungstenite::client_async(request, stream).await.unwrap();
        assert_eq!(response.headers()["sec-websocket-protocol"], protocol);
        Self(socket)
    }

    async fn send(&mut self, channel: u8, bytes: &[u8]) {
        self.0.send(Message::binary([&[channel], bytes].concat())).await.unwrap();
    }

    /// The next bytes and their channel; none at the end.
    async fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        loop {
            let message = tokio::time::timeout(Duration::from_secs(30), self.0.next()).await.unwrap()?;
            if let Ok(Message::Binary(bytes)) = message
                && let Some((channel, bytes)) = bytes.split_first()
                && !bytes.is_empty()
            {
                return Some((*channel, bytes.to_vec()));
            }
        }
    }

    /// Reads one channel until a text is in it.
    async fn until(&mut self, channel: u8, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            let Some((of, bytes)) = self.next().await else {
                panic!("the end came before {text:?}: {read:?}")
            };
            if of == channel {
                read.push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        read
    }

    /// All that comes on the outputs and, last, the status.
    async fn all(&mut self) -> [String; 3] {
        let mut all = [String::new(), String::new(), String::new()];
        while let Some((channel, bytes)) = self.next().await {
            if (STDOUT..=STATUS).contains(&channel) {
                all[usize::from(channel) - 1].push_str(&String::from_utf8_lossy(&bytes));
            }
        }
        all
    }
}

fn command(id: &str, script: &str) -> ExecRequest {
    ExecRequest {
        container_id: id.to_owned(),
        cmd: ["sh", "-c", script].map(str::to_owned).to_vec(),
        tty: false,
        stdin: true,
        stdout: true,
        stderr: true,
    }
}

#[test]
fn a_command_has_its_streams_and_its_exit_code() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let url = node.ok(node.remote.exec(command(&app, "echo err >&2; tr a-z A-Z; exit 7"))).url;
        let [out, err, status] = node.runtime.block_on(async {
            let mut client = Client::connect(&url, "v5.channel.k8s.io").await;
            client.send(STDIN, b"hello\n").await;
            client.send(CLOSE, &[STDIN]).await;
            client.all().await
        });
        assert_eq!((out.as_str(), err.as_str()), ("HELLO\n", "err\n"));
        assert!(status.contains(r#""ExitCode""#) && status.contains(r#""7""#), "{status}");
        // More than fits any pipe, both ways.
        let url = node.ok(node.remote.exec(command(&app, "cat"))).url;
        let sent = b"0123456789abcdef".repeat(1 << 16);
        let read = node.runtime.block_on(async {
            let client = Client::connect(&url, "v5.channel.k8s.io").await;
            let (mut sink, stream) = client.0.split();
            let bytes = sent.clone();
            let sending = async move {
                for piece in bytes.chunks(8 << 10) {
                    sink.send(Message::binary([&[STDIN], piece].concat())).await.unwrap();
                }
                sink.send(Message::binary(vec![CLOSE, STDIN])).await.unwrap();
                sink
            };
            let reading = stream.fold(0, |read, message| async move {
                match message {
                    Ok(Message::Binary(bytes)) if bytes.first() == Some(&STDOUT) => read + bytes.len() - 1,
                    _ => read,
                }
            });
            tokio::join!(sending, reading).1
        });
        assert_eq!(read, sent.len());
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_command_has_a_terminal_that_is_resized() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let app = node.sleeper(&sandbox, &pod, "app");
        let request = ExecRequest { tty: true, stderr: false, ..command(&app, "echo ready; exec sh") };
        let url = node.ok(node.remote.exec(request)).url;
        node.runtime.block_on(async {
            let mut client = Client::connect(&url, "v4.channel.k8s.io").await;
            client.until(STDOUT, "ready").await;
            client.send(RESIZE, br#"{"Width":123,"Height":45}"#).await;
            client
                .send(STDIN, b"until test \"$(stty size)\" = '45 123'; do sleep 0.05; done; echo si''zed\n")
                .await;
            client.until(STDOUT, "sized").await;
            client.send(STDIN, b"exit 5\n").await;
            let [_, _, status] = client.all().await;
            assert!(status.contains(r#""5""#), "{status}");
        });
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_running_containers_streams_are_joined() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let config = ContainerConfig {
            stdin: true,
            stdin_once: true,
            ..node.container("app", "echo before; while read line; do echo got $line; done; echo end; exit 3")
        };
        let app = node.run(&sandbox, &pod, &config);
        wait_for("its first line", || node.log("web", "app").contains("before").then_some(()));
        let request =
            AttachRequest { container_id: app.clone(), stdin: true, tty: false, stdout: true, stderr: true };
        let url = node.ok(node.remote.attach(request)).url;
        node.runtime.block_on(async {
            let mut client = Client::connect(&url, "v5.channel.k8s.io").await;
            client.send(STDIN, b"one\n").await;
            assert_eq!(client.until(STDOUT, "one").await, "got one\n");
            client.send(CLOSE, &[STDIN]).await;
            let [out, err, _] = client.all().await;
            assert_eq!((out.as_str(), err.as_str()), ("end\n", ""));
        });
        assert_eq!(node.ended(&app).exit_code, 3);
        assert!(node.log("web", "app").contains(" stdout F got one\n"));
        node.remove_sandbox(&sandbox);
    });
}

#[test]
fn a_pods_ports_are_reached_from_the_node() {
    isolated(|| {
        let node = Node::new();
        let pod = node.pod("web");
        let sandbox = node.sandbox(&pod);
        let serve = "echo pod > /tmp/index.html; exec httpd -f -p 127.0.0.1:8080 -h /tmp";
        let app = node.run(&sandbox, &pod, &node.container("app", serve));
        node.exec(&app, "until wget -q -O - http://127.0.0.1:8080/; do sleep 0.05; done");
        let request = PortForwardRequest { pod_sandbox_id: sandbox.clone(), port: vec![8080] };
        let url = node.ok(node.remote.port_forward(request)).url;
        let answer = node.runtime.block_on(async {
            let mut client = Client::connect(&url, "v4.channel.k8s.io").await;
            client.send(0, b"GET / HTTP/1.0\r\n\r\n").await;
            client.until(0, "pod\n").await
        });
        assert!(answer.contains("200 OK"), "{answer}");
        node.remove_sandbox(&sandbox);
    });
}
