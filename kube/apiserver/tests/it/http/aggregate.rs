//! Other servers behind ours: APIServices, proxies, upgrades.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::{Duration, Instant};

use apiserver::aggregate;
use base64::Engine as _;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{Front, request, whole};

/// Answers what it was asked and by whom; with `Upgrade: echo` it echoes.
async fn answer(
    mut request: http::Request<hyper::body::Incoming>,
    peer: SocketAddr,
) -> Result<http::Response<String>, std::convert::Infallible> {
    if request.headers().contains_key("upgrade") {
        let upgraded = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let mut io = TokioIo::new(upgraded.await.unwrap());
            let mut bytes = [0; 4];
            io.read_exact(&mut bytes).await.unwrap();
            io.write_all(&bytes).await.unwrap();
        });
        let response =
            http::Response::builder().status(101).header("connection", "upgrade").header("upgrade", "echo");
        return Ok(response.body(String::new()).unwrap());
    }
    let path = request.uri().path_and_query().unwrap().to_string();
    let body = if path == "/apis/other.example.com/v1" {
        json!({"kind": "APIResourceList", "resources": [
            {"name": "foos", "singularName": "foo", "kind": "Foo", "namespaced": true, "verbs": ["get", "list"]}
        ]})
    } else {
        let header = |name: &str| request.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
        json!({"path": path, "peer": peer, "user": header("x-remote-user"), "group": header("x-remote-group"),
            "authorization": header("authorization"), "impersonate": header("impersonate-user")})
    };
    let response = http::Response::builder().header("content-type", "application/json");
    Ok(response.header("location", "/moved").body(body.to_string()).unwrap())
}

/// An address that is not this machine's alone: proxies go to no other.
fn own_address() -> IpAddr {
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    // Nothing is sent.
    socket.connect("192.0.2.1:9").expect("a machine with a network");
    socket.local_addr().unwrap().ip()
}

async fn serve(tls: Option<TlsAcceptor>) -> SocketAddr {
    let listener = TcpListener::bind((own_address(), 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let tls = tls.clone();
            tokio::spawn(async move {
                let server = hyper::server::conn::http1::Builder::new();
                let service = service_fn(move |request| answer(request, peer));
                match tls {
                    Some(tls) => {
                        let Ok(stream) = tls.accept(stream).await else { return };
                        drop(server.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                    }
                    None => {
                        drop(server.serve_connection(TokioIo::new(stream), service).with_upgrades().await);
                    }
                }
            });
        }
    });
    address
}

/// A server's certificate for a name, signed by itself.
fn certificate(name: &str) -> (TlsAcceptor, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec![name.to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivatePkcs8KeyDer::from(key.serialize_der()).into(),
        )
        .unwrap();
    (TlsAcceptor::from(Arc::new(config)), certificate.pem())
}

/// A service whose only endpoint is the address.
async fn service(front: &Front, name: &str, address: SocketAddr) {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": name},
        "spec": {"ports": [{"name": "p", "port": 443, "targetPort": 443}]}});
    let made = front
        .ask("POST", "/api/v1/namespaces/default/services", "application/json", service.to_string())
        .await;
    assert_eq!(made.code, 201, "{}", made.text());
    let slice = json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": format!("{name}-1"), "labels": {"kubernetes.io/service-name": name}},
        "addressType": "IPv4", "endpoints": [{"addresses": [address.ip().to_string()], "conditions": {"ready": true}}],
        "ports": [{"name": "p", "port": address.port(), "protocol": "TCP"}],
    });
    let path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
    let made = front.ask("POST", path, "application/json", slice.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.text());
}

async fn eventually<T>(mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not in time");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn available(service: &Value) -> Option<(String, String)> {
    let condition = service["status"]["conditions"].as_array()?.first()?;
    Some((condition["status"].as_str()?.to_owned(), condition["reason"].as_str()?.to_owned()))
}

