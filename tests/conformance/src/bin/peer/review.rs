//! `webhook`: admission and conversion webhooks, a path each, as the specs of webhooks want them.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::http::{self, Answered, Asked};

/// The label, key or value by which an object asks to be refused.
const UNWANTED: &str = "webhook-disallow";
const KEY: &str = "webhook-e2e-test";

/// What a webhook says of a request.
enum Verdict {
    Allowed,
    Denied(String),
    Patched(Value),
}

/// Answers a review.
pub(crate) async fn answer(request: Asked, _peer: SocketAddr) -> Answered {
    let path = request.uri().path().to_owned();
    if path == "/readyz" {
        return http::text(200, "ok");
    }
    let Ok(mut review) = serde_json::from_slice::<Value>(request.body()) else {
        return http::text(400, "the body is no review");
    };
    let asked = review["request"].take();
    let verdict = match path.as_str() {
        "/crdconvert" => {
            review["response"] = converted(&asked);
            return http::json(200, &review);
        }
        "/always-allow-delay-5s" => {
            tokio::time::sleep(Duration::from_secs(5)).await;
            Verdict::Allowed
        }
        "/pods" if asked["object"]["metadata"]["labels"][KEY] == "wait-forever" => {
            std::future::pending::<Verdict>().await
        }
        path => verdict(path, &asked),
    };
    let mut response = json!({ "uid": asked["uid"], "allowed": !matches!(verdict, Verdict::Denied(_)) });
    match verdict {
        Verdict::Allowed => {}
        Verdict::Denied(message) => response["status"] = json!({ "message": message }),
        Verdict::Patched(patch) => {
            response["patchType"] = json!("JSONPatch");
            response["patch"] = json!(STANDARD.encode(patch.to_string()));
        }
    }
    http::json(
        200,
        &json!({ "apiVersion": review["apiVersion"], "kind": "AdmissionReview", "response": response }),
    )
}

fn verdict(path: &str, asked: &Value) -> Verdict {
    // What is deleted comes as the old object only.
    let object = if asked["object"].is_null() { &asked["oldObject"] } else { &asked["object"] };
    let refused =
        |wrong: bool, why: &str| if wrong { Verdict::Denied(why.to_owned()) } else { Verdict::Allowed };
    match path {
        "/always-deny" => Verdict::Denied("this webhook denies all requests".to_owned()),
        "/pods" => pod(object),
        "/pods/attach" => refused(
            asked["name"] == "to-be-attached-pod",
            "attaching to pod 'to-be-attached-pod' is not allowed",
        ),
        "/configmaps" => {
            refused(object["data"][KEY] == UNWANTED, "the configmap contains unwanted key and value")
        }
        "/custom-resource" => {
            refused(object["data"][KEY] == UNWANTED, "the custom resource contains unwanted data")
        }
        "/crd" => refused(object["metadata"]["labels"][KEY] == UNWANTED, "the crd contains unwanted label"),
        "/add-label" => label(object),
        "/mutating-pods" => initialised(object),
        "/mutating-configmaps" | "/mutating-custom-resource" => staged(object),
        _ => Verdict::Allowed,
    }
}

fn pod(object: &Value) -> Verdict {
    let mut wrong = Vec::new();
    if object["metadata"]["labels"][KEY] == UNWANTED {
        wrong.push("the pod contains unwanted label;");
    }
    let containers = object["spec"]["containers"].as_array().into_iter().flatten();
    if containers.filter_map(|container| container["name"].as_str()).any(|name| name.contains(UNWANTED)) {
        wrong.push("the pod contains unwanted container name;");
    }
    if wrong.is_empty() { Verdict::Allowed } else { Verdict::Denied(wrong.join(" ")) }
}

fn label(object: &Value) -> Verdict {
    let labels = &object["metadata"]["labels"];
    if labels["added-label"] == "yes" {
        return Verdict::Allowed;
    }
    Verdict::Patched(match labels.is_object() {
        true => json!([{ "op": "add", "path": "/metadata/labels/added-label", "value": "yes" }]),
        false => json!([{ "op": "add", "path": "/metadata/labels", "value": { "added-label": "yes" } }]),
    })
}

/// Adds an init container to the pod that is meant to get one.
fn initialised(object: &Value) -> Verdict {
    if object["metadata"]["name"] != "webhook-to-be-mutated" {
        return Verdict::Allowed;
    }
    let container =
        json!({ "name": "webhook-added-init-container", "image": "webhook-added-image", "resources": {} });
    Verdict::Patched(json!([{ "op": "add", "path": "/spec/initContainers", "value": [container] }]))
}

/// Each stage of a mutation is asked for by the one before it.
fn staged(object: &Value) -> Verdict {
    let stages = [("mutation-start", "mutation-stage-1"), ("mutation-stage-1", "mutation-stage-2")];
    let patch: Vec<Value> = stages
        .iter()
        .filter(|(asks, adds)| object["data"][asks] == "yes" && object["data"][adds].is_null())
        .map(|(_, adds)| json!({ "op": "add", "path": format!("/data/{adds}"), "value": "yes" }))
        .collect();
    if patch.is_empty() { Verdict::Allowed } else { Verdict::Patched(json!(patch)) }
}

/// `hostPort` of version 1 is `host` and `port` of version 2.
fn converted(asked: &Value) -> Value {
    let wanted = asked["desiredAPIVersion"].as_str().unwrap_or_default();
    let objects: Vec<Value> = asked["objects"].as_array().into_iter().flatten().cloned().collect();
    let converted: Vec<Value> = objects.into_iter().map(|object| convert(object, wanted)).collect();
    json!({ "uid": asked["uid"], "convertedObjects": converted, "result": { "status": "Success" } })
}

fn convert(mut object: Value, wanted: &str) -> Value {
    let (from, to) = (object["apiVersion"].as_str().unwrap_or_default().to_owned(), wanted);
    object["apiVersion"] = json!(wanted);
    let Some(fields) = object.as_object_mut() else { return object };
    let mut take = |name: &str| fields.remove(name).and_then(|value| value.as_str().map(str::to_owned));
    match (from.ends_with("/v1"), to.ends_with("/v2")) {
        (true, true) => {
            if let Some((host, port)) = take("hostPort").as_deref().and_then(|both| both.split_once(':')) {
                fields.insert("host".to_owned(), json!(host));
                fields.insert("port".to_owned(), json!(port));
            }
        }
        (false, false) => {
            if let (Some(host), Some(port)) = (take("host"), take("port")) {
                fields.insert("hostPort".to_owned(), json!(format!("{host}:{port}")));
            }
        }
        _ => {}
    }
    object
}
