//! CBOR, for kinds of ours and of others.

use http_body_util::BodyExt as _;
use kube_object::cbor;
use serde_json::{Value, json};

use super::{Answer, Front, request, whole};

const MAPS: &str = "/api/v1/namespaces/default/configmaps";
const CBOR: &str = "application/cbor";
const APPLY: &str = "application/apply-patch+cbor";

fn read(answer: &Answer) -> Value {
    assert_eq!(answer.header("content-type"), CBOR);
    cbor::decode(&answer.body).unwrap()
}

#[tokio::test]
async fn objects_come_and_go_as_cbor() {
    let front = Front::new().await;
    let ask = async |method: &str, path: &str, content_type: &str, value: &Value| {
        let headers = [("accept", CBOR), ("content-type", content_type)];
        whole(front.send(request(method, path, &headers, cbor::encode(value))).await).await
    };
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "1"}});
    let made = ask("POST", MAPS, CBOR, &map).await;
    assert_eq!((made.code, &read(&made)["data"]), (201, &json!({"k": "1"})));
    let path = format!("{MAPS}/c");
    let mut held = read(&front.get_with(&path, &[("accept", CBOR)]).await);
    assert_eq!(held, front.get(&path).await.json());
    held["data"]["k"] = json!("2");
    assert_eq!(ask("PUT", &path, CBOR, &held).await.code, 200);
    let applied =
        json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c"}, "data": {"k": "3"}});
    let conflict = ask("PATCH", &format!("{path}?fieldManager=m"), APPLY, &applied).await;
    assert_eq!((conflict.code, &read(&conflict)["reason"]), (409, &json!("Conflict")));
    let forced = ask("PATCH", &format!("{path}?fieldManager=m&force=true"), APPLY, &applied).await;
    assert_eq!((forced.code, &read(&forced)["data"]["k"]), (200, &json!("3")));
    // The server makes maps of its own meanwhile.
    let one = format!("{MAPS}?fieldSelector=metadata.name%3Dc");
    let list = read(&front.get_with(&one, &[("accept", CBOR)]).await);
    assert_eq!(
        (&list["kind"], &list["items"]),
        (&json!("ConfigMapList"), &front.get(&one).await.json()["items"])
    );
    let form = "application/cbor;as=Table;v=v1;g=meta.k8s.io";
    let table = read(&front.get_with(&path, &[("accept", form)]).await);
    assert_eq!((&table["kind"], &table["rows"][0]["cells"][0]), (&json!("Table"), &json!("c")));
    let options = json!({"apiVersion": "v1", "kind": "DeleteOptions", "dryRun": ["All"]});
    assert_eq!(ask("DELETE", &path, CBOR, &options).await.code, 200);
    assert_eq!(front.get(&path).await.code, 200, "the deletion was dry");
    front.end().await;
}

