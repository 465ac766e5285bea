//! [sig-apps]

use serde_json::{Value, json};

use crate::api::{Api, server};
use crate::life::{Life, contains};

fn cron_job(suspend: bool) -> Value {
    let container =
        json!({ "name": "c", "image": "registry.example/busybox:1", "command": ["sleep", "300"] });
    let pod = json!({ "spec": { "restartPolicy": "OnFailure", "containers": [container] } });
    json!({ "spec": {
        "schedule": "*/1 * * * *",
        "suspend": suspend,
        "concurrencyPolicy": "Allow",
        "jobTemplate": { "spec": { "template": pod } },
    } })
}

/// `[sig-apps] CronJob should not schedule jobs when suspended [Slow] [Conformance]`
#[test]
fn cron_job_should_not_schedule_jobs_when_suspended() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/apis/batch/v1/namespaces/{namespace}/cronjobs");
    let mut object = cron_job(true);
    object["metadata"] = json!({ "name": "suspended" });
    api.post(&path, &object);
    assert_eq!(api.get(&format!("{path}/suspended"))["spec"]["suspend"], true);
    let jobs = api.get(&format!("/apis/batch/v1/namespaces/{namespace}/jobs"));
    assert_eq!(jobs["items"], json!([]));
    assert!(api.get(&format!("{path}/suspended"))["status"].get("active").is_none());
    api.delete(&format!("{path}/suspended"));
    api.gone(&format!("{path}/suspended"));
}

/// `[sig-apps] CronJob should support CronJob API operations [Conformance]`
#[test]
fn cron_job_should_support_cron_job_api_operations() {
    let api = server();
    let namespace = api.namespace();
    let body = cron_job(true);
    Life {
        version: "batch/v1",
        resource: "cronjobs",
        kind: "CronJob",
        namespace: Some(&namespace),
        names: ["one", "two", "three"],
        body,
        phase: None,
        status: Some([
            json!({ "lastScheduleTime": "2026-01-02T03:04:05Z" }),
            json!({ "lastScheduleTime": "2026-01-02T03:05:05Z" }),
        ]),
    }
    .run(&api);
}

fn budget(name: &str, label: &str, min_available: Value) -> Value {
    json!({
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": { "name": name, "labels": { "budgets": label } },
        "spec": { "minAvailable": min_available, "selector": { "matchLabels": { "foo": "bar" } } },
    })
}

/// Waits until the disruption controller has seen the budget as it is now.
fn processed(api: &Api, path: &str) -> Value {
    api.until(path, |budget| {
        budget["status"]["observedGeneration"].as_u64() >= budget["metadata"]["generation"].as_u64()
    })
}

/// `[sig-apps] DisruptionController Listing PodDisruptionBudgets for all namespaces should list and delete a collection
/// of PodDisruptionBudgets [Conformance]`
#[test]
fn disruption_controller_should_list_and_delete_a_collection_of_pod_disruption_budgets() {
    let api = server();
    let spaces = [api.namespace(), api.namespace()];
    let path = |space: &str| format!("/apis/policy/v1/namespaces/{space}/poddisruptionbudgets");
    let label = spaces[0].as_str();
    for (space, name) in [(&spaces[0], "foo"), (&spaces[0], "foo2"), (&spaces[1], "foo3")] {
        api.post(&path(space), &budget(name, label, json!("1%")));
        processed(&api, &format!("{}/{name}", path(space)));
    }
    let selector = format!("labelSelector=budgets%3D{label}");
    let everywhere = format!("/apis/policy/v1/poddisruptionbudgets?{selector}");
    let names = |list: &Value| -> Vec<String> {
        let items = list["items"].as_array().expect("items");
        let name = |item: &Value| item["metadata"]["name"].as_str().unwrap_or("").to_owned();
        let mut names: Vec<String> = items.iter().map(name).collect();
        names.sort();
        names
    };
    assert_eq!(names(&api.get(&everywhere)), ["foo", "foo2", "foo3"]);
    assert_eq!(names(&api.get(&path(&spaces[0]))), ["foo", "foo2"]);
    api.delete(&format!("{}?{selector}", path(&spaces[0])));
    let left = api.until(&everywhere, |list| list["items"].as_array().is_some_and(|items| items.len() == 1));
    assert_eq!(names(&left), ["foo3"]);
}

/// `[sig-apps] DisruptionController should create a PodDisruptionBudget [Conformance]`
#[test]
fn disruption_controller_should_create_a_pod_disruption_budget() {
    let api = server();
    let namespace = api.namespace();
    let path = format!("/apis/policy/v1/namespaces/{namespace}/poddisruptionbudgets");
    let one = format!("{path}/foo");
    api.post(&path, &budget("foo", "create", json!("1%")));
    let mut object = processed(&api, &one);
    object["spec"]["minAvailable"] = json!("2%");
    let updated = api.put(&one, &object);
    assert_eq!(updated["spec"]["minAvailable"], "2%");
    assert_eq!(updated["metadata"]["generation"], 2);
    processed(&api, &one);
    let patch = json!({ "spec": { "minAvailable": "3%" } });
    assert_eq!(api.strategic(&one, &patch)["spec"]["minAvailable"], "3%");
    processed(&api, &one);
    let status = api.get(&format!("{one}/status"));
    contains(&status["status"], &json!({ "observedGeneration": 3, "expectedPods": 0, "currentHealthy": 0 }));
    api.delete(&one);
    api.gone(&one);
}
