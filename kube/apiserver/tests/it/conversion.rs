//! Custom resources in two versions, between which a webhook converts.

#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use apiserver::registry::{Body, Patch};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{CertificateParams, KeyPair};
use rustls::ServerConfig;
use rustls::pki_types::PrivatePkcs8KeyDer;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::rig::{Rig, event, names, next};

const DEFINITIONS: &str = "apiextensions.k8s.io/customresourcedefinitions";
const GADGETS: &str = "apiextensions.k8s.io/customresourcedefinitions - gadgets.example.com";
const V1: &str = "example.com/v1/gadgets default";
const V2: &str = "example.com/v2/gadgets default";

/// What the webhook does wrong; nothing where it is empty.
#[derive(Default)]
struct Webhook {
    fault: Mutex<&'static str>,
    asked: AtomicUsize,
    largest: AtomicUsize,
}

impl Webhook {
    /// Answers a review: `spec.size` of v1 is `spec.dimensions.size` of v2.
    fn answer(&self, review: &Value) -> (u16, Value) {
        let request = &review["request"];
        let objects = request["objects"].as_array().unwrap();
        self.asked.fetch_add(1, Ordering::Relaxed);
        self.largest.fetch_max(objects.len(), Ordering::Relaxed);
        let fault = *self.fault.lock().unwrap();
        let mut converted: Vec<Value> =
            objects.iter().map(|object| convert(object, &request["desiredAPIVersion"])).collect();
        let mut result = json!({"status": "Success"});
        match fault {
            "refuses" => result = json!({"status": "Failed", "message": "not today"}),
            "renames" => converted[0]["metadata"]["name"] = json!("other"),
            "forgets" => drop(converted.pop()),
            "idles" => converted[0]["apiVersion"] = objects[0]["apiVersion"].clone(),
            "breaks" => return (500, json!("broken")),
            _ => {}
        }
        let response = json!({"uid": request["uid"], "result": result, "convertedObjects": converted});
        (200, json!({"kind": "ConversionReview", "apiVersion": review["apiVersion"], "response": response}))
    }

    fn set(&self, fault: &'static str) {
        *self.fault.lock().unwrap() = fault;
    }
}

fn convert(object: &Value, to: &Value) -> Value {
    let mut out = object.clone();
    out["apiVersion"] = to.clone();
    let spec = &object["spec"];
    out["spec"] = if *to == "example.com/v2" {
        json!({"dimensions": {"size": spec["size"]}, "color": spec["color"]})
    } else {
        json!({"size": spec["dimensions"]["size"], "color": spec["color"]})
    };
    // A webhook may change labels and annotations, and nothing else of the metadata.
    out["metadata"]["annotations"]["converted-to"] = to.clone();
    out["metadata"]["generation"] = json!(77);
    out
}

/// Listens on a port of its own; the URL and the bundle that it is trusted by.
async fn serve(webhook: Arc<Webhook>) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let certificate =
        CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let key = PrivatePkcs8KeyDer::from(key.serialize_der()).into();
    let config =
        builder.unwrap().with_no_client_auth().with_single_cert(vec![certificate.der().clone()], key);
    let acceptor = TlsAcceptor::from(Arc::new(config.unwrap()));
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let url = format!("https://127.0.0.1:{}/convert", listener.local_addr().unwrap().port());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, webhook) = (acceptor.clone(), Arc::clone(&webhook));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let service = service_fn(move |request: http::Request<Incoming>| {
                    let webhook = Arc::clone(&webhook);
                    async move {
                        let body = request.into_body().collect().await.unwrap().to_bytes();
                        let (status, answer) = webhook.answer(&serde_json::from_slice(&body).unwrap());
                        let answer = Full::new(Bytes::from(answer.to_string()));
                        http::Response::builder().status(status).body(answer)
                    }
                });
                let server = hyper::server::conn::http1::Builder::new();
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    (url, STANDARD.encode(certificate.pem()))
}

fn version(name: &str, storage: bool, size: &Value) -> Value {
    let mut properties = size.clone();
    properties["color"] = json!({"type": "string", "default": "grey"});
    json!({"name": name, "served": true, "storage": storage, "subresources": {"status": {}},
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {
            "spec": {"type": "object", "properties": properties},
            "status": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}}}}})
}

fn versions(stored: &str) -> Value {
    let size = json!({"type": "integer", "minimum": 1});
    let inner = json!({"type": "object", "properties": {"size": size}});
    json!([
        version("v1", stored == "v1", &json!({"size": size})),
        version("v2", stored == "v2", &json!({"dimensions": inner})),
    ])
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !holds().await {
        assert!(Instant::now() < deadline, "twenty seconds are enough");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A server with the definition, v1 being what is stored.
async fn gadgets() -> (Rig, Arc<Webhook>) {
    let rig = Rig::new().await;
    let webhook = Arc::new(Webhook::default());
    let (url, bundle) = serve(Arc::clone(&webhook)).await;
    let conversion = json!({"strategy": "Webhook", "webhook": {"conversionReviewVersions": ["v1"],
        "clientConfig": {"url": url, "caBundle": bundle}}});
    let definition = json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "gadgets.example.com"},
        "spec": {"group": "example.com", "scope": "Namespaced", "conversion": conversion,
            "names": {"plural": "gadgets", "kind": "Gadget", "singular": "gadget"},
            "versions": versions("v1")}});
    rig.create(DEFINITIONS, definition).await.unwrap();
    until(|| async { rig.registry().kinds().resolve("example.com", "v2", "gadgets").is_some() }).await;
    (rig, webhook)
}

