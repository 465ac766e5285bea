//! The kubelet's server over TLS, in front of a runtime and an API that are known.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use auth::authn::{TlsMaterial, server_config};
use auth::pki::{self, KeyPair, Pki, ServerNames};
use client::http::{Identity, Trust, client_config};
use client::{Api, Call, WatchEvent, WatchOptions};
use http::header::{AUTHORIZATION, HOST};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::{Bytes, Incoming};
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use kube_object::resource::GroupVersionResource;
use kube_object::status::Status as ApiStatus;
use kubelet::server::{Access, Config, Listener, Node, PROTOCOLS, Server};
use rpc::cri::{
    BoxFuture, Container, ContainerMetadata, ContainerState, ContainerStatus, ContainerStatusRequest,
    ContainerStatusResponse, ExecRequest, ExecResponse, ImageService, ListContainersRequest,
    ListContainersResponse, RuntimeService, Status,
};
use rustls::pki_types::ServerName;
use serde_json::{Value, json};
use streaming::spdy::{Session, Side};
use streaming::{Attach, Backing, BackingError, Connection, Exec, Stdio};
use testkit::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsConnector;

const DEADLINE: Duration = Duration::from_secs(20);

/// Runs `cat`, and nothing else.
struct Cat;

impl Backing for Cat {
    fn exec(&self, request: Exec, stdio: Stdio) -> BoxFuture<'_, Result<i32, BackingError>> {
        Box::pin(async move {
            let (Some(mut stdin), Some(mut stdout)) = (stdio.stdin, stdio.stdout) else {
                return Err("cat needs both".into());
            };
            assert_eq!((request.container.as_str(), request.command), ("id-c", vec!["cat".to_owned()]));
            tokio::io::copy(&mut stdin, &mut stdout).await?;
            Ok(0)
        })
    }

    fn attach(&self, _: Attach, _: Stdio) -> BoxFuture<'_, Result<(), BackingError>> {
        Box::pin(async { Err("not here".into()) })
    }

    fn connect(&self, _: String, _: u16) -> BoxFuture<'_, Result<Connection, BackingError>> {
        Box::pin(async { Err("not here".into()) })
    }
}

/// A node with one pod and one container, whose log is a file.
struct Fake {
    streams: Arc<streaming::Server>,
    log: String,
}

impl RuntimeService for Fake {
    fn list_containers(
        &self,
        _: ListContainersRequest,
    ) -> BoxFuture<'_, Result<ListContainersResponse, Status>> {
        let container = Container {
            id: "id-c".to_owned(),
            metadata: Some(ContainerMetadata { name: "c".to_owned(), attempt: 0 }),
            state: ContainerState::ContainerRunning as i32,
            ..Container::default()
        };
        Box::pin(async move { Ok(ListContainersResponse { containers: vec![container] }) })
    }

    fn container_status(
        &self,
        _: ContainerStatusRequest,
    ) -> BoxFuture<'_, Result<ContainerStatusResponse, Status>> {
        let status = ContainerStatus {
            state: ContainerState::ContainerRunning as i32,
            log_path: self.log.clone(),
            ..ContainerStatus::default()
        };
        let answer = ContainerStatusResponse { status: Some(status), ..ContainerStatusResponse::default() };
        Box::pin(async move { Ok(answer) })
    }

    fn exec(&self, request: ExecRequest) -> BoxFuture<'_, Result<ExecResponse, Status>> {
        let request = Exec {
            container: request.container_id,
            command: request.cmd,
            tty: request.tty,
            stdin: request.stdin,
            stdout: request.stdout,
            stderr: request.stderr,
        };
        let url = self.streams.exec(request).unwrap();
        Box::pin(async move { Ok(ExecResponse { url }) })
    }
}

impl ImageService for Fake {}

/// Knows the token `good`, whose user may read metrics and nothing else.
struct Reviews;

impl Api for Reviews {
    fn call(&self, call: Call) -> client::BoxFuture<'_, Result<Value, ApiStatus>> {
        let body = call.body.unwrap_or_default();
        let answer = match call.resource.resource.as_str() {
            "tokenreviews" if body["spec"]["token"] == "good" => {
                json!({"status": {"authenticated": true, "user": {"username": "u", "groups": ["g"]}}})
            }
            "tokenreviews" => json!({"status": {"authenticated": false}}),
            _ => {
                let attributes = &body["spec"]["resourceAttributes"];
                assert_eq!((&attributes["resource"], &attributes["name"]), (&json!("nodes"), &json!("n1")));
                json!({"status": {"allowed": attributes["subresource"] == "metrics"}})
            }
        };
        Box::pin(async move { Ok(answer) })
    }

    fn watch<'a>(
        &'a self,
        _: &GroupVersionResource,
        _: WatchOptions,
    ) -> client::BoxFuture<'a, Result<client::BoxStream<'static, Result<WatchEvent, ApiStatus>>, ApiStatus>>
    {
        Box::pin(async { Err(ApiStatus::no_such_path()) })
    }
}