#[tokio::test]
async fn api_services() {
    let front = Front::new().await;
    let aggregator = Arc::clone(&front.aggregator);
    let registry = Arc::clone(front.server.registry());
    let running = tokio::spawn(aggregate::run(registry, aggregator, front.shutdown.subscribe()));
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let local = eventually(async || {
        let apps = front.get(&format!("{services}/v1.apps")).await;
        (apps.code == 200).then(|| available(&apps.json())).flatten()
    });
    assert_eq!(local.await, ("True".to_owned(), "Local".to_owned()));
    let (tls, pem) = certificate("other.default.svc");
    let bundle = base64::engine::general_purpose::STANDARD.encode(pem);
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.other.example.com"},
        "spec": {"group": "other.example.com", "version": "v1", "groupPriorityMinimum": 100,
            "versionPriority": 10, "caBundle": bundle,
            "service": {"namespace": "default", "name": "other", "port": 443}},
    });
    let made = front.ask("POST", services, "application/json", object.to_string()).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let own = format!("{services}/v1.other.example.com");
    let missing = eventually(async || available(&front.get(&own).await.json()));
    assert_eq!(missing.await, ("False".to_owned(), "ServiceNotFound".to_owned()));
    let foos = "/apis/other.example.com/v1/namespaces/a/foos/x?q=1";
    for line in ["v1.other.example.com\"} 1\n", "v1.apps\"} 0\n"] {
        let line = format!("aggregator_unavailable_apiservice{{name=\"{line}");
        eventually(async || front.get("/metrics").await.text().contains(&line).then_some(())).await;
    }
    let refused = front.get(foos).await;
    assert_eq!((refused.code, refused.text()), (503, "service unavailable\n"));
    assert_eq!(refused.header("content-type"), "text/plain; charset=utf-8");
    service(&front, "other", serve(Some(tls)).await).await;
    eventually(async || available(&front.get(&own).await.json()).filter(|it| it.1 == "Passed")).await;
    let answer =
        front.get_with(foos, &[("impersonate-user", "bob"), ("impersonate-group", "system:masters")]).await;
    let seen = answer.json();
    assert_eq!(answer.code, 200, "{seen}");
    assert_eq!((seen["path"].as_str(), seen["user"].as_str()), (Some(foos), Some("bob")));
    assert_eq!((&seen["authorization"], &seen["impersonate"]), (&Value::Null, &Value::Null));
    // Connections are kept, for many users.
    let peer = async || front.get(foos).await.json()["peer"].clone();
    eventually(async || (peer().await == peer().await).then_some(())).await;
    let groups = front.get("/apis").await.json();
    assert!(groups["groups"].as_array().unwrap().iter().any(|it| it["name"] == "other.example.com"));
    let accept = [("accept", "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList")];
    let all = front.get_with("/apis", &accept).await.json();
    let other =
        all["items"].as_array().unwrap().iter().find(|it| it["metadata"]["name"] == "other.example.com");
    assert_eq!(other.unwrap()["versions"][0]["resources"][0]["resource"], "foos");
    assert_eq!(front.get("/apis/other.example.com/v1").await.json()["kind"], "APIResourceList");
    front.end().await;
    running.await.unwrap();
}

