//! Priority and fairness as clients see it: who belongs where, and what the server keeps as it is.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Answer, Front, request, whole};

const SCHEMAS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/flowschemas";
const LEVELS: &str = "/apis/flowcontrol.apiserver.k8s.io/v1/prioritylevelconfigurations";

async fn put(front: &Front, path: &str, object: &Value) -> Value {
    let answer = front.ask("POST", path, "application/json", object.to_string()).await;
    assert_eq!(answer.code, 201, "{answer:?}");
    answer.json()
}

/// Waits until an answer is as it should be.
async fn until(front: &Front, path: &str, fits: impl Fn(&Answer) -> bool) -> Answer {
    let found = async {
        loop {
            let answer = front.get(path).await;
            if fits(&answer) {
                return answer;
            }
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(20), found).await.unwrap()
}

fn condition(answer: &Answer) -> (String, String) {
    let condition = &answer.json()["status"]["conditions"][0];
    let text = |name: &str| condition[name].as_str().unwrap_or_default().to_owned();
    (text("type"), text("status"))
}

/// API priority and fairness should ensure that requests can be classified by adding FlowSchema and
/// PriorityLevelConfiguration
#[tokio::test]
async fn requests_are_classified_by_schemas_and_levels() {
    let front = Front::new().await;
    let schema = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "FlowSchema", "metadata": {"name": "testing"},
        "spec": {
            "matchingPrecedence": 1000, "priorityLevelConfiguration": {"name": "testing"},
            "distinguisherMethod": {"type": "ByUser"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "noxu"}}],
                "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
            }],
        },
    });
    let path = format!("{SCHEMAS}/testing");
    let schema = put(&front, SCHEMAS, &schema).await;
    let dangling = |status: &'static str| {
        move |answer: &Answer| condition(answer) == ("Dangling".to_owned(), status.to_owned())
    };
    until(&front, &path, dangling("True")).await;
    let level = json!({
        "apiVersion": "flowcontrol.apiserver.k8s.io/v1", "kind": "PriorityLevelConfiguration",
        "metadata": {"name": "testing"},
        "spec": {"type": "Limited", "limited": {
            "nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}},
    });
    let level = put(&front, LEVELS, &level).await;
    let found = until(&front, &path, dangling("False")).await.json();
    let message =
        "This FlowSchema references the PriorityLevelConfiguration object named \"testing\" and it exists";
    assert_eq!(found["status"]["conditions"][0]["message"], message);
    let metrics = front.get("/metrics").await;
    let nominal = "apiserver_flowcontrol_nominal_limit_seats{priority_level=\"testing\"} 3";
    assert!(metrics.text().contains(nominal), "{}", metrics.text());
    let uid = |object: &Value| object["metadata"]["uid"].as_str().unwrap().to_owned();
    for (user, matches) in [("noxu", true), ("foo", false)] {
        let ask = request("GET", "/version", &[("impersonate-user", user)], "");
        let answer = whole(front.send(ask).await).await;
        let uids = ["x-kubernetes-pf-flowschema-uid", "x-kubernetes-pf-prioritylevel-uid"]
            .map(|name| answer.header(name));
        assert!(uids.iter().all(|uid| !uid.is_empty()), "{user}: {answer:?}");
        assert_eq!(uids == [uid(&schema), uid(&level)], matches, "{user}: {uids:?}");
    }
    // A refusal says it too.
    let forbidden = request("GET", "/api/v1/nodes", &[("impersonate-user", "foo")], "");
    let forbidden = whole(front.send(forbidden).await).await;
    assert_eq!(forbidden.code, 403);
    assert!(!forbidden.header("x-kubernetes-pf-flowschema-uid").is_empty());
    let levels = front.get("/debug/api_priority_and_fairness/dump_priority_levels").await;
    assert!(levels.text().lines().any(|line| line.starts_with("testing,")), "{}", levels.text());
    front.end().await;
}

#[tokio::test]
async fn bootstrap_objects_are_kept() {
    let front = Front::new().await;
    let merge = "application/merge-patch+json";
    let precedence = |wanted: u64| {
        move |answer: &Answer| answer.code == 200 && answer.json()["spec"]["matchingPrecedence"] == wanted
    };
    let (probes, catch_all) = (format!("{SCHEMAS}/probes"), format!("{SCHEMAS}/catch-all"));
    until(&front, &probes, precedence(2)).await;
    // What is suggested is put back, and made anew.
    front.ask("PATCH", &probes, merge, "{\"spec\":{\"matchingPrecedence\":7}}").await;
    until(&front, &probes, precedence(2)).await;
    front.ask("DELETE", &probes, "", "").await;
    until(&front, &probes, precedence(2)).await;
    // Until somebody says that it is theirs.
    let theirs = json!({"metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": "false"}},
        "spec": {"matchingPrecedence": 7}});
    assert_eq!(front.ask("PATCH", &probes, merge, theirs.to_string()).await.code, 200);
    front.ask("DELETE", &catch_all, "", "").await;
    until(&front, &catch_all, precedence(10_000)).await;
    assert!(precedence(7)(&front.get(&probes).await));
    front.end().await;
}