#[tokio::test]
async fn custom_objects_come_back_as_they_went() {
    let front = super::strict::front().await;
    let widgets = "/apis/example.com/v1/namespaces/default/widgets";
    let deep = format!("{}0{}", "{\"a\":".repeat(100), "}".repeat(100));
    let body = format!(
        "{{\"apiVersion\":\"example.com/v1\",\"kind\":\"Widget\",\"metadata\":{{\"name\":\"deep\"}},\
         \"spec\":{{\"size\":1,\"any\":{{\"deep\":{deep},\"large\":18446744073709551615,\"half\":0.5}}}}}}"
    );
    assert_eq!(front.ask("POST", widgets, "application/json", body).await.code, 201);
    let path = format!("{widgets}/deep");
    let held = front.get_with(&path, &[("accept", CBOR)]).await;
    assert_eq!(read(&held)["spec"]["any"]["large"].as_f64(), Some(18_446_744_073_709_551_615.0));
    let back = front.ask("PUT", &path, CBOR, held.body.clone()).await;
    assert_eq!(back.code, 200, "{}", back.text());
    let applied = json!({"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "deep"},
        "spec": {"size": 2}});
    let forced = format!("{path}?fieldManager=m&force=true");
    let applied = front.ask("PATCH", &forced, APPLY, cbor::encode(&applied)).await.json();
    assert_eq!((&applied["spec"]["size"], &applied["spec"]["any"]["half"]), (&json!(2), &json!(0.5)));
    let form = "application/cbor;as=PartialObjectMetadata;v=v1;g=meta.k8s.io";
    let metadata = read(&front.get_with(&path, &[("accept", form)]).await);
    assert_eq!(
        (&metadata["kind"], &metadata["metadata"]["name"], metadata.get("spec")),
        (&json!("PartialObjectMetadata"), &json!("deep"), None)
    );
    let missing = front.get_with(&format!("{widgets}/none"), &[("accept", CBOR)]).await;
    assert_eq!((missing.code, &read(&missing)["reason"]), (404, &json!("NotFound")));
    let refused = front.get_with(&path, &[("accept", "text/html")]).await;
    assert_eq!(refused.code, 406, "{}", refused.text());
    // Who does not name it does not get it.
    let any = front.get_with(&path, &[("accept", "*/*")]).await;
    assert_eq!(any.header("content-type"), "application/json");
    front.end().await;
}

#[tokio::test]
async fn what_is_wrong_with_cbor_is_said() {
    let front = Front::new().await;
    for (body, said) in [
        (vec![0xa2, 0x41, b'a', 1, 0x61, b'a', 2], "found duplicate map key \"a\" in CBOR"),
        (vec![0x81], "unexpected end of CBOR"),
        (vec![0xf7], "cannot be a part of an object"),
    ] {
        let answer = front.ask("POST", MAPS, CBOR, body.clone()).await;
        assert_eq!(answer.code, 400, "{}", answer.text());
        let message = answer.json()["message"].as_str().unwrap().to_owned();
        assert!(message.contains(said), "{message}");
        assert_eq!(front.ask("PATCH", &format!("{MAPS}/c?fieldManager=m"), APPLY, body).await.code, 400);
    }
    let unknown = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "u"}, "dta": {}});
    let strict =
        front.ask("POST", &format!("{MAPS}?fieldValidation=Strict"), CBOR, cbor::encode(&unknown)).await;
    assert!(strict.code == 400 && strict.text().contains("unknown field"), "{}", strict.text());
    let refused = front.ask("POST", MAPS, "text/plain", "").await;
    // Tools know the words of a server that has it not.
    assert!(refused.code == 415 && !refused.text().contains("cbor"), "{}", refused.text());
    front.end().await;
}

#[tokio::test]
async fn a_watch_is_a_sequence_of_items() {
    let front = Front::new().await;
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "w"}, "data": {"k": "1"}});
    let revision = front.get(MAPS).await.json()["metadata"]["resourceVersion"].as_str().unwrap().to_owned();
    let made = front.ask("POST", MAPS, CBOR, cbor::encode(&map)).await.json();
    front.ask("DELETE", &format!("{MAPS}/w"), "application/json", "").await;
    let path = format!("{MAPS}?watch=true&resourceVersion={revision}");
    let response = front.send(request("GET", &path, &[("accept", CBOR)], "")).await;
    assert_eq!(response.headers()["content-type"], "application/cbor-seq");
    let first = cbor::watch_event("ADDED", &made);
    let mut body = response.into_body();
    let mut bytes = Vec::new();
    while bytes.len() <= first.len() {
        bytes.extend_from_slice(&body.frame().await.unwrap().unwrap().into_data().unwrap());
    }
    assert_eq!(bytes[..first.len()], first);
    let second = cbor::decode(&bytes[first.len()..]).unwrap();
    assert_eq!((&second["type"], &second["object"]["data"]), (&json!("DELETED"), &json!({"k": "1"})));
    front.end().await;
}