struct One(Arc<Fake>);

impl Node for One {
    fn name(&self) -> &str {
        "n1"
    }

    fn pods(&self) -> Vec<Arc<Value>> {
        let running = json!({"name": "c", "containerID": "x://id-c", "state": {"running": {}}});
        let waiting = json!({"name": "w", "state": {"waiting": {"reason": "ContainerCreating"}}});
        vec![Arc::new(json!({
            "metadata": {"name": "p", "namespace": "ns", "uid": "u1"},
            "spec": {"containers": [{"name": "c"}, {"name": "w"}]},
            "status": {"containerStatuses": [running, waiting]},
        }))]
    }

    fn runtime(&self) -> Arc<dyn RuntimeService> {
        Arc::clone(&self.0) as Arc<dyn RuntimeService>
    }

    fn images(&self) -> Arc<dyn ImageService> {
        Arc::clone(&self.0) as Arc<dyn ImageService>
    }

    fn api(&self) -> Arc<dyn Api> {
        Arc::new(Reviews)
    }

    fn probe_metrics(&self) -> String {
        String::new()
    }

    fn stored(&self, _pod: &Value) -> kubelet::Stored {
        kubelet::Stored::default()
    }
}

struct Running {
    pki: Pki,
    address: SocketAddr,
    log: std::path::PathBuf,
    _folder: TempDir,
    _shutdown: watch::Sender<bool>,
}

async fn start() -> Running {
    let folder = TempDir::new();
    let loopback = IpAddr::V4(Ipv4Addr::LOCALHOST);
    let names = ServerNames::standard("https://127.0.0.1:6443", loopback, "cluster.local", &[]);
    let pki = pki::ensure(&folder.path().join("pki"), &names, Timestamp::now()).unwrap();
    let (shutdown, ended) = watch::channel(false);
    let streams_at = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", streams_at.local_addr().unwrap());
    let streams = streaming::Server::new(Arc::new(Cat), streaming::Config::at(url), ended.clone());
    tokio::spawn(Arc::clone(&streams).serve(streams_at));
    let log = folder.path().join("0.log");
    std::fs::write(&log, "2026-01-01T00:00:00Z stdout F one\n2026-01-01T00:00:01Z stderr F two\n").unwrap();
    let fake = Arc::new(Fake { streams, log: log.display().to_string() });
    let (_, authorities) = watch::channel(pki.client_ca.certificate.clone().into_bytes());
    let config = Config {
        node: Arc::new(One(fake)),
        access: Access::new(Arc::new(Reviews), authorities).unwrap(),
        configuration: json!({"kind": "KubeletConfiguration"}),
        root: folder.path().to_owned(),
    };
    let material = TlsMaterial {
        certificates: pki.serving.certificate.clone().into_bytes(),
        key: pki.serving.key.clone().into_bytes(),
        client_authorities: pki.client_ca.certificate.clone().into_bytes(),
    };
    let (_, tls) = watch::channel(server_config(&material, PROTOCOLS).unwrap());
    let socket = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(Server::new(config, ended).serve(Listener { socket, tls }));
    Running { pki, address, log, _folder: folder, _shutdown: shutdown }
}

impl Running {
    async fn ask(&self, shown: Option<&KeyPair>, path: &str, headers: &[(&str, &str)]) -> Response<Incoming> {
        let identity =
            shown.map(|pair| Identity { certificate: pair.certificate.clone(), key: pair.key.clone() });
        let trust = Trust::Authorities(self.pki.server_ca.certificate.clone().into_bytes());
        let connector = TlsConnector::from(client_config(&trust, identity.as_ref()).unwrap());
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("127.0.0.1").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(connection.with_upgrades());
        let mut request = Request::get(path).header(HOST, "n1");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        sender.send_request(request.body(Empty::<Bytes>::new()).unwrap()).await.unwrap()
    }

    async fn text(&self, path: &str) -> (StatusCode, String) {
        let answer = self.ask(Some(&self.pki.kubelet_client), path, &[]).await;
        let status = answer.status();
        let body = tokio::time::timeout(DEADLINE, answer.into_body().collect()).await.unwrap().unwrap();
        (status, String::from_utf8(body.to_bytes().to_vec()).unwrap())
    }
}

