//! Objects over the wire: verbs, forms of answers, watches.

use std::io::Read as _;

use http_body_util::BodyExt as _;
use serde_json::{Value, json};

use super::{Front, request, whole};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";
const METADATA: &str = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io";

fn map(name: &str) -> String {
    json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"a": "b"}})
        .to_string()
}

#[tokio::test]
async fn every_verb() {
    let front = Front::new().await;
    let made = front.ask("POST", MAPS, "application/json", map("one")).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let again = front.ask("POST", MAPS, "application/json", map("one")).await;
    assert_eq!((again.code, again.json()["reason"].as_str()), (409, Some("AlreadyExists")));
    let path = format!("{MAPS}/one");
    let got = front.get(&path).await;
    assert_eq!((got.code, &got.json()["data"]["a"]), (200, &json!("b")));
    let patched = front.ask("PATCH", &path, "application/merge-patch+json", r#"{"data":{"c":"d"}}"#).await;
    assert_eq!(patched.json()["data"], json!({"a": "b", "c": "d"}));
    let strategic = "application/strategic-merge-patch+json";
    assert_eq!(front.ask("PATCH", &path, strategic, r#"{"data":{"c":null}}"#).await.code, 200);
    let json_patch = r#"[{"op":"add","path":"/data/e","value":"f"}]"#;
    assert_eq!(front.ask("PATCH", &path, "application/json-patch+json", json_patch).await.code, 200);
    let apply = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: two\ndata:\n  k: v\n";
    let applied = format!("{MAPS}/two?fieldManager=me");
    assert_eq!(front.ask("PATCH", &applied, "application/apply-patch+yaml", apply).await.code, 201);
    assert_eq!(front.ask("PUT", &path, "application/json", map("one")).await.code, 200);
    let list = front.get(MAPS).await.json();
    assert_eq!(
        (list["kind"].as_str(), list["items"].as_array().unwrap().len() >= 2),
        (Some("ConfigMapList"), true)
    );
    assert!(list["items"][0].get("kind").is_none());
    let gone = front.ask("DELETE", &path, "application/json", "").await;
    assert_eq!((gone.code, gone.json()["status"].as_str()), (200, Some("Success")));
    assert_eq!(front.get(&path).await.code, 404);
    let all = front.ask("DELETE", &format!("{MAPS}?labelSelector=none%3Done"), "application/json", "").await;
    assert_eq!(all.code, 200);
    for (method, path, code) in [
        ("POST", "/api/v1/configmaps", 405),
        ("DELETE", "/api/v1/configmaps", 405),
        ("PUT", MAPS, 405),
        ("POST", "/api/v1/namespaces/default/configmaps/one", 405),
        ("GET", "/api/v1/namespaces/default/nodes", 404),
        ("GET", "/api/v1/namespaces/default/configmaps/one/status", 404),
        ("GET", "/api/v1/configmaps/one", 404),
        ("DELETE", "/api/v1/namespaces", 405),
    ] {
        assert_eq!(
            front.ask(method, path, "application/json", map("one")).await.code,
            code,
            "{method} {path}"
        );
    }
    front.end().await;
}

#[tokio::test]
async fn forms_of_answers() {
    let front = Front::new().await;
    // A bare `y` would be true.
    let body = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: \"y\"}\ndata: {k: \"1\"}\n";
    let made = front.ask("POST", MAPS, "application/yaml", body).await;
    assert_eq!(made.code, 201, "{}", made.text());
    let path = format!("{MAPS}/y");
    let yaml = front.get_with(&path, &[("accept", "application/yaml")]).await;
    assert_eq!(yaml.header("content-type"), "application/yaml");
    assert!(yaml.text().contains("data:\n  k: \"1\"\n"), "{}", yaml.text());
    let table = front.get_with(&path, &[("accept", TABLE)]).await.json();
    assert_eq!((table["kind"].as_str(), &table["rows"][0]["cells"][0]), (Some("Table"), &json!("y")));
    assert_eq!(table["rows"][0]["object"]["kind"], "PartialObjectMetadata");
    let list = front.get_with(&format!("{MAPS}?includeObject=None"), &[("accept", TABLE)]).await.json();
    assert_eq!(
        (list["columnDefinitions"][0]["name"].as_str(), &list["rows"][0]["object"]),
        (Some("Name"), &Value::Null)
    );
    let whole_object =
        front.get_with(&format!("{MAPS}?includeObject=Object"), &[("accept", TABLE)]).await.json();
    assert_eq!(whole_object["rows"][0]["object"]["kind"], "ConfigMap");
    let meta = front.get_with(&path, &[("accept", METADATA)]).await.json();
    assert_eq!((meta["kind"].as_str(), meta.get("data")), (Some("PartialObjectMetadata"), None));
    let metas = front.get_with(MAPS, &[("accept", METADATA_LIST)]).await.json();
    assert_eq!(metas["items"][0]["apiVersion"], "meta.k8s.io/v1");
    let pretty = front.get(&format!("{path}?pretty=true")).await;
    assert!(pretty.text().contains("\n  \"kind\": \"ConfigMap\""), "{}", pretty.text());
    let refused = front.get_with(&path, &[("accept", "text/html")]).await;
    assert_eq!((refused.code, refused.json()["kind"].as_str()), (406, Some("Status")));
    let missing = front.get_with(&format!("{MAPS}/none"), &[("accept", TABLE)]).await;
    assert_eq!((missing.code, missing.json()["reason"].as_str()), (404, Some("NotFound")));
    front.end().await;
}

#[tokio::test]
async fn large_lists_are_compressed() {
    let front = Front::new().await;
    let text = "x".repeat(1000);
    for at in 0..200 {
        let body = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": format!("m{at}")}, "data": {"t": text}});
        front.ask("POST", MAPS, "application/json", body.to_string()).await;
    }
    let plain = front.get(MAPS).await;
    assert_eq!(plain.json()["items"].as_array().unwrap().len(), 200);
    let packed = front.get_with(MAPS, &[("accept-encoding", "gzip")]).await;
    assert_eq!(packed.header("content-encoding"), "gzip");
    assert!(packed.body.len() < plain.body.len() / 4);
    let mut back = Vec::new();
    flate2::read::GzDecoder::new(&packed.body[..]).read_to_end(&mut back).unwrap();
    assert_eq!(back, plain.body);
    let page = front.get(&format!("{MAPS}?limit=30")).await.json();
    let token = page["metadata"]["continue"].as_str().unwrap();
    assert_eq!(page["metadata"]["remainingItemCount"], 170);
    let next = front.get(&format!("{MAPS}?limit=500&continue={token}")).await.json();
    assert_eq!(next["items"].as_array().unwrap().len(), 170);
    front.end().await;
}

async fn events(front: &Front, path: &str, accept: &str, count: usize) -> Vec<Value> {
    let response = front.send(request("GET", path, &[("accept", accept)], "")).await;
    assert_eq!(response.status(), 200);
    let mut body = response.into_body();
    let mut text = Vec::new();
    while text.iter().filter(|byte| **byte == b'\n').count() < count {
        text.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    let lines = text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[tokio::test]
async fn watches() {
    let front = Front::new().await;
    front.ask("POST", MAPS, "application/json", map("w")).await;
    let revision = front.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let path = format!("{MAPS}/w");
    front.ask("PATCH", &path, "application/merge-patch+json", r#"{"data":{"n":"1"}}"#).await;
    front.ask("DELETE", &path, "application/json", "").await;
    let from = format!("{MAPS}?watch=true&resourceVersion={revision}");
    let seen = events(&front, &from, "application/json", 2).await;
    assert_eq!((seen[0]["type"].as_str(), seen[1]["type"].as_str()), (Some("MODIFIED"), Some("DELETED")));
    assert_eq!(seen[0]["object"]["data"]["n"], "1");
    let tables = events(&front, &from, TABLE, 2).await;
    assert_eq!(tables[0]["object"]["kind"], "Table");
    assert_eq!(tables[0]["object"]["columnDefinitions"][0]["name"], "Name");
    assert_eq!(tables[1]["object"]["columnDefinitions"], Value::Null);
    let metas = events(&front, &from, METADATA, 2).await;
    assert_eq!(metas[1]["object"]["kind"], "PartialObjectMetadata");
    let old = events(
        &front,
        &format!("/api/v1/watch/namespaces/default/configmaps?resourceVersion={revision}"),
        "application/json",
        2,
    )
    .await;
    assert_eq!(old[1]["type"], "DELETED");
    let ended = whole(front.send(request("GET", &format!("{from}&timeoutSeconds=1"), &[], "")).await).await;
    assert_eq!(ended.code, 200);
    let yaml = front.get_with(&from, &[("accept", "application/yaml")]).await;
    assert_eq!(yaml.code, 406);
    front.end().await;
}