#[tokio::test]
async fn api_services_say_what_is_wrong_with_them() {
    let front = Front::new().await;
    let aggregator = Arc::clone(&front.aggregator);
    let registry = Arc::clone(front.server.registry());
    let running = tokio::spawn(aggregate::run(registry, aggregator, front.shutdown.subscribe()));
    let (tls, _) = certificate("other.default.svc");
    let (_, stranger) = certificate("stranger");
    let services = "/apis/apiregistration.k8s.io/v1/apiservices";
    let bundle = base64::engine::general_purpose::STANDARD.encode(stranger);
    let object = json!({
        "apiVersion": "apiregistration.k8s.io/v1", "kind": "APIService",
        "metadata": {"name": "v1.other.example.com"},
        "spec": {"group": "other.example.com", "version": "v1", "groupPriorityMinimum": 100,
            "versionPriority": 10, "caBundle": bundle,
            "service": {"namespace": "default", "name": "other", "port": 443}},
    });
    assert_eq!(front.ask("POST", services, "application/json", object.to_string()).await.code, 201);
    let own = format!("{services}/v1.other.example.com");
    let said = async |reason: &str| {
        eventually(async || {
            let object = front.get(&own).await.json();
            let condition =
                object["status"]["conditions"].as_array()?.iter().find(|it| it["type"] == "Available")?;
            (condition["reason"] == reason).then(|| condition["message"].as_str().unwrap().to_owned())
        })
        .await
    };
    assert_eq!(said("ServiceNotFound").await, "service/other in \"default\" is not present");
    let status = json!({"status": {"conditions": [{"type": "Theirs", "status": "True",
        "lastTransitionTime": "2026-01-01T00:00:00Z"}, front.get(&own).await.json()["status"]["conditions"][0]]}});
    let patch = "application/merge-patch+json";
    assert_eq!(front.ask("PATCH", &format!("{own}/status"), patch, status.to_string()).await.code, 200);

    let dead = TcpListener::bind((own_address(), 0)).await.unwrap().local_addr().unwrap();
    let path = "/api/v1/namespaces/default/services";
    let wrong = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "other"},
        "spec": {"ports": [{"name": "p", "port": 444}]}});
    assert_eq!(front.ask("POST", path, "application/json", wrong.to_string()).await.code, 201);
    let message = said("ServicePortError").await;
    assert_eq!(message, "service/other in \"default\" is not listening on port 443");
    let port = json!([{"op": "replace", "path": "/spec/ports/0/port", "value": 443}]).to_string();
    front.ask("PATCH", &format!("{path}/other"), "application/json-patch+json", port).await;
    let message = said("EndpointsNotFound").await;
    assert_eq!(message, "cannot find endpointslices for service/other in \"default\"");
    front.ask("DELETE", &format!("{path}/other"), "application/json", "").await;
    service(&front, "other", dead).await;
    let message = said("FailedDiscoveryCheck").await;
    let url = format!("https://{dead}/apis/other.example.com/v1");
    let expected = format!(
        "failing or missing response from {url}: Get {url:?}: dial tcp {dead}: connect: connection refused"
    );
    assert_eq!(message, expected);

    // It answers, though not as whom the APIService trusts: it is available, and not asked anything.
    let alive = serve(Some(tls)).await;
    let slice = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/other-1";
    let ready = json!({"endpoints": [{"addresses": [alive.ip().to_string()], "conditions": {"ready": false}}],
        "ports": [{"name": "p", "port": alive.port(), "protocol": "TCP"}]});
    front.ask("PATCH", slice, patch, ready.to_string()).await;
    let message = said("MissingEndpoints").await;
    assert_eq!(
        message,
        "endpointslices for service/other in \"default\" have no addresses with port name \"p\""
    );
    let ready = json!([{"op": "replace", "path": "/endpoints/0/conditions/ready", "value": true}]);
    front.ask("PATCH", slice, "application/json-patch+json", ready.to_string()).await;
    assert_eq!(said("Passed").await, "all checks passed");
    let conditions = front.get(&own).await.json()["status"]["conditions"].clone();
    assert_eq!(conditions[0]["type"], "Theirs", "others' conditions stay: {conditions}");
    let answer = front.get("/apis/other.example.com/v1/foos").await;
    assert_eq!(answer.code, 503);
    assert!(answer.text().starts_with("error trying to reach service: "), "{}", answer.text());
    front.end().await;
    running.await.unwrap();
}

#[tokio::test]
async fn proxies_to_services() {
    let front = Front::new().await;
    service(&front, "plain", serve(None).await).await;
    let path = "/api/v1/namespaces/default/services/plain:p/proxy";
    let answer = front.get_with(&format!("{path}/a/b%2Fc?d=e"), &[("authorization", "Basic x")]).await;
    assert_eq!(answer.code, 200, "{}", answer.text());
    assert_eq!(
        (answer.json()["path"].as_str(), &answer.json()["authorization"]),
        (Some("/a/b%2Fc?d=e"), &Value::Null)
    );
    assert_eq!(answer.header("location"), format!("{path}/moved"));
    let upgrade = [("connection", "Upgrade"), ("upgrade", "echo")];
    let response = front.send(request("GET", &format!("{path}/up"), &upgrade, "")).await;
    assert_eq!(response.status(), 101);
    let mut io = TokioIo::new(hyper::upgrade::on(response).await.unwrap());
    io.write_all(b"ping").await.unwrap();
    let mut bytes = [0; 4];
    io.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"ping");
    let nothing = front.get("/api/v1/namespaces/default/services/none/proxy/").await;
    assert_eq!(nothing.code, 404);
    let node = front.get("/api/v1/nodes/none/proxy/").await;
    assert_eq!(node.code, 404);
    let pod = whole(
        front.send(request("POST", "/api/v1/namespaces/default/pods/none/exec?command=a", &[], "")).await,
    )
    .await;
    assert_eq!(pod.code, 404);
    front.end().await;
}