#[tokio::test]
async fn only_those_who_may_are_answered() {
    let running = start().await;
    let status = |answer: Response<Incoming>| answer.status();
    assert_eq!(status(running.ask(None, "/pods", &[]).await), StatusCode::UNAUTHORIZED);
    let foreign = &running.pki.front_proxy_client;
    assert_eq!(status(running.ask(Some(foreign), "/pods", &[]).await), StatusCode::UNAUTHORIZED);
    let bearer = |token| [(AUTHORIZATION.as_str(), token)];
    assert_eq!(status(running.ask(None, "/pods", &bearer("Bearer bad")).await), StatusCode::UNAUTHORIZED);
    assert_eq!(status(running.ask(None, "/pods", &bearer("Bearer good")).await), StatusCode::FORBIDDEN);
    assert_eq!(
        status(running.ask(None, "/exec/ns/p/c", &bearer("Bearer good")).await),
        StatusCode::FORBIDDEN
    );
    assert_eq!(status(running.ask(None, "/metrics", &bearer("Bearer good")).await), StatusCode::OK);
    assert_eq!(running.text("/healthz").await, (StatusCode::OK, "ok".to_owned()));
    assert_eq!(running.text("/nothing").await.0, StatusCode::NOT_FOUND);
    let pods: Value = serde_json::from_str(&running.text("/pods").await.1).unwrap();
    assert_eq!(pods["items"][0]["metadata"]["name"], "p");
}

#[tokio::test]
async fn logs_are_read_and_followed() {
    let running = start().await;
    let logs = "/containerLogs/ns/p/c";
    for (query, status, text) in [
        (logs.to_owned(), 200, "one\ntwo\n"),
        (format!("{logs}?tailLines=1"), 200, "two\n"),
        (format!("{logs}?timestamps=true&limitBytes=30"), 200, "2026-01-01T00:00:00.000000000Z"),
        (
            format!("{logs}?tailLines=-1"),
            422,
            "tailLines: Invalid value: -1: must be greater than or equal to 0",
        ),
        (format!("{logs}?previous=true"), 400, "previous terminated container \"c\" in pod \"p\" not found"),
        (
            "/containerLogs/ns/p/w".to_owned(),
            400,
            "container \"w\" in pod \"p\" is waiting to start: ContainerCreating",
        ),
        ("/containerLogs/ns/p/x".to_owned(), 404, "container \"x\" not found in pod \"p\"\n"),
        ("/containerLogs/ns/q/c".to_owned(), 404, "pod \"q\" does not exist\n"),
    ] {
        assert_eq!(running.text(&query).await, (StatusCode::from_u16(status).unwrap(), text.to_owned()));
    }
    let followed = format!("{logs}?follow=true&tailLines=0");
    let mut body = running.ask(Some(&running.pki.kubelet_client), &followed, &[]).await.into_body();
    let mut file = std::fs::File::options().append(true).open(&running.log).unwrap();
    std::io::Write::write_all(&mut file, b"2026-01-01T00:00:02Z stdout F three\n").unwrap();
    let frame = tokio::time::timeout(DEADLINE, body.frame()).await.unwrap().unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "three\n");
}

#[tokio::test]
async fn a_command_is_joined_with_the_runtime() {
    let running = start().await;
    let headers = [
        ("connection", "Upgrade"),
        ("upgrade", "SPDY/3.1"),
        ("x-stream-protocol-version", "v4.channel.k8s.io"),
    ];
    let path = "/exec/ns/p/c?command=cat&input=1&output=1";
    let answer = running.ask(Some(&running.pki.kubelet_client), path, &headers).await;
    assert_eq!(answer.status(), StatusCode::SWITCHING_PROTOCOLS);
    assert_eq!(answer.headers()["x-stream-protocol-version"], "v4.channel.k8s.io");
    let io = TokioIo::new(hyper::upgrade::on(answer).await.unwrap());
    let (session, _, driver) = Session::new(io, Side::Client, DEADLINE);
    tokio::spawn(driver);
    let open = |kind: &str| session.open([("streamtype".to_owned(), kind.to_owned())].into());
    let mut error = open("error").await.unwrap();
    let mut stdin = open("stdin").await.unwrap();
    let mut stdout = open("stdout").await.unwrap();
    stdin.write_all(b"through both").await.unwrap();
    drop(stdin);
    let (mut out, mut end) = (String::new(), String::new());
    tokio::time::timeout(DEADLINE, stdout.read_to_string(&mut out)).await.unwrap().unwrap();
    tokio::time::timeout(DEADLINE, error.read_to_string(&mut end)).await.unwrap().unwrap();
    assert_eq!((out.as_str(), end.as_str()), ("through both", r#"{"metadata":{},"status":"Success"}"#));
}

#[tokio::test]
async fn commands_need_a_stream() {
    let running = start().await;
    let refused = running.text("/exec/ns/p/c?command=cat").await;
    assert_eq!(refused.1, "you must specify at least 1 of stdin, stdout, stderr");
    assert_eq!(running.text("/exec/ns/q/c?command=cat&output=1").await.0, StatusCode::NOT_FOUND);
}