fn one(name: &str, size: u32) -> Value {
    json!({"apiVersion": "example.com/v1", "kind": "Gadget", "metadata": {"name": name},
        "spec": {"size": size, "color": "red"}})
}

fn two(name: &str, size: u32) -> Value {
    json!({"apiVersion": "example.com/v2", "kind": "Gadget", "metadata": {"name": name},
        "spec": {"dimensions": {"size": size}, "color": "red"}})
}

/// What the store holds of an object.
fn stored(rig: &Rig, name: &str) -> Value {
    use store::Store as _;
    let key = format!("/registry/example.com/gadgets/default/{name}");
    let found = rig.store.range(&store::RangeRequest::new(store::KeyRange::one(key))).unwrap();
    serde_json::from_slice(&found.kvs.first().expect("it is stored").value).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_verb_in_every_version() {
    let (rig, webhook) = gadgets().await;
    rig.create(V1, one("a", 1)).await.unwrap();
    assert_eq!(webhook.asked.load(Ordering::Relaxed), 0, "v1 is stored as it is");
    let made = rig.create(V2, two("b", 2)).await.unwrap().to_value();
    assert_eq!((&made["apiVersion"], &made["spec"]), (&json!("example.com/v2"), &two("b", 2)["spec"]));
    assert_eq!(made["metadata"]["generation"], 1);
    assert_eq!(stored(&rig, "b")["spec"], one("b", 2)["spec"]);

    // Reads.
    let found = rig.get(&format!("{V2} a")).await.unwrap();
    assert_eq!(found["spec"], two("a", 1)["spec"]);
    assert_eq!(found["metadata"]["annotations"]["converted-to"], "example.com/v2");
    assert_eq!(found["metadata"]["generation"], 1);
    assert_eq!(rig.get(&format!("{V1} b")).await.unwrap()["spec"], one("b", 2)["spec"]);
    let before = webhook.asked.load(Ordering::Relaxed);
    let list = rig.list(V2, &[]).await.unwrap();
    assert_eq!(names(&list), ["a", "b"]);
    assert_eq!(list.items[1].value()["spec"], two("b", 2)["spec"]);
    assert_eq!(webhook.asked.load(Ordering::Relaxed), before + 1, "a list is converted at once");
    assert_eq!(webhook.largest.load(Ordering::Relaxed), 2);

    // Writes through the other version, followed in both.
    let mut in_one = rig.watch(V1, &[]).await.unwrap();
    let mut in_two = rig.watch(V2, &[]).await.unwrap();
    for watch in [&mut in_one, &mut in_two] {
        assert_eq!(event(watch).await, "ADDED default/a");
        assert_eq!(event(watch).await, "ADDED default/b");
    }
    let patch = Patch::Merge(Body::from(json!({"spec": {"dimensions": {"size": 5}}})));
    let patched = rig.patch(&format!("{V2} a"), patch).await.unwrap().to_value();
    assert_eq!(
        (&patched["spec"]["dimensions"]["size"], &patched["metadata"]["generation"]),
        (&json!(5), &json!(2))
    );
    for (watch, place) in [(&mut in_one, "/spec/size"), (&mut in_two, "/spec/dimensions/size")] {
        let frame = next(watch).await.unwrap().unwrap();
        assert_eq!(frame.object.value().pointer(place), Some(&json!(5)));
    }
    let mut update = Value::clone(&patched);
    update["spec"]["dimensions"]["size"] = json!(6);
    rig.update(&format!("{V2} a"), update.clone()).await.unwrap();
    assert_eq!(rig.update(&format!("{V2} a"), update).await.unwrap_err().code, 409);
    let mut config = two("a", 7);
    config["spec"].as_object_mut().unwrap().remove("color");
    let applied = rig.apply(&format!("{V2} a"), "me", config, true).await.unwrap().to_value();
    assert_eq!(
        (&applied["spec"]["dimensions"]["size"], &applied["spec"]["color"]),
        (&json!(7), &json!("red"))
    );
    assert_eq!(stored(&rig, "a")["spec"], one("a", 7)["spec"]);
    let status = Patch::Merge(Body::from(json!({"status": {"ready": true}})));
    rig.patch(&format!("{V2} a status"), status).await.unwrap();
    assert_eq!(rig.get(&format!("{V1} a")).await.unwrap()["status"]["ready"], true);
    let refused = rig.create(V2, two("c", 0)).await.unwrap_err();
    assert!(refused.message.contains("spec.dimensions.size: Invalid value: 0"), "{}", refused.message);
    rig.delete(&format!("{V2} b")).await.unwrap();
    assert_eq!(rig.list(V1, &[]).await.unwrap().items.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_version_is_stored() {
    let (rig, _) = gadgets().await;
    rig.create(V1, one("a", 1)).await.unwrap();
    let patch = Patch::Merge(Body::from(json!({"spec": {"versions": versions("v2")}})));
    rig.patch(GADGETS, patch).await.unwrap();
    until(|| async {
        let both = rig.get(GADGETS).await.unwrap()["status"]["storedVersions"] == json!(["v1", "v2"]);
        let stored = rig.resource("example.com/v1/gadgets").storage.version == "v2";
        both && stored
    })
    .await;
    assert_eq!(rig.get(&format!("{V2} a")).await.unwrap()["spec"], two("a", 1)["spec"]);
    // A write moves what was stored in the older version.
    let patch = Patch::Merge(Body::from(json!({"spec": {"size": 3}})));
    rig.patch(&format!("{V1} a"), patch).await.unwrap();
    let kept = stored(&rig, "a");
    assert_eq!((&kept["apiVersion"], &kept["spec"]), (&json!("example.com/v2"), &two("a", 3)["spec"]));
    assert_eq!(rig.get(&format!("{V1} a")).await.unwrap()["spec"], one("a", 3)["spec"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_webhook_does_wrong_is_told() {
    let (rig, webhook) = gadgets().await;
    rig.create(V1, one("a", 1)).await.unwrap();
    for (fault, expected) in [
        ("refuses", "failed: not today"),
        ("renames", "returned invalid object: must have the same name: a != other"),
        ("forgets", "returned 0 objects, expected 1"),
        (
            "idles",
            "returned invalid object at index 0: invalid groupVersion (expected example.com/v2, received example.com/v1)",
        ),
        (
            "breaks",
            "failed: an error on the server (\"\\\"broken\\\"\") has prevented the request from succeeding",
        ),
    ] {
        webhook.set(fault);
        let status = rig.get(&format!("{V2} a")).await.unwrap_err();
        let expected = format!("conversion webhook for example.com/v1, Kind=Gadget {expected}");
        assert_eq!((status.code, status.reason, status.message.as_str()), (500, "", expected.as_str()));
        let listed = rig.list(V2, &[]).await.unwrap_err();
        assert_eq!(listed.message, expected);
        let made = rig.create(V2, two("b", 2)).await.unwrap_err();
        assert!(
            made.message.starts_with("conversion webhook for example.com/v2, Kind=Gadget "),
            "{}",
            made.message
        );
        // Who speaks what is stored needs no webhook.
        assert_eq!(rig.get(&format!("{V1} a")).await.unwrap()["spec"], one("a", 1)["spec"]);
    }
    webhook.set("");
    rig.get(&format!("{V2} a")).await.unwrap();
    assert_eq!(rig.list(V2, &[]).await.unwrap().items.len(), 1, "nothing was half made");

    let nobody =
        json!({"spec": {"conversion": {"webhook": {"clientConfig": {"url": "https://127.0.0.1:1/"}}}}});
    rig.patch(GADGETS, Patch::Merge(Body::from(nobody))).await.unwrap();
    until(|| async { rig.get(&format!("{V2} a")).await.is_err() }).await;
    let status = rig.get(&format!("{V2} a")).await.unwrap_err();
    assert_eq!(
        status.message,
        "conversion webhook for example.com/v1, Kind=Gadget failed: Post \"https://127.0.0.1:1/?timeout=30s\": dial tcp \
         127.0.0.1:1: connect: connection refused"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_webhook_that_fails_ends_the_watch() {
    let (rig, webhook) = gadgets().await;
    rig.create(V1, one("a", 1)).await.unwrap();
    let mut in_one = rig.watch(V1, &[]).await.unwrap();
    let mut in_two = rig.watch(V2, &[]).await.unwrap();
    assert_eq!(event(&mut in_two).await, "ADDED default/a");
    webhook.set("refuses");
    rig.create(V1, one("b", 2)).await.unwrap();
    let status = next(&mut in_two).await.unwrap().unwrap_err();
    assert_eq!(
        (status.code, status.message.as_str()),
        (500, "conversion webhook for example.com/v1, Kind=Gadget failed: not today")
    );
    assert!(next(&mut in_two).await.is_none(), "nothing follows what is missing");
    // The others go on, and so does who comes again.
    for name in ["a", "b"] {
        assert_eq!(event(&mut in_one).await, format!("ADDED default/{name}"));
    }
    webhook.set("");
    let mut again = rig.watch(V2, &[]).await.unwrap();
    for name in ["a", "b"] {
        assert_eq!(event(&mut again).await, format!("ADDED default/{name}"));
    }
}
