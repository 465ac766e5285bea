//! Lists in chunks and as tables.

use serde_json::json;

use crate::rig::{rig, wait_for};

const PAGE: usize = 17;
const TEMPLATES: usize = 60;

fn templates(rig: &crate::rig::Rig) -> String {
    let path = format!("/api/v1/namespaces/{}/podtemplates", rig.namespace());
    for at in 0..TEMPLATES {
        let object = json!({"apiVersion": "v1", "kind": "PodTemplate",
            "metadata": {"name": format!("template-{at:04}")},
            "template": {"spec": {"containers": [{"name": "test", "image": "test2"}]}}});
        rig.create(&path, &object).ok();
    }
    path
}

/// [sig-api-machinery] Servers with support for API chunking should return chunks of results for list calls [Conformance]
#[test]
fn servers_with_support_for_api_chunking_should_return_chunks_of_results_for_list_calls() {
    let rig = rig();
    let path = templates(&rig);
    let mut found = 0;
    let mut next = format!("{path}?limit={PAGE}");
    let mut revision = None;
    loop {
        let list = rig.get(&next).ok();
        let items = list["items"].as_array().unwrap();
        assert!(items.len() <= PAGE);
        for item in items {
            assert_eq!(item["metadata"]["name"], format!("template-{found:04}"));
            found += 1;
        }
        let meta = &list["metadata"];
        assert_eq!(revision.get_or_insert_with(|| meta["resourceVersion"].clone()), &meta["resourceVersion"]);
        let Some(token) = meta["continue"].as_str().filter(|token| !token.is_empty()) else { break };
        assert_eq!(meta["remainingItemCount"], TEMPLATES - found);
        next = format!("{path}?limit={PAGE}&continue={token}");
    }
    assert_eq!(found, TEMPLATES);
    let whole = rig.get(&path).ok();
    assert_eq!(whole["items"].as_array().unwrap().len(), TEMPLATES);
    let zero = rig.get(&format!("{path}?limit=0")).ok();
    assert_eq!(zero["items"].as_array().unwrap().len(), TEMPLATES);
}

const TABLE: &str = "application/json;as=Table;v=v1;g=meta.k8s.io";

/// [sig-api-machinery] Servers with support for Table transformation should return a 406 for a backend which does not implement metadata [Conformance]
#[test]
fn servers_with_support_for_table_transformation_should_return_a_406() {
    let rig = rig();
    let review = json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
        "spec": {"resourceAttributes": {"namespace": "default", "verb": "get", "resource": "pods"}}});
    let headers = [("accept", TABLE), ("content-type", "application/json")];
    let path = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let answer = rig.send("POST", path, &headers, review.to_string());
    let status = answer.refused(406);
    assert_eq!(status["reason"], "NotAcceptable");
    wait_for("a table of what has metadata", || {
        rig.get_as("/api/v1/namespaces", TABLE).ok()["kind"] == "Table"
    });
}
